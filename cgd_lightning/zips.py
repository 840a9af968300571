"""Zip files from outside, whose entries are stored as they are.

What a zip declares of itself, the size of its directory and the sizes of its entries, is held
against the file before anything of it is read.
"""

import os
import struct
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile

MOST_ENTRIES = 65_535

END_BYTES = 22
"""Of the record at the end of a zip, before a comment of up to 64 KiB."""


def open_zip(file: BinaryIO, most_bytes: int) -> ZipFile:
    """The zip in `file`, which stays open when the zip is closed.

    Raises BadZipFile, or what else zipfile raises for a damaged one, if it is none, its directory
    has more than `most_bytes` or `MOST_ENTRIES` entries, an entry is compressed or encrypted, or
    all of them claim more than the file holds.
    """
    length = file.seek(0, os.SEEK_END)
    entries, size = _directory(file, length)
    if entries > MOST_ENTRIES or size > most_bytes:
        raise BadZipFile(
            f"{entries} entries in {size} bytes of directory, where at most {MOST_ENTRIES} in "
            f"{most_bytes} are read"
        )
    archive = ZipFile(file)
    for entry in archive.infolist():
        pressed = entry.compress_type != ZIP_STORED or entry.compress_size != entry.file_size
        if pressed or entry.flag_bits & 1:
            raise BadZipFile(
                f"{entry.filename[:80]!a} is compressed or encrypted; wanted it stored as it is, "
                "as numpy.savez and torch.save do"
            )
    if sum(entry.file_size for entry in archive.infolist()) > length:
        raise BadZipFile("entries that are larger than the file")
    return archive


def _directory(file: BinaryIO, length: int) -> tuple[int, int]:
    """(entries, bytes) of the directory, as the end of a file of so many bytes declares it.

    zipfile itself reads a directory of any length into memory before it looks at it.
    """
    file.seek(max(length - END_BYTES - 65_535, 0))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < END_BYTES:
        raise BadZipFile("not a zip file")
    entries, size, offset = struct.unpack("<H2L", tail[place + 10 : place + 20])
    locator = tail[max(place - 20, 0) : place]
    if locator.startswith(b"PK\x06\x07"):  # zipfile follows it always
        return _long_directory(file, locator)
    if entries == 0xFFFF or 0xFFFFFFFF in (size, offset):
        raise BadZipFile("not a zip file")
    return entries, size


def _long_directory(file: BinaryIO, locator: bytes) -> tuple[int, int]:
    """(entries, bytes) of the directory of a zip of more than 4 GiB."""
    (place,) = struct.unpack("<Q", locator[8:16])
    file.seek(place)
    record = file.read(56)
    if len(record) != 56 or not record.startswith(b"PK\x06\x06"):
        raise BadZipFile("not a zip file")
    _, entries, size = struct.unpack("<3Q", record[24:48])
    return entries, size
