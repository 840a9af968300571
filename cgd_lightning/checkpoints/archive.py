"""The file format of a checkpoint, read without running anything: a zip of one pickle and of raw numbers.

`torch.save` writes `NAME/data.pkl`, a pickle in which tensors stand as references, and `NAME/data/KEY`,
the numbers of each storage. Here `pickletools` decodes the pickle and a closed list of 30 opcodes is
interpreted: containers, strings and numbers, and of all that a pickle can name the few words of
`_NAMES`, none of which is imported or called. What is declared (entries, sizes, shapes) is held
against the size of the file before anything is read, and the checksum of what is read is verified.
"""

import math
import os
import pickletools
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.errors import InputError, one_line

MOST_ENTRIES = 65_535
MOST_DIRECTORY_BYTES = 8 * 2**20
MOST_PICKLE_BYTES = 16 * 2**20
MOST_OPCODES = 1_000_000
MOST_DIMENSIONS = 8
MOST_IN_A_SET = 100

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


class MoreThanDataError(ValueError):
    """The pickle names or asks for something that is not on the list."""


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


class Archive:
    """An open checkpoint file. `contents` is its pickle: dicts, lists, tuples, sets, strings, numbers and `Stored`.

    Raises InputError, naming the file, if it is damaged, cut short, of another format, larger inside
    than out, or holds more than plain data; nothing of it was run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            _check_directory(self.path)
            self._zip = zipfile.ZipFile(self.path)
        except PermissionError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{path}: not a readable checkpoint, damaged or cut short: {one_line(error)}") from error
        self._read_already: dict[Storage, Tensor] = {}
        try:
            self._entries = self._list_entries()
            self.contents = self._unpickle()
        except MoreThanDataError as error:
            self.close()
            raise InputError(
                f"{path}: not a readable checkpoint, or one that holds more than plain data ({error}); nothing of it was run"
            ) from error
        except _DAMAGE as error:
            self.close()
            raise InputError(f"{path}: not a readable checkpoint, damaged or cut short: {one_line(error)}") from error

    def tensor(self, stored: Stored) -> Tensor:
        """The numbers of `stored`. Tensors that share a storage share it again. Raises InputError if it is damaged."""
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
            raise InputError(f"{self.path}: not a readable checkpoint, damaged or cut short: {damaged}")

    def close(self) -> None:
        """Give the file back."""
        self._zip.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _list_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise ValueError("compressed or encrypted entries")
        if sum(entry.file_size for entry in entries) > self.path.stat().st_size:
            raise ValueError("entries that are larger than the file")
        roots = [name.removesuffix("data.pkl") for name in self._zip.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError("no data.pkl, or several")
        named = {entry.filename.removeprefix(roots[0]): entry for entry in entries if entry.filename.startswith(roots[0])}
        if len(named) != len(entries):
            raise ValueError("entries with the same name, or out of place")
        return named

    def _unpickle(self) -> Any:
        if self._entries["data.pkl"].file_size > MOST_PICKLE_BYTES:
            raise ValueError(f"a description of more than {MOST_PICKLE_BYTES >> 20} MiB")
        order = self._entries.get("byteorder")
        if order is not None and (order.file_size > 8 or self._zip.read(order).decode() != sys.byteorder):
            raise ValueError("written on a machine of another byte order")
        return _Interpreter(self._size_of).run(self._zip.read(self._entries["data.pkl"]))

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
            raise InputError(f"{self.path}: not a readable checkpoint, damaged or cut short: {one_line(error)}") from error
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
    """Raises ValueError unless the file ends as a zip does, with a directory of a size that can be read.

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


_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch Size",
    "torch device",
    "builtins set",
    "__builtin__ set",
    *(f"torch {name}" for name in DTYPES),
}


@dataclass(frozen=True)
class _Name:
    """A word of `_NAMES` on the stack."""

    text: str


