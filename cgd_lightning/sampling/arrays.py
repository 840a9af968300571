"""The arrays of a samples.npz, read back, whoever may have changed them since."""

import math
from collections.abc import Sequence
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.limits import MOST_PIXELS
from cgd_lightning.zips import open_zip

MOST_ARRAYS = 16
"""In samples.npz; cgd sample writes two."""

BLOCK = 2**20
"""Bytes of samples.npz that are read at once; its directory must fit."""


def read_arrays(
    file: BinaryIO, targets: Sequence[Target], image_shape: Sequence[int] | None
) -> Tensor:
    """The images, uint8 (N, C, H, W), in the samples.npz `file`.

    targets: one for each, as its array of classes must say. image_shape: the (C, H, W) that is
    wanted. Raises InputError for other shapes, and ValueError, or what zipfile and numpy raise, for
    what is damaged or does not agree.
    """
    with open_zip(file, BLOCK) as archive:
        _check_members(archive)
        images = _images(archive, targets, image_shape)
        if "arr_1.npy" in archive.namelist():
            _check_labels(archive, targets)
    return images


def check_shape(found: Sequence[int], wanted: Sequence[int] | None) -> None:
    """Raises InputError unless images of shape `found` (C, H, W) are wanted.

    Raises ValueError where none are of that shape.
    """
    if wanted is not None and list(found) != list(wanted):
        raise InputError(f"images of shape {list(found)}; wanted shape {list(wanted)}")
    if found[0] not in (1, 3) or found[1] * found[2] > MOST_PIXELS:
        wanted_most = f"wanted 1 or 3 channels and at most {MOST_PIXELS} pixels"
        raise ValueError(f"images of shape {list(found)}; {wanted_most}")


def _check_members(archive: ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MOST_ARRAYS or len({member.filename for member in members}) < len(members):
        raise BadZipFile(f"samples.npz: wanted at most {MOST_ARRAYS} arrays of different names")


def _images(
    archive: ZipFile, targets: Sequence[Target], image_shape: Sequence[int] | None
) -> Tensor:
    with archive.open("arr_0.npy") as file:
        shape, dtype = _header(file, archive.getinfo("arr_0.npy").file_size)
        if dtype != np.uint8 or len(shape) != 4:
            raise ValueError(f"arr_0 is {dtype} of shape {list(shape)}; wanted uint8 (N, H, W, C)")
        n, height, width, channels = shape
        check_shape([channels, height, width], image_shape)
        if n != len(targets):
            raise ValueError(f"{n} images and {len(targets)} targets")
        images = _read_whole(file, shape, dtype)
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _check_labels(archive: ZipFile, targets: Sequence[Target]) -> None:
    """Raises ValueError unless the array of classes says what samples.json says."""
    with archive.open("arr_1.npy") as file:
        shape, dtype = _header(file, archive.getinfo("arr_1.npy").file_size)
        if dtype.kind not in "iu" or shape != (len(targets),):
            wanted = f"wanted {len(targets)} classes"
            raise ValueError(f"arr_1 is {dtype} of shape {list(shape)}; {wanted}")
        classes = _read_whole(file, shape, dtype)
    if classes.tolist() != [t if isinstance(t, int) else -1 for t in targets]:
        raise ValueError("arr_1 says other classes than samples.json")


def _header(file: Any, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, dtype) of the array in `file`, a member of `size` bytes, in numpy's version 1.0."""
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
