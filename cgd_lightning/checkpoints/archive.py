"""The file format of a checkpoint: a zip of one pickle and of raw numbers.

`torch.save` writes `NAME/data.pkl`, a pickle in which tensors stand as references (`pickled`), and
`NAME/data/KEY`, the numbers of each storage. What is declared (entries, sizes, shapes) is held
against the size of the file before anything is read, and the checksum of what is read is verified.
"""

import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.checkpoints.pickled import Interpreter, MoreThanDataError, Storage, Stored
from cgd_lightning.errors import InputError, one_line

MOST_ENTRIES = 65_535
MOST_DIRECTORY_BYTES = 8 * 2**20
MOST_PICKLE_BYTES = 16 * 2**20


class Archive:
    """An open checkpoint file. `contents` is its pickle: dicts, lists, tuples, sets, strings,
    numbers and `Stored`.

    Raises InputError, naming the file, if it is damaged, cut short, of another format, larger
    inside than out, or holds more than plain data; nothing of it was run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            _check_directory(self.path)
            self._zip = zipfile.ZipFile(self.path)
        except PermissionError:
            raise
        except _DAMAGE as error:
            raise InputError(
                f"{path}: not a readable checkpoint, damaged or cut short: {one_line(error)}"
            ) from error
        self._read_already: dict[Storage, Tensor] = {}
        try:
            self._entries = self._list_entries()
            self.contents = self._unpickle()
        except MoreThanDataError as error:
            self.close()
            raise InputError(
                f"{path}: not a readable checkpoint, or one that holds more than plain data "
                f"({error}); nothing of it was run"
            ) from error
        except _DAMAGE as error:
            self.close()
            raise InputError(
                f"{path}: not a readable checkpoint, damaged or cut short: {one_line(error)}"
            ) from error

    def tensor(self, stored: Stored) -> Tensor:
        """The numbers of `stored`. Tensors that share a storage share it again. Raises InputError
        if it is damaged.
        """
        numbers = self._read(stored.storage).as_strided(stored.shape, stored.stride, stored.offset)
        whole = stored.numel == stored.storage.count
        return numbers if whole else numbers.clone()

    def check(self) -> None:
        """Raises InputError if the checksum of any entry is wrong. Reads the whole file."""
        try:
            damaged = self._zip.testzip()
        except _DAMAGE as error:
            damaged = one_line(error)
        if damaged is not None:
            raise InputError(
                f"{self.path}: not a readable checkpoint, damaged or cut short: {damaged}"
            )

    def close(self) -> None:
        """Give the file back."""
        self._zip.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _list_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if any(
            entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries
        ):
            raise ValueError("compressed or encrypted entries")
        if sum(entry.file_size for entry in entries) > self.path.stat().st_size:
            raise ValueError("entries that are larger than the file")
        roots = [
            name.removesuffix("data.pkl")
            for name in self._zip.namelist()
            if name.count("/") == 1 and name.endswith("/data.pkl")
        ]
        if len(roots) != 1:
            raise ValueError("no data.pkl, or several")
        named = {
            entry.filename.removeprefix(roots[0]): entry
            for entry in entries
            if entry.filename.startswith(roots[0])
        }
        if len(named) != len(entries):
            raise ValueError("entries with the same name, or out of place")
        return named

    def _unpickle(self) -> Any:
        if self._entries["data.pkl"].file_size > MOST_PICKLE_BYTES:
            raise ValueError(f"a description of more than {MOST_PICKLE_BYTES >> 20} MiB")
        order = self._entries.get("byteorder")
        if order is not None and (
            order.file_size > 8 or self._zip.read(order).decode() != sys.byteorder
        ):
            raise ValueError("written on a machine of another byte order")
        return Interpreter(self._size_of).run(self._zip.read(self._entries["data.pkl"]))

    def _size_of(self, key: str) -> int:
        return self._entries[f"data/{key}"].file_size

    def _read(self, storage: Storage) -> Tensor:
        if storage.count == 0:
            return torch.empty(0, dtype=storage.dtype)
        if storage in self._read_already:
            return self._read_already[storage]
        try:
            data = bytearray(self._zip.read(self._entries[f"data/{storage.key}"]))
            if len(data) != storage.count * storage.dtype.itemsize:
                raise ValueError("a storage of another size than the file holds")
        except _DAMAGE as error:
            raise InputError(
                f"{self.path}: not a readable checkpoint, damaged or cut short: {one_line(error)}"
            ) from error
        self._read_already[storage] = torch.frombuffer(data, dtype=storage.dtype)
        return self._read_already[storage]


_DAMAGE = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
)
"""What zipfile, pickletools and the interpreter raise for a file that is not whole."""


def _check_directory(path: Path) -> None:
    """Raises ValueError unless the file ends as a zip does, with a directory of a size that can be
    read.

    zipfile itself reads a directory of any length into memory before it looks at it.
    """
    if not path.is_file():
        raise ValueError("no file")
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(length - 65_557, 0))
        tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < 22:
        raise ValueError("not a zip file")
    entries, size, offset = struct.unpack("<H2L", tail[place + 10 : place + 20])
    locator = tail[max(place - 20, 0) : place]
    if locator.startswith(b"PK\x06\x07"):  # zipfile follows it always
        entries, size = _long_directory(path, locator)
    elif entries == 0xFFFF or 0xFFFFFFFF in (size, offset):
        raise ValueError("not a zip file")
    if entries > MOST_ENTRIES or size > MOST_DIRECTORY_BYTES:
        raise ValueError(f"{entries} entries in {size} bytes of directory")


def _long_directory(path: Path, locator: bytes) -> tuple[int, int]:
    """(entries, bytes) of the directory of a zip of more than 4 GiB."""
    (place,) = struct.unpack("<Q", locator[8:16])
    with path.open("rb") as file:
        file.seek(place)
        record = file.read(56)
    if len(record) != 56 or not record.startswith(b"PK\x06\x06"):
        raise ValueError("not a zip file")
    _, entries, size = struct.unpack("<3Q", record[24:48])
    return entries, size
