"""The arrays of a samples.npz, read back, whoever may have changed them since."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgd_lightning.arrays import Arrays, open_arrays
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.files import open_plain
from cgd_lightning.limits import MOST_PIXELS
from cgd_lightning.streams import Stream, Told


class ArrayImages(Stream):
    """Images of a file of arrays, called `name`, as (N, H, W, C).

    file: that of them. told: as of `Stream`.
    """

    def __init__(self, file: Path, name: str, shape: Sequence[int], told: Told) -> None:
        super().__init__(shape, told)
        self.file, self.name = file, name

    def batches(self, size: int) -> Iterator[Tensor]:
        with self.told(), self._opened() as arrays:
            yield from map(_as_images, arrays.parts(self.name, size))

    def chosen(self, places: Sequence[int]) -> Tensor:
        with self.told(), self._opened() as arrays:
            return _as_images(arrays.rows(self.name, places))

    @contextmanager
    def _opened(self) -> Iterator[Arrays]:
        with open_plain(self.file) as file, open_arrays(file) as arrays:
            if image_shape_of(arrays, self.name) != self.shape:
                raise ValueError("changed while it was read")
            yield arrays


def check_arrays(
    file: Path, targets: Sequence[Target], image_shape: Sequence[int] | None
) -> tuple[int, ...]:
    """The shape (N, C, H, W) of the images in the samples.npz `file`.

    targets: one for each, as its array of classes must say. image_shape: the (C, H, W) that is
    wanted. Raises InputError for other shapes, and ValueError, or what zipfile and numpy raise, for
    what is damaged or does not agree.
    """
    with open_plain(file) as opened, open_arrays(opened) as arrays:
        shape = image_shape_of(arrays, "arr_0", image_shape, len(targets))
        if "arr_1" in arrays:
            _check_labels(read_labels(arrays, len(targets)), targets)
    return shape


def image_shape_of(
    arrays: Arrays,
    name: str,
    image_shape: Sequence[int] | None = None,
    count: int | None = None,
) -> tuple[int, ...]:
    """The shape (N, C, H, W) of images called `name`, of which there must be `count`, if given.

    Raises InputError for other shapes than `image_shape` (C, H, W), and ValueError for what are no
    images.
    """
    shape, dtype = arrays.header(name)
    if dtype != np.uint8 or len(shape) != 4:
        raise ValueError(f"{name} is {dtype} of shape {list(shape)}; wanted uint8 (N, H, W, C)")
    n, height, width, channels = shape
    check_shape([channels, height, width], image_shape)
    if count is not None and n != count:
        raise ValueError(f"{n} images and {count} targets")
    return n, channels, height, width


def read_images(
    arrays: Arrays,
    image_shape: Sequence[int] | None,
    count: int | None = None,
    name: str = "arr_0",
) -> Tensor:
    """The images called `name`, uint8 (N, C, H, W). Raises what `image_shape_of` raises."""
    image_shape_of(arrays, name, image_shape, count)
    return _as_images(arrays.read(name))


def _as_images(array: NDArray[Any]) -> Tensor:
    """uint8 (N, H, W, C) as (N, C, H, W), as pictures lie, so that networks round the same."""
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def read_labels(arrays: Arrays, count: int, name: str = "arr_1") -> Tensor:
    """The classes called `name`, int64 (N,), of `count` images. Raises ValueError for others."""
    shape, dtype = arrays.header(name)
    if dtype.kind not in "iu" or shape != (count,):
        raise ValueError(f"{name} is {dtype} of shape {list(shape)}; wanted {count} classes")
    labels = arrays.read(name)
    if count and not (labels.min() >= -(2**31) and labels.max() < 2**31):
        raise ValueError(f"{name} has the label {labels.max()}; wanted classes")
    return torch.from_numpy(labels.astype(np.int64))


def check_shape(found: Sequence[int], wanted: Sequence[int] | None) -> None:
    """Raises InputError unless images of shape `found` (C, H, W) are wanted.

    Raises ValueError where none are of that shape.
    """
    if wanted is not None and list(found) != list(wanted):
        raise InputError(f"images of shape {list(found)}; wanted shape {list(wanted)}")
    if found[0] not in (1, 3) or found[1] * found[2] > MOST_PIXELS:
        wanted_most = f"wanted 1 or 3 channels and at most {MOST_PIXELS} pixels"
        raise ValueError(f"images of shape {list(found)}; {wanted_most}")


def _check_labels(labels: Tensor, targets: Sequence[Target]) -> None:
    """Raises ValueError unless the array of classes says what samples.json says."""
    if labels.tolist() != [t if isinstance(t, int) else -1 for t in targets]:
        raise ValueError("arr_1 says other classes than samples.json")
