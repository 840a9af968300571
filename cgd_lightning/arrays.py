"""Arrays in an npz from outside, read without unpickling and within what the file holds.

    with open_arrays(file) as arrays:
        shape, dtype = arrays.header("mu")
        mean = arrays.read("mu")

An array is stored as it is, so that it is no larger than its file, and what its header says is held
against its size before room is made for it.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tokenize import TokenError
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from cgd_lightning.zips import open_zip

MOST_ARRAYS = 16

BLOCK = 2**20
"""Bytes that are read at once; the directory of the file must fit."""


@contextmanager
def open_arrays(file: BinaryIO) -> Iterator["Arrays"]:
    """The arrays in `file`, a zip as `np.savez` writes it.

    Raises BadZipFile, or what zipfile raises, if it is damaged, compressed, or holds more than
    `MOST_ARRAYS` or two of one name.
    """
    with open_zip(file, BLOCK) as archive:
        members = archive.infolist()
        names = {member.filename for member in members}
        if len(members) > MOST_ARRAYS or len(names) < len(members):
            raise BadZipFile(f"wanted at most {MOST_ARRAYS} arrays of different names")
        yield Arrays(archive)


class Arrays:
    """The arrays of an open npz, by name."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.namelist()

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """(shape, dtype) of an array.

        Raises KeyError if it is not there; ValueError, or what numpy raises, if it is not in
        version 1.0 of numpy's format, holds objects, is empty or is not as large as it says.
        """
        with self._archive.open(f"{name}.npy") as file:
            return self._header(name, file)

    def read(self, name: str) -> NDArray[Any]:
        """The array. Raises what `header` raises, and BadZipFile if its checksum is wrong."""
        with self._archive.open(f"{name}.npy") as file:
            shape, dtype = self._header(name, file)
            array = _read_next(file, shape, dtype)
            _check_end(file)
            return array

    def parts(self, name: str, rows: int) -> Iterator[NDArray[Any]]:
        """The array in parts of so many rows, each read when it is asked for.

        Raises what `read` raises, of the checksum after the last one.
        """
        with self._archive.open(f"{name}.npy") as file:
            shape, dtype = self._header(name, file)
            for first in range(0, shape[0], rows):
                size = min(rows, shape[0] - first)
                yield _read_next(file, (size, *shape[1:]), dtype)
            _check_end(file)

    def rows(self, name: str, places: Sequence[int]) -> NDArray[Any]:
        """The rows at `places`. Raises what `header` raises; checksums are not looked at."""
        with self._archive.open(f"{name}.npy") as file:
            shape, dtype = self._header(name, file)
            start, size = file.tell(), math.prod(shape[1:]) * dtype.itemsize
            found = {}
            for place in sorted(set(places)):
                file.seek(start + place * size)
                found[place] = _read_next(file, shape[1:], dtype)
        return np.stack([found[place] for place in places])

    def _header(self, name: str, file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        shape, dtype = _read_header(name, file)
        size = self._archive.getinfo(f"{name}.npy").file_size - file.tell()
        if math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{name} has shape {list(shape)} in {size} bytes")
        return shape, dtype


def map_array(name: str, file: BinaryIO) -> Any:
    """The array in `file`, an npy, mapped: its numbers are read when somebody looks at them.

    Raises ValueError, or what numpy raises, as `Arrays.header` does.
    """
    shape, dtype = _read_header(name, file)
    size = os.fstat(file.fileno()).st_size - file.tell()
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{name} has shape {list(shape)} in {size} bytes")
    return np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape)


def _read_header(name: str, file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, dtype) of the npy that begins in `file`."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array in another version of the format than 1.0")
    try:
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except TokenError as error:  # of brackets that are never closed
        raise ValueError(f"{name} has no header that can be read") from error
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, which are never read")
    plain = dtype.kind in "biuf" and dtype.isnative and not by_columns
    if not plain or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(
            f"{name} has shape {list(shape)} and {dtype.str}"
            f"{' by columns' * by_columns}, which is not read here"
        )
    return shape, dtype


def _read_next(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of that shape, of the bytes that come next."""
    array = np.empty(shape, dtype)
    room = memoryview(array.data).cast("B")
    filled = 0
    while part := file.read(min(BLOCK, len(room) - filled)):
        room[filled : filled + len(part)] = part
        filled += len(part)
    if filled != len(room):
        raise EOFError(f"an array of {filled} bytes where {len(room)} were wanted")
    return array


def _check_end(file: Any) -> None:
    """Raises EOFError unless all was read; zipfile itself checks the sum there."""
    if file.read(1):
        raise EOFError("an array with more bytes than it says")
