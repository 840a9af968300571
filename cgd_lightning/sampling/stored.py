"""Samples that `cgd sample` wrote, read back, whoever may have changed them since.

All that the files declare is checked before room is made for it: samples.json, the header of each
array, the header of each PNG. An array is stored as it is, so that it is no larger than its file.
"""

import io
import json
import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cgd_lightning.diffusion.targets import Target, check_targets
from cgd_lightning.errors import InputError
from cgd_lightning.files import open_plain

RECORD_BYTES = 2**24
RECORD_VALUES = 2**20
"""Limits of samples.json; a value takes up to 100 bytes of memory."""

MEMBERS = 16
"""At most so many arrays are in samples.npz; cgd sample writes two."""

BLOCK = 2**20
"""Bytes of samples.npz that are read at once; its table of contents must fit."""

PIXELS = 2**26
"""At most so many pixels has an image."""

DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, SyntaxError),
    *(AttributeError, EOFError, MemoryError, BadZipFile, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""What zipfile, numpy and Pillow raise for a damaged file."""


def read_samples(
    folder: Path,
    image_shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[Tensor, list[Target]]:
    """(uint8 images (N, C, H, W), what each was asked to be) of a folder that `cgd sample` wrote.

    image_shape: the (C, H, W) that is wanted. class_names: the classes that the targets must know.
    Raises InputError if the files are missing, damaged or do not agree with each other or with
    these.
    """
    try:
        targets = _read_targets(folder / "samples.json", class_names)
        if os.path.lexists(folder / "samples.npz"):
            with _Blocks(open_plain(folder / "samples.npz")) as file, ZipFile(file) as archive:
                _check_members(archive, os.fstat(file.fileno()).st_size)
                return _read_arrays(archive, targets, image_shape), targets
        return _read_pictures(folder / "images", len(targets), image_shape), targets
    except InputError as error:
        raise InputError(f"--samples {folder}: {error}") from error
    except DAMAGE as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"--samples {folder}: not a folder that cgd sample wrote whole ({why})"
        ) from error


def _read_targets(file: Path, class_names: Sequence[str] | None) -> list[Target]:
    with open_plain(file, RECORD_BYTES) as opened:
        contents = opened.read()
    if sum(map(contents.count, (b",", b"[", b"{"))) > RECORD_VALUES:
        raise ValueError(f"{file.name} has more than {RECORD_VALUES} values")
    images = json.loads(contents.decode("utf-8"), parse_constant=_no_number)["images"]
    table = images.get("targets")
    kinds = [_target(said) for said in (images["labels"] if table is None else table)]
    places = range(len(kinds)) if table is None else images["target_of_image"]
    if not all(type(place) is int and 0 <= place < len(kinds) for place in places):
        raise ValueError("target_of_image: wanted a place in the list of targets for every image")
    if not len(places):
        raise InputError("holds no images")
    if class_names is not None:
        for kind in kinds:
            if isinstance(kind, tuple) and len(kind) != len(class_names):
                raise InputError(f"a target of {len(kind)} weights for {len(class_names)} classes")
        check_targets(kinds, class_names)
    count = images.get("count", len(places))
    if type(count) is not int or count != len(places):
        raise ValueError(f"{len(places)} targets for {count} images")
    return [kinds[place] for place in places]


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} in samples.json")


def _target(said: Any) -> Target:
    if type(said) is int and 0 <= said < 2**31:
        return said
    if isinstance(said, list) and all(type(w) in (int, float) and 0 <= w < math.inf for w in said):
        return tuple(map(float, said))
    raise ValueError(f"target {ascii(said)[:40]}: wanted a class from 0, or weights from 0")


class _Blocks(io.BufferedReader):
    """A file of which at most BLOCK bytes are read at once.

    So zipfile, which reads the table of contents in one go, does not take in one of millions.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file.detach())  # type: ignore[attr-defined]

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > BLOCK:
            raise BadZipFile(f"a part of {size} bytes where at most {BLOCK} are read")
        return super().read(size)


def _check_members(archive: ZipFile, size: int) -> None:
    members = archive.infolist()
    if len(members) > MEMBERS or len({member.filename for member in members}) < len(members):
        raise BadZipFile(f"samples.npz: wanted at most {MEMBERS} arrays of different names")
    for member in members:
        if member.compress_type != ZIP_STORED or member.compress_size != member.file_size:
            raise BadZipFile(f"{member.filename!a} is compressed; wanted an array that is not")
    if sum(member.file_size for member in members) > size:
        raise BadZipFile(f"samples.npz has {size} bytes, and its arrays claim more")


