"""A pickle of plain data, interpreted without calling anything.

`pickletools` decodes it, and a closed list of 30 opcodes is interpreted: containers, strings and
numbers, and of all that a pickle can name the few words of `names`, none of which is imported. A
tensor stays a reference to numbers that lie elsewhere in the file.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from cgd_lightning.checkpoints.names import CALLS, NAMES
from cgd_lightning.checkpoints.tensors import DTYPES, Storage

MOST_OPCODES = 1_000_000


class MoreThanDataError(ValueError):
    """The pickle names or asks for something that is not on the list."""


@dataclass(frozen=True)
class _Name:
    """A word of `NAMES` on the stack."""

    text: str


class Interpreter:
    """Runs a pickle of protocol 2 that holds plain data and references to storages.

    size_of: bytes of the storage called KEY.
    """

    def __init__(self, size_of: Callable[[str], int]) -> None:
        self.size_of = size_of
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickle: bytes | BinaryIO) -> Any:
        """What the pickle holds; of a file, it is read to the end of the pickle."""
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
            raise MoreThanDataError(
                f"{type(self.stack[-1]).__name__} where a {kind.__name__} was wanted"
            )
        return self.stack[-1]

    def name(self, text: str) -> None:
        if text not in NAMES:
            raise MoreThanDataError(f"it names {text.replace(' ', '.')[:100]}")
        self.push(_Name(text))

    def reference(self, _: Any) -> None:
        kind, storage_type, key, _location, count, *rest = self.stack.pop()
        if type(storage_type) is not _Name:
            raise ValueError("a storage of no type")
        dtype = DTYPES[storage_type.text.removeprefix("torch ")]
        if (
            kind != "storage"
            or type(key) is not str
            or type(count) is not int
            or rest not in ([], [None])  # a view of another storage, in older files
            or not self.fits(Storage(dtype, key, count))
        ):
            raise ValueError("a storage of another size than the file holds")
        self.push(Storage(dtype, key, count))

    def fits(self, storage: Storage) -> bool:
        """Whether the file holds as many numbers as `storage` says."""
        return self.size_of(storage.key) == storage.count * storage.dtype.itemsize

    def reduce(self, _: Any) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if type(made) is not _Name or type(arguments) is not tuple:
            raise MoreThanDataError("a call")
        word = made.text.rpartition(" ")[2]
        value = CALLS[word](arguments) if word in CALLS else None
        if value is None:
            raise MoreThanDataError(f"a call of {word}")
        self.push(value)

    def build(self, _: Any) -> None:
        """Leaves out the attributes of an OrderedDict, such as the versions of modules."""
        self.stack.pop()
        self._top(dict)


def _one(value: Any) -> Callable[[Interpreter, Any], None]:
    return lambda run, _: run.push(value)


_ACTIONS: dict[str, Callable[[Interpreter, Any], None]] = {
    "PROTO": lambda run, argument: None,
    "MARK": Interpreter.mark,
    "NONE": _one(None),
    "NEWTRUE": _one(True),
    "NEWFALSE": _one(False),
    "BININT": Interpreter.push,
    "BININT1": Interpreter.push,
    "BININT2": Interpreter.push,
    "LONG1": Interpreter.number,
    "BINFLOAT": Interpreter.push,
    "BINUNICODE": Interpreter.push,
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
    "BINPUT": Interpreter.put,
    "LONG_BINPUT": Interpreter.put,
    "BINGET": Interpreter.get,
    "LONG_BINGET": Interpreter.get,
    "GLOBAL": Interpreter.name,
    "REDUCE": Interpreter.reduce,
    "BUILD": Interpreter.build,
    "BINPERSID": Interpreter.reference,
}
