"""A message of the parser in one line: what came, what was wanted, and what may have been meant."""

import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from inspect import signature

from cgd_lightning.checkpoints.listed import not_listed
from cgd_lightning.configuration.files import packaged_configs
from cgd_lightning.configuration.own_classes import not_there, own_class
from cgd_lightning.configuration.refusals import (
    BASES,
    known_names,
    no_name,
    refusal,
    unknown_class,
)
from cgd_lightning.configuration.words import ALIKE, OPTIONS, meant_option, meant_place, meant_value


def one_line(message: str, options: Sequence[str] = ()) -> str:
    """A parser's message in one line.

    It says what came, what was wanted, and which of `options` an unknown one may have meant.
    """
    text = " ".join(message.split())
    if refused := refusal(text):
        return refused
    if simple := _unknown(text, options) or _missing(text):
        return simple
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
    if simple := _refused(text, name) or _wrong_value(text, name) or _other_class(text, name):
        return simple
    unclear = re.search(r"Expected a dot import path string: (\S+)", text)
    nowhere = re.search(r"class_path '([\w.]+)': (?:No module named|module '.*' has no)", text)
    if found := nowhere or unclear:
        return _no_class(found[1], name, None)
    return text if len(text) < 400 else f"{text[:180]} ... {text[-200:]}"


def _unknown(text: str, options: Sequence[str]) -> str | None:
    """The line for words that are no options, each with the one of `options` that it may mean."""
    unknown = re.search(r"[Uu]nrecognized arguments: (.+)", text)
    if not unknown:
        return None
    words = unknown[1].split(" ")
    given = [words[0], *(word for word in words[1:] if word.startswith("--"))]
    near = {word: meant_place(word, options) or meant_option(word, options) for word in given}
    meant = [
        ours if len(given) == 1 else f"{ours} for {word.partition('=')[0]}"
        for word, ours in near.items()
        if ours
    ]
    return text + (f"; did you mean {', '.join(meant)}?" if meant else "")


def _missing(text: str) -> str | None:
    """The line for what a command cannot do without."""
    if required := re.fullmatch(r"the following arguments are required: ([a-z_]+)", text):
        return f"{required[1].upper()} is missing"
    if required := re.search(r"arguments are required: (.*)", text):
        absent = " and ".join(f"--{name.split('.')[-1]}" for name in required[1].split(", "))
        names = ", ".join(file.name for file in packaged_configs())
        return f"{absent} missing; give --config FILE; packaged: {names}"
    return None


def _other_class(text: str, name: str) -> str | None:
    """The line for a value that is no class of the kind that is wanted."""
    value = re.search(r"(?:Given value|Got value): (.*)$", text)
    wanted = [
        path
        for path in re.findall(r"(?:<class '|list\[)([\w.]+)(?:'>|\])", text)
        if path not in ("NoneType", "str", "list")
    ]
    if not value or not wanted:
        return None
    shown, known = value[1][:100], known_names(wanted[0])
    if missing := not_there(shown):
        return f"{name}no class {shown!r}: {missing}"
    told = f"; known here: {', '.join(known)}" if "." in wanted[0] else ""
    kind = wanted[0].rpartition(".")[2]
    return f"{name}{shown!r} is not a {kind}{_perhaps(shown, known)}{told}"


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
