"""What every command's parser has in common: errors of one line, and whose classes may be named."""

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

import typeshed_client
import typeshed_client.finder
import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from cgd_lightning.checkpoints.listed import LISTED, Trust, not_listed
from cgd_lightning.configuration.allowed import defined_as, lightning_classes
from cgd_lightning.configuration.files import load_yaml, packaged_configs
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.help import HelpfulParser
from cgd_lightning.configuration.own_classes import not_there, own_class
from cgd_lightning.configuration.refusals import (
    BASES,
    known_names,
    no_name,
    refusal,
    unknown_class,
)
from cgd_lightning.configuration.words import ALIKE, OPTIONS, meant_option, meant_place, meant_value
from cgd_lightning.errors import InputError, printable

OURS = Path(__file__).parents[1]
"""The folder of this package, in which nothing is wrong in a file of the user's."""

_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(.*)?$", re.DOTALL | re.ASCII)


class OneLineErrors(HelpfulParser):
    """A parser that answers a wrong command line in one line and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)
        options = [option for action in self._actions for option in action.option_strings]
        command = self.prog.replace(" [options]", "")
        see = f"; see {command} --help" if " " in command else ""
        print(
            f"error: {command}: {printable(one_line(str(message), options))}{see}", file=sys.stderr
        )
        self.exit(2)


def one_line(message: str, options: Sequence[str] = ()) -> str:
    """A parser's message in one line.

    It says what came, what was wanted, and which of `options` an unknown one may have meant.
    """
    text = " ".join(message.split())
    if refused := refusal(text):
        return refused
    if unknown := re.search(r"[Uu]nrecognized arguments: (.+)", text):
        words = unknown[1].split(" ")
        given = [words[0], *(word for word in words[1:] if word.startswith("--"))]
        near = {word: meant_place(word, options) or meant_option(word, options) for word in given}
        meant = [f"{ours} for {word.partition('=')[0]}" for word, ours in near.items() if ours]
        if len(given) == 1:
            meant = [ours for ours in near.values() if ours]
        return text + (f"; did you mean {', '.join(meant)}?" if meant else "")
    if required := re.fullmatch(r"the following arguments are required: ([a-z_]+)", text):
        return f"{required[1].upper()} is missing"
    if required := re.search(r"arguments are required: (.*)", text):
        absent = " and ".join(f"--{name.split('.')[-1]}" for name in required[1].split(", "))
        names = ", ".join(file.name for file in packaged_configs())
        return f"{absent} missing; give --config FILE; packaged: {names}"
    if foreign := re.match(r"Option '([\w.]+)' is not accepted", text):
        first = foreign[1].partition(".")[0]
        return f"{first}: no option of this command, for which the file is not"
    name = _full_name(re.findall(r'Parser key "([^"]+)"', text))
    if denied := re.search(r"Importing '(([\w]+)[\w.]*)' is not allowed", text):
        if typed := re.search(r"Given value type: <class 'str'> Given value: (\w+)$", text):
            return f"{name}{typed[1]!r}: wanted an import path, as mine.Own"
        return f"{name}a file {not_listed(denied[1])}"
    if unusable := own_class(text):
        return name + unusable
    if misspelt := unknown_class(text):
        return misspelt
    if simple := _refused(text, name) or _wrong_value(text, name):
        return simple
    value = re.search(r"(?:Given value|Got value): (.*)$", text)
    wanted = [
        path
        for path in re.findall(r"(?:<class '|list\[)([\w.]+)(?:'>|\])", text)
        if path not in ("NoneType", "str", "list")
    ]
    if value and wanted:
        shown, known = value[1][:100], known_names(wanted[0])
        if missing := not_there(shown):
            return f"{name}no class {shown!r}: {missing}"
        told = f"; known here: {', '.join(known)}" if "." in wanted[0] else ""
        kind = wanted[0].rpartition(".")[2]
        return f"{name}{shown!r} is not a {kind}{_perhaps(shown, known)}{told}"
    unclear = re.search(r"Expected a dot import path string: (\S+)", text)
    nowhere = re.search(r"class_path '([\w.]+)': (?:No module named|module '.*' has no)", text)
    if found := nowhere or unclear:
        return _no_class(found[1], name, None)
    return text if len(text) < 400 else f"{text[:180]} ... {text[-200:]}"


MOST = 12
"""Of more options a line does not tell."""


def _refused(text: str, name: str) -> str | None:
    """The line for an option that its class does not have."""
    found = re.findall(
        r"(?:given class_path '([\w.]+)'|a callable class): Option '([\w.]+)' is not accepted"
        r"(?:\. Got value: Namespace\(class_path='([\w.]+)')?",
        text,
    )
    if not found:
        return None
    given, option, made_of = found[-1]
    path = given or made_of
    typed = re.findall(r"NestedArg\(key='([\w.]+)'", text)
    key = f"{name.rstrip(': ')}.{option}"
    if typed:
        key = f"{name.partition('.')[0].rstrip(': ')}.{typed[-1]}"
    module, _, cls = path.rpartition(".")
    made = getattr(sys.modules.get(module), cls, None)
    known = [*signature(made).parameters] if made else []
    near = get_close_matches(option, known, 1, ALIKE)
    ours = OPTIONS.get(option, "")
    if ours.startswith(f"{key.partition('.')[0]}."):
        meant: str | None = ours
    else:
        meant = f"{key.rpartition('.')[0]}.{near[0]}" if near else None
    if meant and meant != key:
        return f"{key}: {cls} has no option {option!r}; did you mean {meant}?"
    told = f"; it has {', '.join(known)}" if 0 < len(known) <= MOST else ""
    return f"{key}: {cls} has no option {option!r}{told}"


def _wrong_value(text: str, name: str) -> str | None:
    """The line for a value that is none of its kind, from all that the parser tried.

    The last key in the text is the innermost, and what was wanted stands behind it; the whole key
    comes last.
    """
    innermost = text.rpartition('Parser key "')[2]
    value = re.search(r"(?:Given value|Got value): (\S+)", innermost)
    if typed := re.findall(r"NestedArg\(key='([\w.]+)', val='?(.*?)'?\)", text):
        key, shown = typed[-1]
        name = f"{name.partition('.')[0].rstrip(': ')}.{key}: "
    elif value:
        shown = value[1]
    else:
        return None
    shown = shown[:100]
    if words := re.search(r"Expected a typing\.Literal\[([^\]]*)\]", innermost):
        known = words[1].replace("'", "")
        return f"{name}{shown!r} is none of {known}{_perhaps(shown, known.split(', '))}"
    kinds = dict.fromkeys(re.findall(r"<class '(int|float|bool)'>", innermost))
    if kinds:
        article = "an" if next(iter(kinds)) == "int" else "a"
        return f"{name}{shown!r} is not {article} {' or '.join(kinds)}"
    if typed and ("Expected a dot import" in innermost or "a callable class" in innermost):
        wanted = re.search(r"<class '(cgd_lightning\.[\w.]+)'>", innermost)
        return _no_class(shown, name, wanted[1] if wanted else None)
    return None


def _no_class(shown: str, name: str, wanted: str | None) -> str:
    """The line for what names no class. name: of the setting. wanted: its kind, if it is known."""
    if missing := not_there(shown):
        return f"{name}no class {shown!r}: {missing}"
    base = wanted or BASES.get(name.rstrip(": ").rpartition(".")[2])
    return f"{name}{no_name(shown, known_names(base) if base else [])}"


def _perhaps(given: str, known: Sequence[str]) -> str:
    near = meant_value(given, known)
    return f"; did you mean {near}?" if near else ""


def _full_name(keys: Sequence[str]) -> str:
    """`data.seed: ` from the keys data and seed of a parser and the one nested in it."""
    if not keys:
        return ""
    nested = keys[1:2] if len(keys) > 1 and not keys[1].startswith(keys[0]) else []
    return ".".join([keys[0], *nested]) + ": "


def instantiate(parser: ArgumentParser, settings: Namespace) -> Any:
    """The objects that `settings` describe.

    Raises the InputError of a class that refuses them, however deeply it stands among others, and
    ModuleNotFoundError if one wants TensorBoard where there is none.
    """
    try:
        return parser.instantiate(settings)
    except ValueError as error:
        seen: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None and cause not in seen:
            if isinstance(cause, InputError | OSError):
                raise InputError(str(cause)) from error
            seen.append(cause)
            cause = cause.__cause__ or cause.__context__
        if "tensorboard" in str(error):
            raise ModuleNotFoundError(
                "neither tensorboard nor tensorboardX is installed"
            ) from error
        raise InputError(one_line(str(error))) from error


SKIPPED = {
    "config",
    "c",
    "ckpt",
    "ckpt_path",
    "out",
    "from",
    "samples",
    "reference",
    "write_reference",
    "weights",
    "judge",
    "autoencoder",
    "classifier",
    "diffusion",
    "low_res",
}
SKIPPED |= {
    "name",
    "root",
    "default_root_dir",
    "dirpath",
    "filename",
    "save_dir",
    "labels",
    "device",
    "precision",
    "trust",
}
"""Options whose values are no names of classes, though they may look like some."""


def take_trusted(args: Sequence[str], lightning: bool = False) -> tuple[list[str], Gate]:
    """`args` without `--trust NAME` and `--trust-size`, and the gate of all settings.

    From then on the parser imports what stands on our list, what is trusted so, and what is typed
    in `args`, as it stands. Where a typed name wants it, the current folder is the last place that
    Python imports from. lightning: whether files of this command may name classes of Lightning and
    optimisers.
    """
    rest: list[str] = []
    names: list[str] = []
    any_size = False
    words = iter(args)
    for word in words:
        if word == "--trust":
            name = next(words, "")
            if not name or name.startswith("-"):
                raise InputError("--trust: wanted the name of a package, module or class behind it")
            names += filter(None, name.split(","))
        elif word.startswith("--trust="):
            names += filter(None, word.partition("=")[2].split(","))
        elif word in ("--trust-size", "--trust_size"):
            any_size = True
        else:
            rest.append(word)
    trust = Trust(tuple(names), any_size)
    typed = typed_names(rest)
    import_from_here({*trust.names, *typed})
    gate = Gate(
        typed_values(rest), trust, lightning_classes() if lightning else {}, options_of(rest)
    )
    homes = {home for name in typed if (home := home_of(name))}
    allow_imports({*LISTED, *trust.names, *typed, *homes, *gate.other_classes, *gate.by_name})
    return rest, gate


def options_of(args: Sequence[str]) -> frozenset[str]:
    """The names of the options in `args`, without their values."""
    return frozenset(arg.partition("=")[0] for arg in args if arg.startswith("--"))


def home_of(name: str) -> str | None:
    """The import path of what is typed as `name`, in the module that defines it.

    None if there is no such module. Raises InputError, with the file and the line, if the module
    cannot be imported.
    """
    top = name.partition(".")[0]
    try:
        return defined_as(name)
    except Exception as error:
        # Whatever a module of the user's raises; the parser would say that there is no such class.
        if isinstance(error, ModuleNotFoundError) and (error.name or top).partition(".")[0] == top:
            return None
        places = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "importlib" not in frame.filename and OURS not in Path(frame.filename).parents
        ]
        where = f"{places[-1].filename}, line {places[-1].lineno}: " if places else ""
        raise InputError(
            f"{name} cannot be imported: {where}{type(error).__name__}: {error}"
        ) from error


_allowed: set[str] = set()


def allow_imports(names: set[str]) -> None:
    """Let jsonargparse import `names` and what is in them, and nothing else.

    It reads no URLs, and makes nothing where any type goes.
    """
    # An entry stays for good, and the longest one that fits decides.
    within = Trust(tuple(names))
    again = {name for name in _allowed if within.covers(name)}
    before = sorted(_allowed - again)
    _allowed.update(names)
    # It asks a Python in the current folder for its path; that would import a json.py lying there.
    folders = [Path(folder) for folder in sys.path if folder]
    typeshed_client.get_search_context = partial(
        typeshed_client.finder.get_search_context, search_path=folders
    )
    set_parsing_settings(
        import_path_denylist=["*", *before],
        import_path_allowlist=sorted(names | again),
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
        instantiate_subclass_spec_in_any=False,
    )


def import_from_here(names: Iterable[str]) -> None:
    """Make the current folder the last place to import from, if `names` need it.

    They do if one of them is there and nowhere else.
    """
    here = Path.cwd()
    for top in {name.partition(".")[0] for name in names}:
        if not ((here / f"{top}.py").is_file() or (here / top).is_dir()) or str(here) in sys.path:
            continue
        with suppress(ValueError):  # a module without a specification is there already
            if find_spec(top) is None:
                sys.path.append(str(here))


def typed_names(args: Sequence[str]) -> frozenset[str]:
    """The import paths of classes among the values in `args`.

    Also those of what is called, as in timm.create_model(resnet18).
    """
    options = [arg for arg, before in zip(args, ["", *args]) if not _is_skipped(arg, before)]
    found = (_NAME.match(value) for value in typed_values(options))
    return frozenset(match[1] for match in found if match)


def _is_skipped(arg: str, before: str) -> bool:
    """Whether `arg` is an option, or the value of one, that names no class; a call always does."""
    option = arg.partition("=")[0] if arg.startswith("-") else before
    value = arg.partition("=")[2] if arg.startswith("-") else arg
    return option.lstrip("-").rpartition(".")[2] in SKIPPED and "{" not in value


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
                collect(load_yaml(text))
    return frozenset(found)
