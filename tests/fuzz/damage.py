"""Bytes that were flipped, lost, added or repeated, and the numbers in a zip that lie."""

import random
import struct

LIES = [0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
LIES += [2**40, 2**63 - 1, 2**63, 2**64 - 1]

SIGNATURES = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
]
LENGTHS = [46, 30, 22, 56, 20, 24]
"""Of the records with these signatures, without names."""


def damaged(random: random.Random, data: bytes) -> bytes:
    """`data` with one to eight damages, all of the same sort."""
    sort = random.choice(
        [_flip, _flip, _set, _delete, _insert, _zero, _cut, _append, _repeat, _swap]
    )
    times = 1 if sort in (_cut, _append) else random.choice([1, 1, 2, 8])
    for _ in range(times):
        data = sort(random, data)
    return data


def _place(random: random.Random, data: bytes) -> int:
    """Anywhere, but more often near an end, where headers and tables stand."""
    if not data:
        return 0
    near = random.randrange(min(len(data), 400))
    return random.choice([near, len(data) - 1 - near, random.randrange(len(data))])


def _flip(random: random.Random, data: bytes) -> bytes:
    place = _place(random, data)
    return (
        data[:place]
        + bytes([b ^ 1 << random.randrange(8) for b in data[place : place + 1]])
        + data[place + 1 :]
    )


def _set(random: random.Random, data: bytes) -> bytes:
    return _written(random, data, _place(random, data))


def _written(random: random.Random, data: bytes, place: int) -> bytes:
    """A number of 1 to 8 bytes, of one of LIES, at `place`, in either order of bytes."""
    size = random.choice([1, 2, 4, 8])
    number = (random.choice(LIES) % 256**size).to_bytes(size, random.choice(["little", "big"]))
    return data[:place] + number + data[place + size :]


def _delete(random: random.Random, data: bytes) -> bytes:
    place = _place(random, data)
    return data[:place] + data[place + random.choice([1, 2, 16, 300]) :]


def _insert(random: random.Random, data: bytes) -> bytes:
    place = _place(random, data)
    return data[:place] + random.randbytes(random.choice([1, 2, 16, 300])) + data[place:]


def _zero(random: random.Random, data: bytes) -> bytes:
    place, length = _place(random, data), random.choice([4, 64, 1000])
    end = min(place + length, len(data))
    return data[:place] + bytes(end - place) + data[end:]


def _cut(random: random.Random, data: bytes) -> bytes:
    return data[: _place(random, data)]


def _append(random: random.Random, data: bytes) -> bytes:
    more = [
        random.randbytes(100),
        bytes(70_000),
        data[: len(data) // 2],
        data,
        b"PK\x05\x06" + bytes(18),
    ]
    return data + random.choice(more)


def _repeat(random: random.Random, data: bytes) -> bytes:
    place, length = _place(random, data), random.choice([4, 30, 500])
    return (
        data[:place]
        + data[place : place + length] * random.choice([2, 3, 50])
        + data[place + length :]
    )


def _swap(random: random.Random, data: bytes) -> bytes:
    one, two = sorted((_place(random, data), _place(random, data)))
    length = random.choice([1, 4, 40])
    if two - one < length:
        return data[::-1]
    piece, other = data[one : one + length], data[two : two + length]
    return data[:one] + other + data[one + length : two] + piece + data[two + length :]


def lying_zip(random: random.Random, data: bytes) -> bytes:
    """`data`, a zip, with lies in one to four of the fields of its records."""
    if random.random() < 0.15:
        data = _with_long_directory(random, data)
    places = []
    for signature, length in zip(SIGNATURES, LENGTHS, strict=True):
        start = data.find(signature)
        while start >= 0:
            places.append((start, length))
            start = data.find(signature, start + 4)
    for _ in range(random.choice([1, 1, 2, 4])):
        start, length = random.choice(places or [(0, 4)])
        data = _written(random, data, start + random.randrange(4, length + 8))
    return data


def _with_long_directory(random: random.Random, data: bytes) -> bytes:
    """`data` with the directory of a zip of more than 4 GiB, that says what it likes."""
    place = data.rfind(b"PK\x05\x06")
    if place < 0:
        return data
    _, entries, size, offset = struct.unpack("<4x4xHHLL", data[place : place + 20])
    told = [
        number if random.random() < 0.6 else random.choice(LIES)
        for number in (entries, entries, size, offset)
    ]
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *(n % 2**64 for n in told))
    locator = struct.pack(
        "<4sLQL", b"PK\x06\x07", 0, random.choice([place, place, *LIES]) % 2**64, 1
    )
    end = b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + b"\0\0"
    return data[:place] + record + locator + end
