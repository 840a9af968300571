"""A file of weights that is mapped into memory instead of being read.

    with open_weights(path) as file:
        file.contents           # a state_dict, with `Stored` for tensors: shapes and precision
        file.tensor(stored)     # a view of the file

The pages of a tensor are loaded when somebody looks at them. So a file of many gigabytes is opened
at once, and the memory of what was looked at can be given back to the system.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile, ZipInfo

from torch import Tensor

from cgd_lightning.checkpoints.archive import Archive
from cgd_lightning.checkpoints.legacy import is_legacy, legacy_contents
from cgd_lightning.checkpoints.pages import Pages
from cgd_lightning.checkpoints.state_dicts import DAMAGE
from cgd_lightning.checkpoints.tensors import Storage, Stored
from cgd_lightning.errors import InputError, one_line

LOCAL_HEADER = 30
"""Bytes before the name of an entry of a zip; the lengths of name and extra field come last."""


class MappedWeights(Protocol):
    """An open file of weights. contents: plain data, with `Stored` for tensors."""

    contents: Any

    def tensor(self, stored: Stored) -> Tensor:
        """The numbers of `stored`, a view of the file. Raises InputError if it is damaged.

        It outlives the open file. Who changes it changes a copy of its pages, never the file.
        """

    def maps(self, stored: Stored) -> bool:
        """Whether `tensor` gives a view of it, and no copy."""

    def let_go(self) -> None:
        """Give back the memory of what was looked at; it is loaded again when it is asked for.

        What was changed in a tensor is lost.
        """


@contextmanager
def open_weights(path: Path) -> Iterator[MappedWeights]:
    """The file `path`, in either format of `torch.save`, mapped.

    Raises InputError, naming the file, if it is damaged or holds more than plain data; nothing of
    it is run.
    """
    try:
        legacy = is_legacy(Path(os.path.realpath(path)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a file of weights: {error}") from error
    if not legacy:
        archive = MappedArchive(path)
        with archive:
            yield archive
        return
    with path.open("rb") as file:
        yield MappedLegacy(path, file)


class MappedArchive(Archive):
    """A file in the format of `torch.save` since 1.6; the checksums are verified as it is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._told():
            file = self._zip.fp
            assert file is not None
            self._map = _Map(file.fileno())

    def maps(self, stored: Stored) -> bool:
        entry = self._entries.get(f"data/{stored.storage.key}")
        return entry is not None and self._start(entry) % stored.storage.dtype.itemsize == 0

    def let_go(self) -> None:
        self._map.let_go()

    def _read(self, storage: Storage) -> Tensor:
        if storage.count == 0 or storage in self._read_already:
            return super()._read(storage)
        entry = self._entries[f"data/{storage.key}"]
        with self._told():
            start = self._start(entry)
            self._map.check(start, entry.file_size, entry.CRC)
            numbers = self._map.numbers(storage.dtype, storage.count, start)
        self._read_already[storage] = numbers
        return numbers

    def _start(self, entry: ZipInfo) -> int:
        """Where the bytes of `entry` begin in the file."""
        head = self._map.bytes[entry.header_offset : entry.header_offset + LOCAL_HEADER]
        if len(head) != LOCAL_HEADER or not head.startswith(b"PK\x03\x04"):
            raise BadZipFile(f"no entry where {entry.filename[:80]!a} was said to be")
        name, extra = struct.unpack("<2H", head[26:])
        return entry.header_offset + LOCAL_HEADER + name + extra


class MappedLegacy:
    """A file in the format of `torch.save` before 1.6, which has no checksums."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        try:
            self.contents, self._places = legacy_contents(file)
            self._map = _Map(file.fileno())
        except DAMAGE as error:
            raise InputError(
                f"{path}: not a readable file of weights, damaged or more than tensors: "
                f"{one_line(error)}; nothing of it was run"
            ) from error

    def tensor(self, stored: Stored) -> Tensor:
        storage = stored.storage
        numbers = self._map.numbers(storage.dtype, storage.count, self._places[storage])
        return numbers.as_strided(stored.shape, stored.stride, stored.offset)

    def maps(self, stored: Stored) -> bool:
        return self._places[stored.storage] % stored.storage.dtype.itemsize == 0

    def let_go(self) -> None:
        self._map.let_go()


class _Map(Pages):
    """A mapped file whose parts can be held against checksums."""

    def check(self, start: int, length: int, checksum: int) -> None:
        """Raises BadZipFile unless so many bytes from `start` on have this CRC-32."""
        with memoryview(self.bytes) as whole, whole[start : start + length] as part:
            if len(part) != length or zlib.crc32(part) != checksum:
                raise BadZipFile("a wrong checksum")
