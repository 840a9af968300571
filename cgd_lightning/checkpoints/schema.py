"""What may stand in a file: plain values within bounds, each argument of a class of its type.

Everything here raises `ValueError` with the end of a sentence, which the caller begins with the
file.
"""

from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

MOST_VALUES = 10_000
"""Values in an argument, all lists and mappings in it counted."""

MOST_LETTERS = 10_000
MOST_LETTERS_IN_ALL = 100_000
MOST_DEPTH = 16
MOST_NUMBER = 2**63

Nested = Callable[[Any, type], Any]
"""(what describes an object, its base class) -> the description, checked."""


def plain(value: Any) -> Any:
    """A copy of `value`: None, a bool, a finite number, a string, or lists and mappings of them."""
    left, letters = MOST_VALUES, MOST_LETTERS_IN_ALL

    def copy(value: Any, depth: int) -> Any:
        nonlocal left, letters
        left -= 1
        letters -= len(value) if type(value) is str else 0
        if left < 0 or letters < 0 or depth > MOST_DEPTH:
            raise ValueError(
                f"more than {MOST_VALUES} values, or deeper than {MOST_DEPTH} lists in lists"
            )
        if isinstance(value, list | tuple):
            parts = [copy(part, depth + 1) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, Mapping):
            return {text(key): copy(part, depth + 1) for key, part in value.items()}
        return scalar(value)

    return copy(value, 0)


def shown(value: Any) -> str:
    """What `value` is, in a few words; of a container the type alone, as it may be very large."""
    if type(value) in (bool, NoneType, float) or (type(value) is int and value.bit_length() < 200):
        return str(value)
    return ascii(value[:60]) if type(value) is str else f"a {type(value).__name__}"


def scalar(value: Any) -> Any:
    """`value` itself: None, a bool, a finite number below 2^63, or a string that can be printed."""
    if type(value) in (int, float):
        if not abs(value) < MOST_NUMBER:  # nor not a number
            raise ValueError(f"the number {shown(value)}, where one below 2^63 was wanted")
        return value
    if type(value) in (bool, NoneType):
        return value
    if type(value) is str:
        return text(value)
    raise ValueError(f"a {type(value).__name__}, where plain data was wanted")


def text(value: Any, letters: int = MOST_LETTERS) -> str:
    """`value` itself: a string of at most so many letters, all of which can be printed."""
    if type(value) is not str:
        raise ValueError(f"a {type(value).__name__}, where a string was wanted")
    if len(value) > letters or not value.replace("\n", "").isprintable():
        raise ValueError(f"the string {value[:40]!a}, which is too long or cannot be printed")
    return value


def integer(value: Any, low: int, high: int) -> int:
    """`value` itself: an int from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{shown(value)}, where an integer from {low} to {high} was wanted")
    return value


def mapping(value: Any, keys: Sequence[str] | None = None) -> dict[str, Any]:
    """`value` itself: a mapping with string keys, none beside `keys` where these are given."""
    if not isinstance(value, dict) or not all(type(key) is str for key in value):
        raise ValueError(f"a {type(value).__name__}, where a mapping was wanted")
    unknown = [key for key in value if keys is not None and key not in keys]
    if unknown:
        raise ValueError(f"the unknown entry {unknown[0][:60]!a}")
    return value


def typed(value: Any, hint: Any, nested: Nested) -> Any:
    """`value`, checked to be of the type that an argument is annotated with.

    A class in the annotation means a description of an object, which `nested` checks. Nothing is of
    the types Any, Callable and the like.
    """
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _one_of(value, get_args(hint), nested)
    if origin is Literal:
        return _word(value, get_args(hint))
    if origin in (list, tuple, Sequence):
        return _row(value, hint, nested)
    return _single(value, hint, nested)


def _one_of(value: Any, hints: Sequence[Any], nested: Nested) -> Any:
    problems = []
    for hint in hints:
        try:
            return typed(value, hint, nested)
        except ValueError as error:
            problems.append(error)
    raise max(problems, key=lambda error: len(str(error)))  # the one that looked furthest


def _word(value: Any, words: Sequence[Any]) -> str:
    if type(value) is str and value in words:
        return value
    raise ValueError(f"{shown(value)}, where one of {', '.join(map(str, words))} was wanted")


def _row(value: Any, hint: Any, nested: Nested) -> Any:
    if not isinstance(value, list | tuple):
        raise _unwanted(value, hint)
    if len(value) > MOST_VALUES:
        raise ValueError(f"a list of {len(value)} values")
    inner = next(iter(get_args(hint)), None)
    parts = [typed(part, inner, nested) for part in value]
    return tuple(parts) if tuple in (type(value), get_origin(hint)) else parts


def _single(value: Any, hint: Any, nested: Nested) -> Any:
    if hint in (None, NoneType) and value is None:
        return None
    if hint in (bool, int, float, str):
        if type(value) is hint or (hint is float and type(value) is int):
            return scalar(value)
    elif _is_class(hint) and isinstance(value, Mapping):
        return nested(value, hint)
    raise _unwanted(value, hint)


def _is_class(hint: Any) -> bool:
    return isinstance(hint, type) and hint is not NoneType and get_origin(hint) is None


def _unwanted(value: Any, hint: Any) -> ValueError:
    return ValueError(f"{shown(value)}, where {getattr(hint, '__name__', hint)} was wanted")
