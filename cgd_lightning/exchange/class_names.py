"""The names of the classes of a model that does not tell them, in the order of its labels."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cgd_lightning.errors import InputError
from cgd_lightning.limits import MOST_CLASSES

ENDINGS = (".jpg", ".jpeg", ".png", ".gif")
"""Of the files that guided-diffusion and improved-diffusion train on (image_datasets.py)."""

MOST_FILES = 20_000_000
"""In a folder of images."""


def imagenet() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet, in the order of their synsets, as torchvision has them.

    Models trained on its folders, sorted by name, have this order.
    """
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return unique(_IMAGENET_CATEGORIES)


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """`names`; those that are there more than once with their label behind them."""
    count = Counter(names)
    return tuple(f"{name} {label}" if count[name] > 1 else name for label, name in enumerate(names))


def given_names(given: Mapping[str, object], classes: int | None) -> tuple[str, ...] | None:
    """The names that the options `class_names` or `images` give; None if neither is given.

    class_names: a list, or text with commas between the names, or `imagenet`. images: a folder.
    classes: how many the model has, if it tells. Raises InputError for another number of names, for
    one that is there twice or is empty, and for both options.
    """
    names, folder = given.get("class_names"), given.get("images")
    if names is None and folder is None:
        return None
    if names is not None and folder is not None:
        raise InputError("--class_names, --images: give one of them")
    if folder is not None:
        return folder_names(Path(str(folder)), classes)
    if isinstance(names, str):
        listed = imagenet() if names == "imagenet" else tuple(n.strip() for n in names.split(","))
    else:
        assert isinstance(names, Sequence)
        listed = tuple(names)
    twice = next((name for name, count in Counter(listed).items() if count > 1), None)
    if twice is not None or not all(name and name.isprintable() for name in listed):
        what = "an empty or unprintable name" if twice is None else f"{twice!r} is there twice"
        raise InputError(f"--class_names: {what}; wanted a name for each class")
    return _as_many(listed, classes, "--class_names")


def folder_names(folder: Path, classes: int | None) -> tuple[str, ...]:
    """The classes of a folder of images, in the order of the labels that guided-diffusion gives.

    There a class is the beginning of a file's name up to the first "_", whatever folder it lies in,
    and labels count the classes in the order of their names. Where these are not `classes`, but the
    sub-folders are, a class is a sub-folder.
    """
    if not folder.is_dir():
        raise InputError(f"--images {folder}: no such folder")
    prefixes = sorted({name.partition("_")[0] for name in _images(folder)})
    folders = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if not prefixes:
        raise InputError(
            f"--images {folder}: no images in it, by their endings {', '.join(ENDINGS)}"
        )
    if classes not in (None, len(prefixes)) and classes != len(folders):
        raise InputError(
            f"--images {folder}: {len(prefixes)} classes by the beginnings of the files' names, "
            f"{len(folders)} by the sub-folders; the model has {classes}"
        )
    names = prefixes if classes in (None, len(prefixes)) else folders
    if not all(name and name.isprintable() for name in names):
        raise InputError(f"--images {folder}: a class whose name is empty or cannot be printed")
    return _as_many(tuple(names), classes, f"--images {folder}")


def _images(folder: Path) -> Iterator[str]:
    """The names of all image files in a folder and below it."""
    count = 0
    for _, _, files in os.walk(folder):
        for name in files:
            count += 1
            if count > MOST_FILES:
                raise InputError(f"--images {folder}: more than {MOST_FILES:,} files")
            if name.lower().endswith(ENDINGS):
                yield name


def _as_many(names: tuple[str, ...], classes: int | None, where: str) -> tuple[str, ...]:
    if classes not in (None, len(names)):
        raise InputError(f"{where}: {len(names)} names, and the model has {classes} classes")
    if len(names) > MOST_CLASSES:
        raise InputError(f"{where}: {len(names)} names; wanted at most {MOST_CLASSES:,}")
    return names
