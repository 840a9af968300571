"""The images that `cgd edit` begins with, where each comes from, and where it may change.

They are a file, a folder or an npz, or images of a split of a data set, whose classes are known.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.data.images import ImageBatch, sample_images
from cgd_lightning.data.pictures import ENDINGS, decode, decode_white
from cgd_lightning.diffusion.targets import quoted
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.masks import mask_of, read_mask
from cgd_lightning.sampling.request import MOST_SAMPLES
from cgd_lightning.sampling.sources import Samples, Shape, exactly, open_source
from cgd_lightning.streams import Images

SPLITS = ("train", "val", "test")

OF_A_SPLIT = 64
"""Images, unless the user says another number."""

DARK = 64
"""A grey level below which an image of 16 bits is taken for one of fewer, as of 12."""

ADVICE = ", or --resize to bring images to it"


@dataclass(frozen=True)
class EditImages:
    """Which images are edited.

    Raises InputError for values out of range.

    Args:
        images: the images: a file, a folder, an npz with arr_0, or train, val or test of the data
            set, with its classes; a folder called test is ./test.
        num_images: images at most, by default all; of a split 64, always the same ones.
        resize: bring images, and masks, of another size or with other channels to those of the
            model as data sets of folders do.
        mask: picture of what may change, white on black, one for all images, or a folder of
            pictures with the same names as these have.
        keep: the side of the mask that is kept bit for bit: outside the white, or inside.
    """

    images: str | None = None
    num_images: int | None = None
    resize: bool = False
    mask: str | None = None
    keep: Literal["outside", "inside"] = "outside"

    def __post_init__(self) -> None:
        number = self.num_images
        if not (self.images or "").strip():
            raise InputError(
                "which images? give --images FILE, --images FOLDER, or --images test for those of "
                "the data set"
            )
        if self.mask is not None and not self.mask.strip():
            raise InputError("--mask '': wanted a file, or a folder")
        if number is not None and not 1 <= number <= MOST_SAMPLES:
            raise InputError(f"--num_images {number}: wanted 1 to {MOST_SAMPLES:,}")
        if self.keep == "inside" and self.mask is None:
            raise InputError(f"--keep {self.keep}: of which mask? give it with --mask FILE")


@dataclass(frozen=True, eq=False)
class Given:
    """Images to edit, uint8 (N, C, H, W), and what is known of them.

    names: what each is called: a file, or a number in a split or an array. labels: the class that
    each shows; None where nobody says. masks: where they may change, bool (N, 1, H, W) or
    (1, 1, H, W); None for everywhere. of_files: whether the images are files of their own.
    """

    images: Tensor = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    labels: list[int] | None = field(repr=False)
    masks: Tensor | None = field(repr=False)
    of_files: bool = False

    @cached_property
    def hashes(self) -> dict[str, str | None]:
        """Of the images, of their names with the labels, and of the masks."""
        named = json.dumps([self.names, self.labels]).encode()
        return {
            "hash": hash_of(self.images),
            "names_hash": hashlib.sha256(named).hexdigest(),
            "masks_hash": None if self.masks is None else hash_of(self.masks),
        }


def read_given(
    wanted: EditImages,
    shape: Sequence[int],
    class_names: Sequence[str],
    split: Dataset[ImageBatch] | None = None,
) -> Given:
    """The images that are `wanted`, of `shape` (C, H, W), with classes of `class_names`.

    split: of the data set, if they are of one. Raises InputError, which begins with the option, for
    images and masks that are not there, and for such of another shape.
    """
    if split is not None:
        batch = sample_images(split, wanted.num_images or OF_A_SPLIT)
        names = tuple(f"{wanted.images}-{index}" for index in batch.indices.tolist())
        return _with_masks(wanted, batch.images, names, batch.labels.tolist(), files=False)
    channels, height, width = shape
    found = _read(wanted, (channels, height, width), class_names)
    images = found.images[: wanted.num_images]
    names = found.files or tuple(str(index) for index in range(len(images)))
    return _with_masks(wanted, images, names, _classes(found, len(images)), bool(found.files))


def _read(wanted: EditImages, shape: Shape, class_names: Sequence[str]) -> Samples[Images]:
    path, option = Path(str(wanted.images)), "--images"
    if not (path.suffix.lower() in ENDINGS and path.is_file()):
        most = wanted.num_images
        return open_source(path, shape, class_names, option, wanted.resize, ADVICE, most)
    try:
        image = decode(path, shape) if wanted.resize else exactly(path, shape, ADVICE)
    except InputError as error:
        raise InputError(f"{option} {path}: {error}") from error
    return Samples(image[None], None, files=(path.name,))


def _classes(found: Samples[Images], count: int) -> list[int] | None:
    """The classes of the first images, where all are known and single."""
    classes = [target for target in (found.targets or ())[:count] if isinstance(target, int)]
    return classes if len(classes) == count else None


def _with_masks(
    wanted: EditImages,
    images: Tensor,
    names: tuple[str, ...],
    labels: list[int] | None,
    files: bool,
) -> Given:
    if wanted.mask is None:
        return Given(images, names, labels, None, files)
    path, size = Path(wanted.mask), (images.shape[-2], images.shape[-1])
    if path.is_dir() and not files:
        raise InputError(
            f"--mask {path}: a folder, and --images {wanted.images} has no files whose names it "
            "could share; give one mask for all"
        )
    option, white = "--mask", "where an image may change"
    places = [mask_of(path, name, option) for name in names] if path.is_dir() else [path]
    masks = torch.stack([read_mask(p, size, option, white, wanted.resize) for p in places])
    _check_some_white(masks, wanted)
    return Given(images, names, labels, masks if wanted.keep == "outside" else ~masks, files)


def _check_some_white(masks: Tensor, wanted: EditImages) -> None:
    """Raises InputError for masks that leave nothing to change, or nothing to keep."""
    outside = wanted.keep == "outside"
    if masks.any() and (outside or not masks.all()):
        return
    colour = "white" if masks.any() else "black"
    cut = (
        ", or white only where --resize cuts it off" if wanted.resize and colour == "black" else ""
    )
    what = "nothing is kept" if colour == "black" and not outside else "nothing may change"
    raise InputError(
        f"--mask {wanted.mask}: all {colour}{cut}: {what} with --keep {wanted.keep}; wanted white "
        "in a part of it, and black elsewhere"
    )


def notes_on(given: Given, wanted: EditImages) -> Iterator[str]:
    """What whoever gave the images, and masks, may not have meant, a line each."""
    if given.masks is not None and (idle := int((~given.masks.flatten(1).any(dim=1)).sum())):
        yield f"note: {idle} of {len(given.masks)} masks let nothing change in their image"
    if not given.of_files:
        return
    path = Path(str(wanted.images))
    root = path if path.is_dir() else path.parent
    for place in (given.images.flatten(1).amax(dim=1) < DARK).nonzero().flatten().tolist():
        found = decode_white(root / given.names[place])
        if found.full > 255:
            yield (
                f"note: {given.names[place]!a} is nearly black: its brightest pixel is "
                f"{found.brightest} of {found.full}; stretch the range of such images before"
            )
            return


def in_full(
    word: str | None, shift: int, labels: Sequence[int] | None, class_names: Sequence[str]
) -> str:
    """The labels of images that show the classes `labels`, each further by `shift`, in turn.

    word: how the user writes that, for errors. Raises InputError where their classes are not known.
    """
    if labels is None or not class_names:
        raise InputError(
            f"{word}: wants the class that each image shows; take --images test, or sub-folders "
            "that are called as the classes are"
        )
    classes = [(label + shift) % len(class_names) for label in labels]
    return ",".join(quoted(class_names[k]) for k in classes)
