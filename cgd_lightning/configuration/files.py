"""Configuration files: the packaged ones by bare name, and YAML that cannot be made to grow."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, get_loader, set_loader

from cgd_lightning import peers
from cgd_lightning.checkpoints.files import MOST_CONFIG
from cgd_lightning.errors import one_line
from cgd_lightning.files import open_plain

OWN_FILES = "cgd-own-"
"""Prefix of the temporary folders by which commands hand settings to a parser.

The user need not hear of them.
"""

MOST_BYTES = MOST_CONFIG
MOST_EVENTS = 20_000
MOST_ALIASES = 100
DEEPEST = 50

DEEPEST_FILES = 3

SETTINGS = {
    "config",
    "trainer",
    "model",
    "data",
    "checkpoint",
    "guided_sampler",
    "network",
    "optimizer",
    "schedule",
    "sampler",
}
SETTINGS |= {
    "guidance",
    "weight",
    "image_weight",
    "rule",
    "rules",
    "callbacks",
    "logger",
    "strategy",
    "plugins",
    "profiler",
    "init_args",
}
"""Settings in whose place the name of a file may stand."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PackagedConfigFile(ActionConfigFile):
    """`--config NAME`: a file, or the packaged config of that name."""

    def __call__(
        self, parser: Any, cfg: Any, values: Any, option_string: str | None = None
    ) -> None:
        path = config_path(values)
        check_nested(path)
        super().__call__(parser, cfg, str(path), option_string)


def config_path(name: str) -> Path:
    """The file that `--config NAME` means: the file NAME, else the packaged config of that name.

    Says on standard error which one it took. Raises TypeError, which a parser reports, if there is
    neither, or a file that is too large.
    """
    path = Path(name)
    if not path.is_file():
        packaged = {file.name: file for file in packaged_configs()}
        if path.name != name or path.with_suffix(".yaml").name not in packaged:
            near = sorted(file for file in packaged if file.startswith(f"{path.stem}-"))
            near = near or get_close_matches(f"{path.stem}.yaml", packaged, 1, cutoff=0.8)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            known = [name for name in sorted(packaged) if name not in near]
            raise TypeError(
                f"no file {name!r}, and no packaged config of that name{meant}; packaged: "
                f"{', '.join(known)}"
            )
        path = packaged[path.with_suffix(".yaml").name]
    if path.stat().st_size > MOST_BYTES:
        raise TypeError(
            f"{path}: {path.stat().st_size} bytes; a configuration has at most {MOST_BYTES}"
        )
    if peers.is_first() and not path.parent.name.startswith(OWN_FILES):
        print(f"config: {path}", file=sys.stderr)
    return path


def check_nested(path: Path, deep: int = 0) -> None:
    """Raises TypeError if a file named in place of settings is no plain file of its size.

    `path` is the configuration that names it. The parser reads such a file, as in `model:
    model.yaml`, before it looks at anything.
    """
    try:
        with open_plain(Path(os.path.realpath(path)), MOST_BYTES) as file:
            text = file.read().decode()
        contents = load_yaml(text)
        _check_settings(text, listed=deep > 0)
    except OSError as error:
        raise TypeError(f"{path}: {one_line(error)}") from error
    except UnicodeError as error:
        raise TypeError(f"{path}: no text in UTF-8; wanted a configuration in YAML") from error
    except yaml.YAMLError as error:
        raise TypeError(f"{path}: {fault(error)}") from error
    for key, value in _texts(contents):
        if key in SETTINGS and len(value) < 1000 and "\0" not in value:
            for inner in (Path(value), path.parent / value):
                if inner.exists() and not inner.is_dir():
                    if deep == DEEPEST_FILES:
                        raise TypeError(
                            f"{path}: names the file {inner}, and more than {DEEPEST_FILES} files "
                            "name one another"
                        )
                    check_nested(inner, deep + 1)


NAME = re.compile(r"[\w.+-]{1,100}|<<")
"""Of a setting; << takes over those of an alias."""


def _check_settings(text: str, listed: bool) -> None:
    """Raises yaml.YAMLError unless `text` holds settings by name; where `listed`, also for a list.

    What else a parser finds, its messages quote, and `text` may be of a file that is none of ours.
    """
    root = yaml.compose(text, Loader=_LOADER)
    if root is None:  # nothing but comments
        return
    rows = root.value if listed and isinstance(root, yaml.SequenceNode) else [root]
    for row in rows:
        if row is not root and _is_name(row):
            continue
        if not isinstance(row, yaml.MappingNode):
            raise yaml.MarkedYAMLError(
                problem="no settings; wanted lines NAME: VALUE", problem_mark=row.start_mark
            )
        for key, _ in row.value:
            if not _is_name(key):
                raise yaml.MarkedYAMLError(
                    problem="a key that is no name of a setting", problem_mark=key.start_mark
                )


def _is_name(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(NAME.fullmatch(node.value))


def fault(error: yaml.YAMLError) -> str:
    """What is wrong with a text, and where in it, without a word of the text itself."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return one_line(error)
    what = (error.problem or "no YAML").partition("\n")[0]
    if isinstance(error, yaml.constructor.ConstructorError | yaml.composer.ComposerError):
        what = re.split("['\"]", what)[0].strip()  # a name in the text comes next
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}" if mark else what


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in `value` with the name of the setting that it is."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, key)
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, str(name))


def packaged_configs() -> list[Path]:
    """The configs that come with the package, from a wheel or from a checkout."""
    package = Path(__file__).parents[1]
    folder = package / "configs" if (package / "configs").is_dir() else package.parent / "configs"
    return sorted(folder.glob("*.yaml"))


def load_yaml(text: str) -> Any:
    """The plain data in `text`.

    Raises yaml.YAMLError for what is no YAML or grows when it is read.
    """
    check_yaml(text)
    try:
        return yaml.load(text, Loader=_LOADER)
    except ValueError as error:  # which may quote the text
        raise yaml.YAMLError("a number or a date that Python does not have") from error


def check_yaml(text: str) -> None:
    """Raises yaml.YAMLError for YAML that is too long, too deep, or made of copies of copies."""
    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"{len(text)} characters; a configuration has at most {MOST_BYTES}")
    depth = aliases = 0
    anchored: list[int] = []
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if event.anchor is not None:
                anchored.append(depth)
        elif isinstance(event, yaml.CollectionEndEvent):
            if anchored and anchored[-1] == depth:
                anchored.pop()
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if anchored or aliases > MOST_ALIASES:
                raise yaml.YAMLError(
                    f"an alias inside of what has an anchor itself, or more than {MOST_ALIASES} "
                    "aliases"
                )
        if depth > DEEPEST or count > MOST_EVENTS:
            raise yaml.YAMLError(f"more than {MOST_EVENTS} values, or deeper than {DEEPEST} levels")


def _checked(load: Callable[..., Any]) -> Callable[[str], Any]:
    def load_checked(stream: str) -> Any:
        check_yaml(stream)
        try:
            loaded = load(stream)
        except ValueError as error:
            raise yaml.YAMLError("a number or a date that Python does not have") from error
        if isinstance(loaded, str) and "\n" in stream.strip():
            # It is in a file that stands in place of a setting, and messages would quote it.
            raise yaml.YAMLError("text of several lines, where a setting was wanted")
        return loaded

    return load_checked


set_loader("yaml", _checked(get_loader("yaml")), exceptions=(yaml.YAMLError,))
