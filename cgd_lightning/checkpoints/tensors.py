"""Tensors that have not been read yet: views of numbers that lie elsewhere in the file."""

import math
from dataclasses import dataclass
from typing import Any

import torch

MOST_DIMENSIONS = 8

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors: entry `key` of the file, `count` numbers of `dtype`."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True)
class Stored:
    """A tensor that has not been read yet: a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How large it is in memory."""
        return self.numel * self.storage.dtype.itemsize


def stored_tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> Stored:
    """The tensor of a pickle's words.

    Raises ValueError if they are none, or if it does not lie within its storage.
    """
    numbers = [offset, *shape, *stride]
    plain = isinstance(storage, Storage) and all(
        type(number) is int and 0 <= number < 2**63 for number in numbers
    )
    if not plain or len(shape) != len(stride) or len(shape) > MOST_DIMENSIONS:
        raise ValueError("a tensor of no shape")
    stored = Stored(storage, offset, tuple(shape), tuple(stride))
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride))
    if stored.numel and (last >= storage.count or stored.numel > storage.count):
        raise ValueError("a tensor that is larger than its storage")
    return stored
