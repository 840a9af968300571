"""The file format of a checkpoint: a zip of one pickle and of raw numbers.

`torch.save` writes `NAME/data.pkl`, a pickle in which tensors stand as references (`pickled`), and
`NAME/data/KEY`, the numbers of each storage. What is declared (entries, sizes, shapes) is held
against the size of the file before anything is read, and the checksum of what is read is verified.
"""

import struct
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.checkpoints.pickled import Interpreter, MoreThanDataError
from cgd_lightning.checkpoints.tensors import Storage, Stored
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.zips import open_zip

MOST_DIRECTORY_BYTES = 8 * 2**20
MOST_PICKLE_BYTES = 16 * 2**20


class Archive:
    """An open checkpoint file.

    `contents` is its pickle: dicts, lists, tuples, sets, strings, numbers and `Stored`. Raises
    InputError, naming the file, if it is damaged, cut short, of another format, larger inside than
    out, or holds more than plain data; nothing of it was run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read_already: dict[Storage, Tensor] = {}
        with ExitStack() as files, self._told():
            if not self.path.is_file():
                raise ValueError("no file")
            file = files.enter_context(self.path.open("rb"))
            self._zip = files.enter_context(open_zip(file, MOST_DIRECTORY_BYTES))
            self._entries = self._list_entries()
            self.contents = self._unpickle()
            self._files = files.pop_all()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What is damaged becomes an InputError that names the file."""
        try:
            yield
        except (PermissionError, InputError):
            raise
        except MoreThanDataError as error:
            raise InputError(
                f"{self.path}: not a readable checkpoint, or one that holds more than plain data "
                f"({error}); nothing of it was run"
            ) from error
        except _DAMAGE as error:
            raise self._damaged(one_line(error)) from error

    def _damaged(self, why: str) -> InputError:
        return InputError(f"{self.path}: not a readable checkpoint, damaged or cut short: {why}")

    def tensor(self, stored: Stored) -> Tensor:
        """The numbers of `stored`; tensors that share a storage share it again.

        Raises InputError if it is damaged.
        """
        numbers = self._read(stored.storage).as_strided(stored.shape, stored.stride, stored.offset)
        whole = stored.numel == stored.storage.count
        return numbers if whole else numbers.clone()

    def check(self) -> None:
        """Raises InputError if the checksum of any entry is wrong. Reads the whole file."""
        with self._told():
            damaged = self._zip.testzip()
        if damaged is not None:
            raise self._damaged(damaged)

    def close(self) -> None:
        """Give the file back."""
        self._files.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _list_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
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
        with self._told():
            data = bytearray(self._zip.read(self._entries[f"data/{storage.key}"]))
            if len(data) != storage.count * storage.dtype.itemsize:
                raise ValueError("a storage of another size than the file holds")
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
