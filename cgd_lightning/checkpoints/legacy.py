"""The file format of `torch.save` before torch 1.6: pickles one after another, and raw numbers.

    magic number, version, sizes of types | the data, tensors as references | keys of storages |
    for each key: how many numbers, 8 bytes; the numbers

The pickles are interpreted as those of a newer file are (`pickled`), which runs nothing.
"""

import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from cgd_lightning.checkpoints.archive import MOST_PICKLE_BYTES
from cgd_lightning.checkpoints.pickled import Interpreter
from cgd_lightning.checkpoints.tensors import Storage, Stored
from cgd_lightning.files import open_plain

BEGINNING = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e80024de9032e")
"""Pickles of the magic number 0x1950a86a20f9469cfc6c and of the version, 1001."""


class _Legacy(Interpreter):
    """Notes the storages that are referred to; their sizes come later in the file."""

    def __init__(self, length: int) -> None:
        super().__init__(lambda key: 0)
        self.length, self.storages = length, dict[str, Storage]()

    def fits(self, storage: Storage) -> bool:
        known = self.storages.setdefault(storage.key, storage)
        return known == storage and 0 <= storage.count * storage.dtype.itemsize <= self.length


def is_legacy(path: Path) -> bool:
    """Whether the file begins as one in this format."""
    with open_plain(path) as file:
        return file.read(len(BEGINNING)) == BEGINNING


def read_legacy(file: BinaryIO) -> dict[str, Tensor]:
    """The tensors of the state_dict in `file`, by name.

    Raises ValueError, or what pickletools and the interpreter raise, if it is damaged, holds more
    than the file has room for, or is anything else than a mapping from names to tensors.
    """
    state, places = legacy_contents(file)
    _check_room(state, file.seek(0, io.SEEK_END))
    numbers = {storage: _read_numbers(file, storage, place) for storage, place in places.items()}
    return {name: _tensor(stored, numbers) for name, stored in state.items()}


def legacy_contents(file: BinaryIO) -> tuple[Any, dict[Storage, int]]:
    """What `file` holds, with `Stored` for tensors, and where the numbers of each storage begin.

    Raises ValueError, or what pickletools and the interpreter raise, if it is damaged.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    pickles = io.BytesIO(file.read(min(MOST_PICKLE_BYTES, length)))
    if pickles.read(len(BEGINNING)) != BEGINNING:
        raise ValueError("not in the format of torch.save before 1.6")
    sizes, contents = Interpreter(_none).run(pickles), _Legacy(length)
    if not isinstance(sizes, dict) or sizes.get("little_endian") is not True:
        raise ValueError("written on a machine of another byte order")
    state, keys = contents.run(pickles), Interpreter(_none).run(pickles)
    if not isinstance(keys, list) or sorted(keys) != sorted(contents.storages):
        raise ValueError("storages that are not those of its tensors")
    places, place = {}, pickles.tell()
    for storage in (contents.storages[key] for key in keys):
        file.seek(place)
        head = file.read(8)
        if len(head) != 8 or struct.unpack("<q", head)[0] != storage.count:
            raise ValueError("a storage of another size than its tensors say")
        places[storage] = place + 8
        place += 8 + storage.count * storage.dtype.itemsize
    if place > length:
        raise EOFError("it is cut short")
    return state, places


def _none(key: str) -> int:
    raise ValueError("a tensor where none was wanted")


def _check_room(state: Any, length: int) -> None:
    """Raises ValueError unless `state` holds tensors by name, and no more than the file does."""
    if not isinstance(state, dict):
        raise ValueError(f"a {type(state).__name__}, where a state_dict was wanted")
    for name, stored in state.items():
        if not isinstance(stored, Stored) or type(name) is not str:
            raise ValueError(f"{ascii(name)[:80]} is no tensor")
    if sum(stored.bytes for stored in state.values()) > 2 * length:
        raise ValueError("tensors that are larger than the file")


def _read_numbers(file: BinaryIO, storage: Storage, place: int) -> Tensor:
    if storage.count == 0:
        return torch.empty(0, dtype=storage.dtype)
    file.seek(place)
    data = bytearray(file.read(storage.count * storage.dtype.itemsize))
    return torch.frombuffer(data, dtype=storage.dtype)


def _tensor(stored: Stored, numbers: dict[Storage, Tensor]) -> Tensor:
    whole = numbers[stored.storage]
    return whole.as_strided(stored.shape, stored.stride, stored.offset).clone()
