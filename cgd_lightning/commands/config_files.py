"""Configuration files: the packaged ones by bare name, and YAML that cannot be made to grow."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, get_loader, set_loader

import cgd_lightning

OWN_FILES = "cgd-own-"
"""Prefix of the temporary folders by which commands hand settings to a parser; the user need not hear of them."""

MOST_BYTES = 2**18
MOST_EVENTS = 20_000
MOST_ALIASES = 100
DEEPEST = 50

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PackagedConfigFile(ActionConfigFile):
    """`--config NAME`: a file, or the packaged config of that name."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        super().__call__(parser, cfg, str(config_path(values)), option_string)


def config_path(name: str) -> Path:
    """The file that `--config NAME` means: NAME itself where it is a file, else the packaged config of that name.

    Says on standard error which one it took. Raises TypeError, which a parser reports, if there is neither, or a file
    that is too large.
    """
    path = Path(name)
    if not path.is_file():
        packaged = {file.name: file for file in packaged_configs()}
        if path.name != name or path.with_suffix(".yaml").name not in packaged:
            raise TypeError(f"no file {name!r}, and no packaged config of that name; packaged: {', '.join(sorted(packaged))}")
        path = packaged[path.with_suffix(".yaml").name]
    if path.stat().st_size > MOST_BYTES:
        raise TypeError(f"{path}: {path.stat().st_size} bytes; a configuration has at most {MOST_BYTES}")
    if int(os.environ.get("LOCAL_RANK", 0)) == 0 and not path.parent.name.startswith(OWN_FILES):
        print(f"config: {path}", file=sys.stderr)
    return path


def packaged_configs() -> list[Path]:
    """The configs that come with the package, from a wheel or from a checkout."""
    package = Path(cgd_lightning.__file__).parent
    folder = package / "configs" if (package / "configs").is_dir() else package.parent / "configs"
    return sorted(folder.glob("*.yaml"))


def load_yaml(text: str) -> Any:
    """The plain data in `text`. Raises yaml.YAMLError for what is no YAML or grows when it is read."""
    check_yaml(text)
    try:
        return yaml.load(text, Loader=_LOADER)
    except ValueError as error:  # a number or a date that Python does not have
        raise yaml.YAMLError(str(error)) from error


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
                raise yaml.YAMLError(f"an alias inside of what has an anchor itself, or more than {MOST_ALIASES} aliases")
        if depth > DEEPEST or count > MOST_EVENTS:
            raise yaml.YAMLError(f"more than {MOST_EVENTS} values, or deeper than {DEEPEST} levels")


def _checked(load: Callable[..., Any]) -> Callable[[str], Any]:
    def load_checked(stream: str) -> Any:
        check_yaml(stream)
        try:
            return load(stream)
        except ValueError as error:
            raise yaml.YAMLError(str(error)) from error

    return load_checked


set_loader("yaml", _checked(get_loader("yaml")), exceptions=(yaml.YAMLError,))
