"""Arrays of numpy, in an npz or alone, whose header lies or whose values are none."""

import io
import random
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.fuzz.damage import LIES

SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (3,), (2, 3), (3, 3), (1, 2, 3, 4), (1,) * 30]
TYPES = [
    *(np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.uint8, np.int64),
    *(np.uint64, bool, object, "U3", "S3", ">f4", "M8[s]", [("a", "f4"), ("b", "O")]),
]
NUMBERS = [0.0, 1.0, -1.0, float("nan"), float("inf"), 1e20, 1e300, 5e-324]

HEADERS = [
    b"",
    b"{}",
    b"(" * 3000,
    b"[" * 90 + b"]" * 90,
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (2**62, 2**62)}",
    b"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 3)}",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3)}",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 4000 + b",)}",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 3000 + b")}",
    b"{'descr': __import__('os').system('touch ../canary/new')}",
    b"{'descr': [('a', '<f4', (2**31,))], 'fortran_order': False, 'shape': (1,)}",
    b"{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
    b"\xff" * 60,
    b"{'descr': '<U2147483647', 'fortran_order': False, 'shape': (1,)}",
]


def hostile_array(random: random.Random, like: NDArray[Any]) -> NDArray[Any]:
    """`like` with other numbers, of another shape, or of another kind of number."""
    what = random.randrange(4)
    if what == 0 and like.size:
        kind = np.result_type(like, np.float32) if like.dtype.kind == "f" else like.dtype
        changed = like.astype(kind).copy()
        number = random.choice(NUMBERS) if kind.kind == "f" else random.choice([-1, 0, 7, 250])
        changed.flat[random.randrange(like.size)] = np.array(number).astype(kind)
        return changed
    if what == 1:
        return random.choice([like.T, like[None], like.reshape(-1), like[:0], like[:-1]])
    if what == 2:
        return like.astype(random.choice([np.float16, np.float64, np.int32, np.uint8, ">f4"]))
    full: NDArray[Any] = np.full(random.choice(SHAPES), random.choice([0, 1]))
    try:
        return full.astype(random.choice(TYPES))  # type: ignore[arg-type]  # structures too
    except (ValueError, TypeError):
        return full


def lying_npy(random: random.Random, data: bytes) -> bytes:
    """`data`, an npy, with another header, version or length."""
    (length,) = struct.unpack("<H", data[8:10])
    header, numbers = data[10 : 10 + length], data[10 + length :]
    what = random.choice(["text", "version", "length", "shape", "bytes"])
    if what == "text":
        header = random.choice(HEADERS)
    elif what == "shape":
        number = random.choice(LIES)
        header = header.replace(b"(", f"({number}, ".encode(), 1)[:-3] + b" \n"
    elif what == "version":
        return data[:6] + bytes(random.choice([(2, 0), (3, 0), (9, 9), (1, 1)])) + data[8:]
    elif what == "length":
        return data[:8] + struct.pack("<H", random.choice(LIES) % 2**16) + data[10:]
    else:
        numbers = random.choice([b"", numbers[:-1], numbers + b"\0", numbers * 2])
    return data[:8] + struct.pack("<H", len(header) % 2**16) + header + numbers


def as_npy(array: NDArray[Any]) -> bytes:
    """`array` as np.save writes it, pickled objects too."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def as_npz(random: random.Random, arrays: dict[str, NDArray[Any]]) -> bytes:
    """`arrays` as np.savez writes them, or np.savez_compressed."""
    file = io.BytesIO()
    save = random.choice([np.savez, np.savez, np.savez, np.savez_compressed])
    save(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return file.getvalue()