def _read_arrays(
    archive: ZipFile, targets: Sequence[Target], image_shape: Sequence[int] | None
) -> Tensor:
    with archive.open("arr_0.npy") as file:
        shape, dtype = _header(file, archive.getinfo("arr_0.npy").file_size)
        if dtype != np.uint8 or len(shape) != 4:
            raise ValueError(f"arr_0 is {dtype} of shape {list(shape)}; wanted uint8 (N, H, W, C)")
        n, height, width, channels = shape
        _check_shape([channels, height, width], image_shape)
        if n != len(targets):
            raise ValueError(f"{n} images and {len(targets)} targets")
        images = _read_whole(file, shape, dtype)
    if "arr_1.npy" in archive.namelist():
        with archive.open("arr_1.npy") as file:
            shape, dtype = _header(file, archive.getinfo("arr_1.npy").file_size)
            if dtype.kind not in "iu" or shape != (n,):
                raise ValueError(f"arr_1 is {dtype} of shape {list(shape)}; wanted {n} classes")
            classes = _read_whole(file, shape, dtype)
        if classes.tolist() != [t if isinstance(t, int) else -1 for t in targets]:
            raise ValueError("arr_1 says other classes than samples.json")
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _header(file: Any, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, dtype) of the array in `file`, a member of `size` bytes, as numpy's version 1.0 says."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array in another version of the format than 1.0")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if by_columns or dtype.hasobject or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(
            f"an array of shape {list(shape)} and {dtype} that cgd sample does not write"
        )
    if math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"an array of shape {list(shape)} in {size - file.tell()} bytes")
    return shape, dtype


def _read_whole(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    array = np.empty(shape, dtype)
    room = memoryview(array.data).cast("B")
    filled = 0
    while part := file.read(BLOCK):  # to the end, where zipfile checks its sum
        room[filled : filled + len(part)] = part
        filled += len(part)
    if filled != len(room):
        raise EOFError(f"an array of {filled} bytes where {len(room)} were wanted")
    return array


def _check_shape(found: Sequence[int], wanted: Sequence[int] | None) -> None:
    if wanted is not None and list(found) != list(wanted):
        raise InputError(f"images of shape {list(found)}; wanted shape {list(wanted)}")
    if found[0] not in (1, 3) or found[1] * found[2] > PIXELS:
        raise ValueError(
            f"images of shape {list(found)}; wanted 1 or 3 channels and at most {PIXELS} pixels"
        )


def _read_pictures(folder: Path, count: int, image_shape: Sequence[int] | None) -> Tensor:
    images = torch.empty(0)
    for index, file in enumerate(_list_pictures(folder, count)):
        limit = 2**20 + 2 * (math.prod(image_shape) if image_shape is not None else PIXELS)
        with open_plain(file, limit) as opened, _open_png(opened, file.name) as image:
            if image.mode not in ("L", "RGB"):
                raise ValueError(f"{file.name!a} has mode {image.mode}; wanted L or RGB")
            shape = (len(image.mode), image.height, image.width)
            _check_shape(shape, image_shape)
            if index == 0:
                image_shape = shape
                images = torch.empty((count, *shape), dtype=torch.uint8)
            pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            images[index] = pixels.reshape(*shape[1:], shape[0]).permute(2, 0, 1)
    return images


def _open_png(file: BinaryIO, name: str) -> Image.Image:
    with warnings.catch_warnings():
        # Our limit is the lower one, and its error comes alone.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(file, formats=("PNG",))
        except UnidentifiedImageError as error:
            raise ValueError(f"{name!a} is not a PNG") from error


def _list_pictures(folder: Path, count: int) -> Iterator[Path]:
    """The `count` files INDEX-CLASS.png of `folder`, by index."""
    if folder.is_symlink():
        raise OSError("images is a link")
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                names.append(entry.name)
            if len(names) > count:
                raise ValueError(f"more than {count} files in images")
    digits = max(4, len(str(count - 1)))
    names.sort()
    for index, name in enumerate(names):
        if not re.fullmatch(rf"{index:0{digits}}-.*\.png", name, flags=re.DOTALL):
            raise ValueError(f"{name!a} where {index:0{digits}}-CLASS.png was wanted")
    if len(names) < count:
        raise ValueError(f"{len(names)} files in images where {count} were wanted")
    return (folder / name for name in names)
