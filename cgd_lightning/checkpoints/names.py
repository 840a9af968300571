"""The few words that a pickle of plain data may name, and what stands for calling one of them.

None of them is imported.
"""

from collections.abc import Callable
from typing import Any

from cgd_lightning.checkpoints.tensors import DTYPES, MOST_DIMENSIONS, Stored, stored_tensor

MOST_IN_A_SET = 100

NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch Size",
    "torch device",
    "builtins set",
    "__builtin__ set",
    *(f"torch {name}" for name in DTYPES),
}


def _mapping(arguments: tuple[Any, ...]) -> dict[str, Any] | None:
    return None if arguments else {}


def _tensor(arguments: tuple[Any, ...]) -> Stored:
    return stored_tensor(*arguments[:4])


def _parameter(arguments: tuple[Any, ...]) -> Stored | None:
    return arguments[0] if isinstance(arguments[0], Stored) else None


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    plain = type(arguments[0]) in (list, tuple) and len(arguments[0]) <= MOST_DIMENSIONS
    return tuple(arguments[0]) if plain else None


def _set(arguments: tuple[Any, ...]) -> set[Any] | None:
    plain = len(arguments[0]) <= MOST_IN_A_SET and all(
        type(value) in (str, int, float) for value in arguments[0]
    )
    return set(arguments[0]) if plain else None


CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "OrderedDict": _mapping,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_parameter": _parameter,
    "Size": _size,
    "device": lambda arguments: "cpu",  # nobody asks
    "set": _set,
}
"""(the arguments of a call) -> what stands for its result; None if they are not those of data."""