class _Interpreter:
    """Runs a pickle of protocol 2 that holds plain data and references to storages.

    size_of: bytes of the storage called KEY.
    """

    def __init__(self, size_of: Callable[[str], int]) -> None:
        self.size_of = size_of
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
            if count > MOST_OPCODES:
                raise ValueError(f"a description of more than {MOST_OPCODES} words")
            if opcode.name == "STOP":
                break
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise MoreThanDataError(f"opcode {opcode.name}")
            action(self, argument)
        (result,) = self.stack
        return result

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        values, self.stack = self.stack, self.marks.pop()
        return values

    def number(self, value: int) -> None:
        if value.bit_length() > 64:
            raise ValueError("a number of more than 64 bits")
        self.push(value)

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.push(self.memo[place])

    def tuple_of(self, length: int) -> None:
        values = self.stack[len(self.stack) - length :]
        if len(values) != length:
            raise IndexError("an empty stack")
        del self.stack[len(self.stack) - length :]
        self.push(tuple(values))

    def append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        items = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int):
                raise MoreThanDataError(f"a key of type {type(key).__name__}")
            items[key] = value

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise MoreThanDataError(f"{type(self.stack[-1]).__name__} where a {kind.__name__} was wanted")
        return self.stack[-1]

    def name(self, text: str) -> None:
        if text not in _NAMES:
            raise MoreThanDataError(f"it names {text.replace(' ', '.')[:100]}")
        self.push(_Name(text))

    def reference(self, _: Any) -> None:
        kind, storage_type, key, _location, count = self.stack.pop()
        if type(storage_type) is not _Name:
            raise ValueError("a storage of no type")
        dtype = DTYPES[storage_type.text.removeprefix("torch ")]
        if kind != "storage" or type(key) is not str or type(count) is not int or self.size_of(key) != count * dtype.itemsize:
            raise ValueError("a storage of another size than the file holds")
        self.push(Storage(dtype, key, count))

    def reduce(self, _: Any) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if type(made) is not _Name or type(arguments) is not tuple:
            raise MoreThanDataError("a call")
        word = made.text.rpartition(" ")[2]
        if word == "OrderedDict" and not arguments:
            self.push({})
        elif word == "_rebuild_tensor_v2":
            self.push(_stored(*arguments[:4]))
        elif word == "_rebuild_parameter" and isinstance(arguments[0], Stored):
            self.push(arguments[0])
        elif word == "Size" and type(arguments[0]) in (list, tuple) and len(arguments[0]) <= MOST_DIMENSIONS:
            self.push(tuple(arguments[0]))
        elif word == "device":
            self.push("cpu")  # nobody asks
        elif word == "set" and len(arguments[0]) <= MOST_IN_A_SET and all(type(value) in (str, int, float) for value in arguments[0]):
            self.push(set(arguments[0]))
        else:
            raise MoreThanDataError(f"a call of {word}")

    def build(self, _: Any) -> None:
        """The attributes of an OrderedDict, such as the versions of a state_dict's modules, are left out."""
        self.stack.pop()
        self._top(dict)


def _stored(storage: Any, offset: Any, shape: Any, stride: Any) -> Stored:
    numbers = [offset, *shape, *stride]
    plain = isinstance(storage, Storage) and all(type(number) is int and 0 <= number < 2**63 for number in numbers)
    if not plain or len(shape) != len(stride) or len(shape) > MOST_DIMENSIONS:
        raise ValueError("a tensor of no shape")
    stored = Stored(storage, offset, tuple(shape), tuple(stride))
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride))
    if stored.numel and (last >= storage.count or stored.numel > storage.count):
        raise ValueError("a tensor that is larger than its storage")
    return stored


def _one(value: Any) -> Callable[[_Interpreter, Any], None]:
    return lambda run, _: run.push(value)


_ACTIONS: dict[str, Callable[[_Interpreter, Any], None]] = {
    "PROTO": lambda run, argument: None,
    "MARK": _Interpreter.mark,
    "NONE": _one(None),
    "NEWTRUE": _one(True),
    "NEWFALSE": _one(False),
    "BININT": _Interpreter.push,
    "BININT1": _Interpreter.push,
    "BININT2": _Interpreter.push,
    "LONG1": _Interpreter.number,
    "BINFLOAT": _Interpreter.push,
    "BINUNICODE": _Interpreter.push,
    "EMPTY_DICT": lambda run, _: run.push({}),
    "EMPTY_LIST": lambda run, _: run.push([]),
    "EMPTY_TUPLE": _one(()),
    "TUPLE": lambda run, _: run.push(tuple(run.marked())),
    "TUPLE1": lambda run, _: run.tuple_of(1),
    "TUPLE2": lambda run, _: run.tuple_of(2),
    "TUPLE3": lambda run, _: run.tuple_of(3),
    "APPEND": lambda run, _: run.append([run.stack.pop()]),
    "APPENDS": lambda run, _: run.append(run.marked()),
    "SETITEM": lambda run, _: run.set_items([run.stack.pop(-2), run.stack.pop()]),
    "SETITEMS": lambda run, _: run.set_items(run.marked()),
    "BINPUT": _Interpreter.put,
    "LONG_BINPUT": _Interpreter.put,
    "BINGET": _Interpreter.get,
    "LONG_BINGET": _Interpreter.get,
    "GLOBAL": _Interpreter.name,
    "REDUCE": _Interpreter.reduce,
    "BUILD": _Interpreter.build,
    "BINPERSID": _Interpreter.reference,
}
