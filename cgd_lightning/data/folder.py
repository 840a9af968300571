"""Your own images: a folder with a sub-folder for each class."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.data.class_folders import (
    classes_below,
    files_in,
    first_few,
    problem_of_files,
    sub_folders,
)
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.images import ImageBatch, ImageTensors
from cgd_lightning.data.pictures import decode
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.limits import MOST_CLASSES

MOST_SIDE = 4096
"""Width and height that images are brought to, at most."""

MOST_IN_MEMORY = 2**30
"""Bytes up to which all images of a folder are decoded once and kept."""


class Folder(NoisingDataModule):
    """Images in `root`/CLASS/FILE, of any size and mode.

    The shorter side is resized to `image_size`, and the middle is cut out.

    Args:
        root: folder with a folder of images for each class.
        image_size: width and height in pixels.
        channels: 3 for colour, 1 for grey.
        held_out: share of each class, between 0 and 0.5, that goes to val, and again to test; the
            same images always.
    """

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        channels: int = 3,
        held_out: float = 0.1,
        schedule: NoiseSchedule | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        predict_timestep: int = 0,
        shift: int = 0,
        mirror: bool = False,
        autoencoder: str | None = None,
    ) -> None:
        super().__init__(
            *(schedule, batch_size, num_workers, seed, predict_timestep, shift, mirror),
            autoencoder,
        )
        if channels not in (1, 3):
            raise InputError(f"channels {channels}: wanted 3 for colour or 1 for grey")
        if not 1 <= image_size <= MOST_SIDE:
            raise InputError(f"image_size {image_size}: wanted 1 to {MOST_SIDE} pixels")
        if not 0 < held_out < 0.5:
            raise InputError(f"held_out {held_out}: wanted a share between 0 and 0.5")
        self.root, self.held_out = Path(root), held_out
        self.image_shape = (channels, image_size, image_size)
        self.name = self.root.resolve().name
        self.files, self.labels, self.class_names = list_images(self.root)
        self._splits: dict[str, Dataset[ImageBatch]] = {}

    def split(self, name: str) -> Dataset[ImageBatch]:
        if not self._splits:
            places = split_by_class(self.labels, self.held_out)
            fits = (
                len(self.files) * self.image_shape[0] * self.image_shape[1] ** 2 <= MOST_IN_MEMORY
            )
            for part, where in places.items():
                streamed = ImageFiles(
                    [self.files[i] for i in where], self.labels[where], self.image_shape
                )
                self._splits[part] = streamed.in_memory() if fits else streamed
        return self._splits[name]


class ImageFiles(Dataset[ImageBatch]):
    """Images that are decoded when they are asked for."""

    def __init__(
        self, files: Sequence[Path], labels: Tensor, image_shape: tuple[int, int, int]
    ) -> None:
        self.files, self.labels, self.image_shape = files, labels, image_shape

    def __len__(self) -> int:
        return len(self.files)

    def fingerprint(self) -> str:
        """A SHA-256, in hexadecimal digits, of paths, sizes and times of change of the files.

        And of the shape that they are brought to.
        """
        digest = hashlib.sha256(f"{self.image_shape}".encode())
        for file in self.files:
            state = file.stat()
            digest.update(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        images = torch.stack([self.read(self.files[i]) for i in indices])
        return ImageBatch(images, self.labels[indices], torch.as_tensor(indices))

    def read(self, file: Path) -> Tensor:
        """The image in `file`, uint8 (C, H, W); InputError if it cannot be taken."""
        return decode(file, self.image_shape)

    def in_memory(self) -> ImageTensors:
        """All of them, decoded once, in threads."""
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(self._decoded, self.files))
        good = [image for image in images if isinstance(image, Tensor)]
        bad = [image for image in images if isinstance(image, InputError)]
        if len(bad) > 1:
            few = first_few([f"{error}" for error in bad], "; ")
            raise InputError(f"{len(bad)} of {len(images)} images cannot be taken: {few}")
        if bad:
            raise bad[0]
        return ImageTensors(torch.stack(good), self.labels)

    def _decoded(self, file: Path) -> Tensor | InputError:
        """The image in `file`, or what is wrong with it: all that are wrong are told at once."""
        try:
            return self.read(file)
        except InputError as error:
            return error


def list_images(root: Path) -> tuple[list[Path], Tensor, tuple[str, ...]]:
    """(files, labels int64 (N,), class names in alphabetical order) of the sub-folders of `root`.

    Raises InputError for a folder that is not there or one level too high, fewer than two classes
    or more than MOST_CLASSES, an empty class, names that differ in case only or that cannot be
    printed, and a file in a class folder that is not an image by its ending.
    """
    if not root.is_dir():
        raise InputError(
            f"--data.root {root}: no such folder; give one with a sub-folder of images for each "
            "class"
        )
    folders = sub_folders(root)
    names = tuple(folder.name for folder in folders)
    if lower := classes_below(folders):
        raise InputError(f"--data.root {root}: one level too high; {lower}")
    if problem := _problem_of_names(names):
        raise InputError(f"--data.root {root}: {problem}")
    classes = [files_in(folder) for folder in folders]
    if problem := problem_of_files(root, folders, classes):
        raise InputError(problem)
    counts = torch.tensor([len(files) for files in classes])
    return list(chain(*classes)), torch.arange(len(classes)).repeat_interleave(counts), names


def _problem_of_names(names: Sequence[str]) -> str | None:
    """Why these are no names of classes."""
    if len(names) < 2:
        found = f"only the class {names[0]!r}" if names else "no sub-folders"
        return f"{found}; wanted a sub-folder of images for each of at least two classes"
    if len(names) > MOST_CLASSES:
        return f"{len(names)} classes; wanted at most {MOST_CLASSES}"
    for name in names:
        if not name.isprintable():  # no lone surrogate is, so that the others are all UTF-8
            return (
                f"the class {name!a} has a name that cannot be printed; rename it, or set a UTF-8 "
                "locale"
            )
    clash = _same_but_for_case(names)
    return f"the classes {', '.join(clash)} differ in case only; rename one" if clash else None


def _same_but_for_case(names: Sequence[str]) -> list[str]:
    spelled = Counter(name.casefold() for name in names)
    twice = next((name for name, count in spelled.items() if count > 1), None)
    return [name for name in names if name.casefold() == twice]


def split_by_class(labels: Tensor, held_out: float) -> dict[str, Tensor]:
    """Indices of train, val and test, {split: indices}.

    Of each class the share `held_out`, but at least one image, goes to val and again to test.
    """
    generator = torch.Generator().manual_seed(0)
    parts: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}
    for label in labels.unique():
        own = (labels == label).nonzero().flatten()
        own = own[torch.randperm(len(own), generator=generator)]
        count = max(1, round(held_out * len(own)))
        for part, chosen in zip(parts, (own[2 * count :], own[:count], own[count : 2 * count])):
            parts[part].append(chosen)
    return {part: torch.cat(chosen) for part, chosen in parts.items()}
