"""Options of which each may have several values: `--sampler.steps 10,20 --weights ema,raw`.

Commas separate values outside brackets and quotes. `--labels` is the exception, whose commas stand
between the labels of images in turn: for several, it is given several times.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cgd_lightning.errors import InputError

BRACKETS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Option:
    """An option and its values. values: None for a switch without one."""

    name: str
    values: tuple[str | None, ...]

    def words(self, place: int) -> list[str]:
        """The words that give it the value at `place`."""
        value = self.values[place]
        return [f"--{self.name}" if value is None else f"--{self.name}={value}"]


def read_options(words: Sequence[str], repeated: Sequence[str] = ("labels",)) -> list[Option]:
    """The options in `words`, in order, each with its values.

    repeated: options whose commas are their own, and which may stand there several times. Raises
    InputError for a word that is no option and follows none.
    """
    found: list[Option] = []
    for name, value in _pairs(words):
        if name in repeated:
            before = [option for option in found if option.name == name]
            values = (*before[0].values, value) if before else (value,)
            found = [option for option in found if option.name != name]
            found.append(Option(name, values))
        else:
            found.append(Option(name, (None,) if value is None else tuple(split(value))))
    return found


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    name: str | None = None
    for word in words:
        if word.startswith("--"):
            if name is not None:
                yield name, None
            name, joined, value = word[2:].partition("=")
            if joined:
                yield name, value
                name = None
        elif name is None:
            raise InputError(f"{word}: no option begins it; wanted --OPTION VALUE")
        else:
            yield name, word
            name = None
    if name is not None:
        yield name, None


def split(text: str) -> list[str]:
    """The values in `text`: its parts between commas that no brackets and no quotes hold.

    A part in quotes of its own loses them. Raises InputError for an empty one.
    """
    parts, closers, quote = [""], [], ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in BRACKETS:
            closers.append(BRACKETS[letter])
        elif closers and letter == closers[-1]:
            closers.pop()
        elif letter == "," and not closers:
            parts.append("")
            continue
        parts[-1] += letter
    parts = [part.strip() for part in parts] if len(parts) > 1 else parts
    if len(parts) > 1 and not all(parts):
        raise InputError(f"{text}: a value is missing beside a comma")
    return [p[1:-1] if len(p) > 1 and p[0] == p[-1] and p[0] in "\"'" else p for p in parts]


def combinations(options: Sequence[Option]) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """(words, {option: its value}) of each combination; the mapping has what there is several of.

    Raises InputError for an option with several values that is given twice.
    """
    several = [option.name for option in options if len(option.values) > 1]
    twice = [name for name in several if sum(o.name == name for o in options) > 1]
    if twice:
        raise InputError(f"--{twice[0]}: given twice; separate its values by commas")
    for places in itertools.product(*(range(len(option.values)) for option in options)):
        words = [word for o, place in zip(options, places) for word in o.words(place)]
        chosen = {o.name: str(o.values[p]) for o, p in zip(options, places) if o.name in several}
        yield words, chosen
