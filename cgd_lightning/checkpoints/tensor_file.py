"""A safetensors file: numbers behind a header of JSON, and nothing that runs.

    length of the header, 8 bytes | {name: {dtype, shape, data_offsets}} | the numbers

What the header declares is held against the size of the file before any number is read; tensors
are read one by one from where it says, so that none is in memory twice.
"""

import math
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.pages import Pages
from cgd_lightning.checkpoints.plain_json import read_mapping
from cgd_lightning.checkpoints.tensors import MOST_DIMENSIONS, Storage, Stored
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain

MOST_HEADER_BYTES = 16 * 2**20
MOST_BYTES = 2**40
"""In a file of tensors."""

METADATA = "__metadata__"

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The kinds of number that are read, by their names in a header."""


class TensorFile:
    """An open safetensors file.

    `tensors` has what can be read, by name; `told` the texts beside them. Raises InputError, naming
    the file, if it is a link, a pipe, damaged, cut short, or of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._told(), ExitStack() as files:
            self._file = files.enter_context(open_plain(own_file(self.path), MOST_BYTES))
            self.tensors, self._places, self.told = _header(self._file)
            self._files = files.pop_all()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What is damaged becomes an InputError that names the file."""
        try:
            yield
        except PermissionError:
            raise
        except _DAMAGE as error:
            raise InputError(
                f"{self.path}: not a readable safetensors file, damaged or cut short: "
                f"{one_line(error)}"
            ) from error

    def tensor(self, stored: Stored) -> Tensor:
        """The numbers of `stored`, in memory of their own; images' weights lie channels last.

        Raises InputError if they cannot be read.
        """
        order = torch.channels_last if len(stored.shape) == 4 else torch.contiguous_format
        numbers = torch.empty(stored.shape, dtype=stored.storage.dtype, memory_format=order)
        with self._told():
            self._file.seek(self._places[stored.storage.key])
            for part in numbers.split(1) if numbers.ndim == 4 else [numbers]:
                part.copy_(self._next(part))
        return numbers

    def _next(self, like: Tensor) -> Tensor:
        """The numbers that come next in the file, as many as there are in `like`."""
        data = bytearray(like.numel() * like.itemsize)
        if _read_into(self._file, memoryview(data)) < len(data):
            raise EOFError("it is cut short")
        numbers = torch.frombuffer(data, dtype=like.dtype) if data else torch.empty_like(like)
        return numbers.view(like.shape)

    def view(self, stored: Stored) -> Tensor:
        """The numbers of `stored` as they lie in the file, mapped; it outlives the open file.

        Those that were looked at before are given back to the system.
        """
        self.let_go()
        place = self._places[stored.storage.key]
        with self._told():
            numbers = self._pages.numbers(stored.storage.dtype, stored.numel, place)
        return numbers.view(stored.shape)

    @cached_property
    def _pages(self) -> Pages:
        return Pages(self._file.fileno())

    def let_go(self) -> None:
        """Give back the memory of what `view` gave; it is loaded again when it is asked for."""
        if "_pages" in vars(self):
            self._pages.let_go()

    def close(self) -> None:
        """Give the file back."""
        self._files.close()

    def __enter__(self) -> "TensorFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_file(path: Path) -> Path:
    """`path`; of a link in the cache of the Hub, the file of the same repository that it means.

    The cache holds a file once, in REPOSITORY/blobs, and REPOSITORY/snapshots/REVISION/NAME is a
    link to it. Any other link stays one, which `open_plain` refuses.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    for folder in path.absolute().parents:
        if folder.name == "snapshots":
            blobs = Path(os.path.realpath(folder.parent / "blobs"))
            return target if target.parent == blobs else path
    return path


def _read_into(file: BinaryIO, room: memoryview) -> int:
    """How many bytes of `room` could be filled from `file`."""
    filled = 0
    while filled < len(room) and (count := file.readinto(room[filled:])):  # type: ignore[attr-defined]  # of every binary file
        filled += count
    return filled


def _header(file: BinaryIO) -> tuple[dict[str, Stored], dict[str, int], dict[str, str]]:
    """(tensors, where the numbers of each begin, texts), all by name.

    Raises ValueError for what does not fit the file.
    """
    size = os.fstat(file.fileno()).st_size
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(MOST_HEADER_BYTES, size - 8):
        raise ValueError(f"a header of {length:,} bytes")
    header = read_mapping(file.read(length))
    told = schema.mapping(header.pop(METADATA, None) or {})
    for name, text in told.items():
        if type(text) is not str:
            raise ValueError(f"{schema.shown(name)} in its metadata is no text")
    places = {name: _place(name, entry) for name, entry in header.items()}
    end = 0
    for name, (_, first, last) in sorted(places.items(), key=lambda item: item[1][1:]):
        if first != end:
            raise ValueError(f"{schema.shown(name)} does not begin where the one before it ends")
        end = last
    if end != size - 8 - length:
        raise ValueError(f"{size - 8 - length:,} bytes of numbers, and {end:,} are declared")
    tensors = {name: stored for name, (stored, _, _) in places.items()}
    return tensors, {name: 8 + length + first for name, (_, first, _) in places.items()}, told


def _place(name: str, entry: Any) -> tuple[Stored, int, int]:
    """(tensor, its first byte, the one after its last) of an entry of a header."""
    shown = schema.shown(name)
    words = ("dtype", "shape", "data_offsets")
    told = schema.mapping(entry, words)
    kind: Any
    shape: Any
    ends: Any
    kind, shape, ends = (told.get(word) for word in words)
    dtype = DTYPES.get(kind) if type(kind) is str else None
    if dtype is None:
        raise ValueError(f"{shown} holds {schema.shown(kind)}, which is no kind of number read")
    if not _is_row(shape) or len(shape) > MOST_DIMENSIONS or not _is_row(ends) or len(ends) != 2:
        raise ValueError(f"{shown} has no shape or place")
    first, last = ends
    count = math.prod(shape)
    if last - first != count * dtype.itemsize:
        raise ValueError(f"{shown} has {last - first:,} bytes for {count:,} numbers")
    stride = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
    return Stored(Storage(dtype, name, count), 0, tuple(shape), tuple(stride)), first, last


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


_DAMAGE = (OSError, ValueError, EOFError, OverflowError, RuntimeError, struct.error)
"""What is raised for a file that is not whole."""
