"""Samples that `cgd sample` wrote, read back, whoever may have changed them since.

All that the files declare is checked before room is made for it: samples.json, the header of each
array, the header of each PNG. An array is stored as it is, so that it is no larger than its file.
"""

import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cgd_lightning.diffusion.targets import Target, check_targets
from cgd_lightning.errors import InputError
from cgd_lightning.files import open_plain
from cgd_lightning.limits import MOST_PIXELS
from cgd_lightning.sampling.arrays import ArrayImages, check_arrays, check_shape
from cgd_lightning.sampling.record import read_json
from cgd_lightning.streams import Stream, Told

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
    option: str = "--samples",
) -> tuple[Tensor, list[Target]]:
    """(uint8 images (N, C, H, W), what each was asked to be) of a folder that `cgd sample` wrote.

    All of them are in memory. Arguments and errors are those of `open_samples`, and damage is met.
    """
    images, targets = open_samples(folder, image_shape, class_names, option)
    return images.read(), targets


def open_samples(
    folder: Path,
    image_shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    option: str = "--samples",
) -> tuple[Stream, list[Target]]:
    """(the images of a folder that `cgd sample` wrote, what each was asked to be).

    image_shape: the (C, H, W) that is wanted. class_names: the classes that the targets must know.
    option: the user named the folder by it.
    Raises InputError if the files are missing, damaged or do not agree with each other or with
    these; what is damaged in an image is met, in the same words, when that is read.
    """
    told = partial(_told, folder, option)
    with told():
        targets = _read_targets(folder / "samples.json", class_names)
        array = folder / "samples.npz"
        if os.path.lexists(array):
            shape = check_arrays(array, targets, image_shape)
            return ArrayImages(array, "arr_0", shape, told), targets
        files = list_pictures(folder / "images", len(targets), "CLASS")
        return open_pictures(files, image_shape, told), targets


@contextmanager
def _told(folder: Path, option: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{option} {folder}: {error}") from error
    except DAMAGE as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{option} {folder}: not a folder that cgd sample wrote whole ({why})"
        ) from error


def _read_targets(file: Path, class_names: Sequence[str] | None) -> list[Target]:
    images = read_json(file)["images"]
    kinds, places = _table(images)
    if class_names is not None:
        _check_kinds(kinds, class_names)
    count = images.get("count", len(places))
    if type(count) is not int or count != len(places):
        raise ValueError(f"{len(places)} targets for {count} images")
    return [kinds[place] for place in places]


def _table(images: dict[str, Any]) -> tuple[list[Target], Sequence[int]]:
    """(targets, the place among them of each image's) as samples.json says them in either way."""
    if images.get("targets") is None:
        kinds = [_target(said) for said in images["labels"]]
        places: Sequence[int] = range(len(kinds))
    else:
        kinds = [_target(said) for said in images["targets"]]
        places = images["target_of_image"]
    if not all(type(place) is int and 0 <= place < len(kinds) for place in places):
        raise ValueError("target_of_image: wanted a place in the list of targets for every image")
    if not len(places):
        raise InputError("holds no images")
    return kinds, places


def _check_kinds(kinds: Sequence[Target], class_names: Sequence[str]) -> None:
    """Raises InputError for targets of other classes than these."""
    for kind in kinds:
        if isinstance(kind, tuple) and len(kind) != len(class_names):
            raise InputError(f"a target of {len(kind)} weights for {len(class_names)} classes")
    check_targets(kinds, class_names)


def _target(said: Any) -> Target:
    if type(said) is int and 0 <= said < 2**31:
        return said
    if isinstance(said, list) and all(type(w) in (int, float) and 0 <= w < math.inf for w in said):
        return tuple(map(float, said))
    raise ValueError(f"target {ascii(said)[:40]}: wanted a class from 0, or weights from 0")


class FileImages(Stream):
    """Images of one shape (C, H, W), each in a file of its own.

    read_file: an image (C, H, W) of its file. told: as of `Stream`.
    """

    def __init__(
        self,
        files: Sequence[Path],
        image_shape: Sequence[int],
        read_file: Callable[[Path], Tensor],
        told: Told,
    ) -> None:
        super().__init__((len(files), *image_shape), told)
        self.files, self.read_file = files, read_file

    def batches(self, size: int) -> Iterator[Tensor]:
        with self.told(), ThreadPoolExecutor() as pool:
            for start in range(0, len(self), size):
                yield self._read(self.files[start : start + size], pool)

    def chosen(self, places: Sequence[int]) -> Tensor:
        with self.told(), ThreadPoolExecutor() as pool:
            return self._read([self.files[place] for place in places], pool)

    def _read(self, files: Sequence[Path], pool: ThreadPoolExecutor) -> Tensor:
        return torch.stack(list(pool.map(self.read_file, files))).contiguous()


def open_pictures(
    files: Sequence[Path], image_shape: Sequence[int] | None = None, told: Told = nullcontext
) -> FileImages:
    """The PNG `files`, of `image_shape` (C, H, W), or that of the first.

    Raises InputError for another shape, and what Pillow raises for what is damaged.
    """
    first = _read_picture(files[0], image_shape)
    shape = tuple(first.shape)
    return FileImages(files, shape, lambda file: _read_picture(file, shape), told)


def _read_picture(file: Path, image_shape: Sequence[int] | None) -> Tensor:
    limit = 2**20 + 2 * (math.prod(image_shape) if image_shape is not None else MOST_PIXELS)
    with open_plain(file, limit) as opened, _open_png(opened, file.name) as image:
        if image.mode not in ("L", "RGB"):
            raise ValueError(f"{file.name!a} has mode {image.mode}; wanted L or RGB")
        shape = (len(image.mode), image.height, image.width)
        check_shape(shape, image_shape)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return pixels.reshape(*shape[1:], shape[0]).permute(2, 0, 1)


def _open_png(file: BinaryIO, name: str) -> Image.Image:
    with warnings.catch_warnings():
        # Our limit is the lower one, and its error comes alone.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(file, formats=("PNG",))
        except UnidentifiedImageError as error:
            raise ValueError(f"{name!a} is not a PNG") from error


def list_pictures(folder: Path, count: int, called: str) -> list[Path]:
    """The `count` files INDEX-NAME.png of `folder`, by index; `called` says what NAME is.

    Raises OSError, or ValueError, for other files and another number of them.
    """
    if folder.is_symlink():
        raise OSError(f"{folder.name} is a link")
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                names.append(entry.name)
            if len(names) > count:
                raise ValueError(f"more than {count} files in {folder.name}")
    digits = max(4, len(str(count - 1)))
    names.sort()
    for index, name in enumerate(names):
        if not re.fullmatch(rf"{index:0{digits}}-.*\.png", name, flags=re.DOTALL):
            raise ValueError(f"{name!a} where {index:0{digits}}-{called}.png was wanted")
    if len(names) < count:
        raise ValueError(f"{len(names)} files in {folder.name} where {count} were wanted")
    return [folder / name for name in names]
