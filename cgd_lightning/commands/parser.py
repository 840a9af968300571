"""What every command's parser has in common: packaged configs by bare name, errors of one line, and whose classes may be named."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from inspect import isabstract
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_parsing_settings

import cgd_lightning
from cgd_lightning.checkpoint import TRUSTED
from cgd_lightning.errors import InputError

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


OWN_FILES = "cgd-own-"
"""Prefix of the temporary folders by which commands hand settings to a parser; the user need not hear of them."""


class OneLineErrors(ArgumentParser):
    """A parser that answers a wrong command line in one line and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)
        options = [option for action in self._actions for option in action.option_strings]
        command = self.prog.replace(" [options]", "")
        see = f"; see {command} --help" if " " in command else ""
        print(f"error: {command}: {one_line(str(message), options)}{see}", file=sys.stderr)
        self.exit(2)


def one_line(message: str, options: Sequence[str] = ()) -> str:
    """A parser's message in one line: what came, what was wanted, and which of `options` an unknown one may have meant."""
    text = " ".join(message.split())
    if unknown := re.search(r"[Uu]nrecognized arguments: (\S+)", text):
        near = get_close_matches(unknown[1].partition("=")[0], options, n=1)
        return text + (f"; did you mean {near[0]}?" if near else "")
    if "arguments are required" in text:
        names = ", ".join(file.name for file in packaged_configs())
        return f"{text}; give --config FILE; packaged: {names}"
    name = _full_name(re.findall(r'Parser key "([^"]+)"', text))
    if denied := re.search(r"Importing '(([\w]+)[\w.]*)' is not allowed", text):
        package = denied[2]
        return (
            f"{name}a file names {denied[1]}, and {package!r} is not trusted; nothing of it was run. If you trust it, add --trust {package}"
        )
    value = re.search(r"(?:Given value|Got value): (.*)$", text)
    wanted = [path for path in re.findall(r"<class '([\w.]+)'>", text) if path not in ("NoneType", "str")]
    if value and wanted:
        known = f"; known here: {', '.join(short_names(wanted[0]))}" if "." in wanted[0] else ""
        return f"{name}{value[1]!r} is not a {wanted[0].rpartition('.')[2]}{known}"
    if missing := re.search(r"Expected a dot import path string: (\S+)", text):
        return f"{name}no class {missing[1]!r}; give one of the known names or an import path"
    return text if len(text) < 400 else f"{text[:180]} ... {text[-200:]}"


def _full_name(keys: Sequence[str]) -> str:
    """`data.seed: ` from the keys data and seed of a parser and the one nested in it."""
    if not keys:
        return ""
    nested = keys[1:2] if len(keys) > 1 and not keys[1].startswith(keys[0]) else []
    return ".".join([keys[0], *nested]) + ": "


def instantiate(parser: ArgumentParser, settings: Namespace) -> Any:
    """The objects that `settings` describe.

    Raises the InputError of a class that refuses them, however deeply it stands among others, and ModuleNotFoundError if one wants
    TensorBoard where there is none.
    """
    try:
        return parser.instantiate(settings)
    except ValueError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, InputError):
                raise InputError(str(cause)) from error
            cause = cause.__cause__ or cause.__context__
        if "tensorboard" in str(error):
            raise ModuleNotFoundError("neither tensorboard nor tensorboardX is installed") from error
        raise InputError(one_line(str(error))) from error


def short_names(class_path: str) -> list[str]:
    """The names of the imported classes derived from the one at `class_path`, those of this package only."""
    module, _, name = class_path.rpartition(".")
    found, names = [getattr(sys.modules.get(module), name, None)], set()
    while found:
        cls = found.pop()
        derived: list[type] = cls.__subclasses__() if isinstance(cls, type) else []
        names |= {c.__name__ for c in derived if c.__module__.startswith("cgd_lightning.") and c.__name__[0] != "_" and not isabstract(c)}
        found += derived
    return sorted(names)


class PackagedConfigFile(ActionConfigFile):
    """`--config NAME`: a file, or the packaged config of that name."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        super().__call__(parser, cfg, str(config_path(values)), option_string)


def config_path(name: str) -> Path:
    """The file that `--config NAME` means: NAME itself where it is a file, else the packaged config of that name.

    Says on standard error which one it took. Raises TypeError, which a parser reports, if there is neither.
    """
    path = Path(name)
    if not path.is_file():
        packaged = {file.name: file for file in packaged_configs()}
        if path.name != name or path.with_suffix(".yaml").name not in packaged:
            raise TypeError(f"no file {name!r}, and no packaged config of that name; packaged: {', '.join(sorted(packaged))}")
        path = packaged[path.with_suffix(".yaml").name]
    if int(os.environ.get("LOCAL_RANK", 0)) == 0 and not path.parent.name.startswith(OWN_FILES):
        print(f"config: {path}", file=sys.stderr)
    return path


def packaged_configs() -> list[Path]:
    """The configs that come with the package, from a wheel or from a checkout."""
    package = Path(cgd_lightning.__file__).parent
    folder = package / "configs" if (package / "configs").is_dir() else package.parent / "configs"
    return sorted(folder.glob("*.yaml"))


def take_trusted(args: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """`args` without every `--trust PACKAGE`, and the packages. Names of classes may then come from them and from `TRUSTED`.

    A class path typed on the command line is trusted as it stands; one in a file is not.
    """
    rest: list[str] = []
    trusted: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--trust":
            trusted += filter(None, next(words, "").split(","))
        elif word.startswith("--trust="):
            trusted += filter(None, word.partition("=")[2].split(","))
        else:
            rest.append(word)
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*TRUSTED, *trusted, *_typed(rest)])
    return rest, tuple(trusted)


def _typed(args: Iterable[str]) -> list[str]:
    values = (arg.partition("=")[2] if arg.startswith("-") else arg for arg in args)
    return [value for value in values if _DOTTED.fullmatch(value)]


def typed_values(args: Iterable[str]) -> frozenset[str]:
    """Every value that stands in `args`, and in those that are lists or mappings themselves."""
    found: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                collect(part)

    for arg in args:
        text = arg.partition("=")[2] if arg.startswith("-") else arg
        found.add(text)
        if text.lstrip()[:1] in ("[", "{"):
            with suppress(yaml.YAMLError):
                collect(yaml.safe_load(text))
    return frozenset(found)
