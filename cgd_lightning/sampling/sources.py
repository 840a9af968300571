"""Samples of any origin: a folder of ours, a folder of images, or an npz as ADM writes it.

ADM's (Dhariwal and Nichol 2021, arXiv:2105.05233) is `arr_0`, uint8 (N, H, W, C), and `arr_1`, the
classes, if there are any; `np.savez` writes it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from cgd_lightning.arrays import open_arrays
from cgd_lightning.data.pictures import ENDINGS, decode, decode_as_it_is
from cgd_lightning.diffusion.targets import Target, check_targets
from cgd_lightning.errors import InputError
from cgd_lightning.files import open_plain
from cgd_lightning.sampling.arrays import ArrayImages, image_shape_of, read_labels
from cgd_lightning.sampling.stored import DAMAGE, FileImages, open_samples
from cgd_lightning.streams import Images, Stream, Told

ADVICE = ", or --resize to bring images to it"

Shape = tuple[int, int, int]


Held = TypeVar("Held", bound=Images, covariant=True)


@dataclass(frozen=True, eq=False)
class Samples(Generic[Held]):
    """uint8 images (N, C, H, W), and what each was asked to be, where that is known.

    images: a tensor, or a stream of those that stay where they are until they are asked for. ours:
    whether cgd sample wrote them. files: those of a folder of images, in it.
    """

    images: Held
    targets: list[Target] | None
    ours: bool = False
    files: tuple[str, ...] = ()


def open_source(
    path: Path,
    image_shape: Shape | None = None,
    class_names: Sequence[str] = (),
    option: str = "--samples",
    resize: bool = False,
    advice: str = ADVICE,
    most: int | None = None,
) -> Samples[Stream]:
    """The images at `path`, of which none is read yet but the first.

    image_shape: the (C, H, W) that is wanted; that of the first image if it is None. class_names:
    classes that targets must know, and by which sub-folders of images are known; empty if there are
    none. option: the user named the path by it. resize: whether images of a folder are brought to
    that shape. advice: what the user can do where they are of another. most: of a folder of images,
    so many are taken, the first by name. Raises InputError, which begins with the option, if there
    are no such images; what is damaged, or of another shape, is met when it is read, in such words.
    """
    if path.is_dir() and os.path.lexists(path / "samples.json"):
        images, targets = open_samples(path, image_shape, class_names or None, option)
        return Samples(images, targets, ours=True)
    where = f"{option} {path}"
    if path.is_dir() and os.path.lexists(path / "edits.json"):
        evaluated = "it as --edits, or " if option == "--samples" else ""
        raise InputError(
            f"{where}: a folder that cgd edit wrote; wanted images; give {evaluated}its "
            f"{path / 'edited'} as {option}"
        )
    told = partial(_told, where)
    with told():
        if path.is_dir():
            return _open_folder(path, image_shape, class_names, resize, advice, most, told)
        if path.suffix == ".npz" and os.path.lexists(path):
            return _open_npz(path, image_shape, class_names, resize, told)
    raise InputError(
        f"{where}: {_what_it_is(path)}; wanted a folder that cgd sample wrote, a folder of images, "
        "or an npz with the array arr_0"
    )


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except DAMAGE as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: cannot be read ({why})") from error


def _what_it_is(path: Path) -> str:
    """What a path leads to that is no folder and no npz."""
    if not os.path.exists(path):
        return "not there"
    if path.is_file() and path.suffix.lower() in ENDINGS:
        return "one picture"
    return (
        f"is there, but no picture, which would end in {', '.join(sorted(ENDINGS))} (DICOM and "
        "NIfTI: convert them first)"
    )


def _open_npz(
    path: Path, image_shape: Shape | None, class_names: Sequence[str], resize: bool, told: Told
) -> Samples[Stream]:
    with open_plain(path.resolve()) as file, open_arrays(file) as arrays:
        if "arr_0" not in arrays and "mu" in arrays:
            raise InputError("statistics of features, not images; they are for --reference")
        try:
            shape = image_shape_of(arrays, "arr_0", image_shape)
        except InputError as error:
            if not resize:
                raise
            raise InputError(f"{error}; --resize is of files: resize the array before") from error
        labels = read_labels(arrays, shape[0]) if "arr_1" in arrays else None
    images = ArrayImages(path.resolve(), "arr_0", shape, told)
    if labels is None or (labels == -1).all():
        return Samples(images, None)
    if labels.min() < 0:
        first = int((labels < 0).nonzero()[0])
        raise InputError(
            f"arr_1 has the label {int(labels[first])} for image {first}; wanted classes from 0, "
            "or -1 for all where nobody knows them; of samples of ours give the folder"
        )
    targets: list[Target] = labels.tolist()
    if class_names:
        check_targets(targets, class_names)
    return Samples(images, targets)


def _open_folder(
    root: Path,
    image_shape: Shape | None,
    class_names: Sequence[str],
    resize: bool,
    advice: str,
    most: int | None,
    told: Told,
) -> Samples[Stream]:
    if (root / "metrics.csv").is_file() or any(root.glob("version_*/metrics.csv")):
        raise InputError("a run; its samples are in folders of their own, as version_0/samples/0")
    own = {path.parent for path in root.rglob("evaluation.json")}
    files = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in ENDINGS
        and path.is_file()
        and path.parent not in own  # what an earlier evaluation drew
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    files = files[:most]
    if not files:
        raise InputError(f"no images in it; wanted files that end in {', '.join(sorted(ENDINGS))}")
    shape = image_shape or _shape_of(decode_as_it_is(files[0]))

    def read(file: Path) -> Tensor:
        return decode(file, shape) if resize else exactly(file, shape, advice)

    images = FileImages(files, shape, read, told)
    targets = _targets_of_folders(files, root, class_names)
    return Samples(images, targets, files=tuple(f.relative_to(root).as_posix() for f in files))


def _shape_of(image: Tensor) -> Shape:
    channels, height, width = image.shape
    return channels, height, width


def exactly(file: Path, shape: Shape, advice: str) -> Tensor:
    """The image in `file`, uint8 of `shape`. Raises InputError, with `advice`, for another."""
    image = decode_as_it_is(file)
    if _shape_of(image) != tuple(shape):
        raise InputError(
            f"{file.name!a} has shape {list(image.shape)}; wanted {list(shape)}{advice}"
        )
    return image


def _targets_of_folders(
    files: Sequence[Path], root: Path, class_names: Sequence[str]
) -> list[Target] | None:
    """The classes by whose names the sub-folders of `root` are called, if all of them are."""
    places = {name: place for place, name in enumerate(class_names)}
    parts = [file.relative_to(root).parts for file in files]
    if not all(len(part) > 1 and part[0] in places for part in parts):
        return None
    return [places[part[0]] for part in parts]
