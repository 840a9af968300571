"""MNIST, FashionMNIST and CIFAR-10, through torchvision, decoded once into one uint8 tensor."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.idx import read_sizes
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

MOST_IMAGES = 1_000_000
"""In a file of MNIST."""

MOST_BATCH_BYTES = 2**26
"""In a file of CIFAR-10, which has 31 MB; torchvision compares its MD5 before it unpickles it."""


class VisionDataModule(NoisingDataModule):
    """A torchvision data set with a training and a test part.

    `val` is held out of the training part, the same images always.

    Args:
        root: folder that holds the files, or shall.
        download: fetch them if they are missing.
    """

    dataset: type
    held_out: int

    def __init__(
        self,
        root: str = "data",
        download: bool = True,
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
        self.root, self.download = root, download
        self._splits: dict[str, ImageTensors] = {}

    def prepare_data(self) -> None:
        """Download what is missing, in one process, before any training begins."""
        for train in (True, False):
            self._read(train)
        super().prepare_data()

    def split(self, name: str) -> ImageTensors:
        if not self._splits:
            images, labels = self._tensors(self._read(train=True))
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
            val, train = order[: self.held_out], order[self.held_out :]
            self._splits = {
                "train": ImageTensors(images[train], labels[train]),
                "val": ImageTensors(images[val], labels[val]),
                "test": ImageTensors(*self._tensors(self._read(train=False))),
            }
        return self._splits[name]

    def _read(self, train: bool) -> Any:
        """The torchvision data set, downloaded only if its files are missing.

        Raises InputError if it cannot be had or read.
        """
        try:
            self._check_files(train)
            return self.dataset(self.root, train=train, download=False)
        except (
            RuntimeError,
            ValueError,
            TypeError,
            EOFError,
            OSError,
            AssertionError,
            LookupError,
        ) as error:
            if "Dataset not found" not in str(error):
                why = " ".join(str(error).split())
                raise InputError(
                    f"--data.root {self.root}: damaged files of {self.name} ({why}); remove them "
                    "and download again"
                ) from error
            if not self.download:
                raise InputError(
                    f"--data.root {self.root}: no files of {self.name} there; give the folder that "
                    "has them, or --data.download true"
                ) from error
        try:
            return self.dataset(self.root, train=train, download=True)
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"--data.root {self.root}: no files of {self.name} there, and they could not be "
                f"downloaded ({' '.join(str(error).split())}); check the network, or give the "
                "folder that has them"
            ) from error

    def _check_files(self, train: bool) -> None:
        """Raises ValueError if a file that is there may not be given to torchvision to read."""

    @abstractmethod
    def _tensors(self, data: Any) -> tuple[Tensor, Tensor]:
        """(images uint8 (N, C, H, W), labels int64 (N,)) of a torchvision data set."""


class _Grey28(VisionDataModule):
    image_shape = (1, 28, 28)
    held_out = 5000

    def _check_files(self, train: bool) -> None:
        raw = Path(self.root) / self.dataset.__name__ / "raw"
        part = "train" if train else "t10k"
        images, labels = raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte"
        if not (images.is_file() and labels.is_file()):
            return
        count, *size = read_sizes(images, 3)
        if size != [28, 28]:
            raise ValueError(f"{images.name} holds images of {size[0]} x {size[1]}")
        if read_sizes(labels, 1) != [count]:
            raise ValueError(f"{images.name} and {labels.name} hold different numbers of images")
        if not (self.held_out if train else 0) < count <= MOST_IMAGES:
            raise ValueError(f"{images.name} holds {count} images")
        if np.fromfile(labels, np.uint8, offset=8).max() > 9:
            raise ValueError(f"{labels.name} holds labels above 9")

    def _tensors(self, data: Any) -> tuple[Tensor, Tensor]:
        return data.data[:, None], data.targets.long()


def _without_legacy(dataset: type[datasets.MNIST]) -> Any:
    """`dataset`, which never reads `processed/*.pt`, the pickles that old torchvision made."""
    # torchvision looks for the files in a folder of the class's name.
    return type(dataset.__name__, (dataset,), {"_check_legacy_exist": lambda self: False})


class MNIST(_Grey28):
    """70,000 handwritten digits, 28 x 28: 55,000 to train on, 5,000 in val, 10,000 in test.

    LeCun et al. 1998.
    """

    name = "mnist"
    dataset = _without_legacy(datasets.MNIST)
    class_names = tuple("0123456789")


class FashionMNIST(_Grey28):
    """70,000 pieces of clothing, 28 x 28, split as MNIST. Xiao et al. 2017 (arXiv:1708.07747)."""

    name = "fashion-mnist"
    dataset = _without_legacy(datasets.FashionMNIST)
    class_names = tuple(name.lower().replace("/", " or ") for name in datasets.FashionMNIST.classes)


class CIFAR10(VisionDataModule):
    """60,000 photographs, 32 x 32: 45,000 to train on, 5,000 in val, 10,000 in test.

    They show 10 classes. Krizhevsky 2009.
    """

    name = "cifar10"
    dataset = datasets.CIFAR10
    class_names = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    image_shape = (3, 32, 32)
    held_out = 5000

    def _check_files(self, train: bool) -> None:
        """The MD5 of a very long file would take a minute."""
        for file in (Path(self.root) / datasets.CIFAR10.base_folder).glob("*"):
            if file.is_file() and file.stat().st_size > MOST_BATCH_BYTES:
                size = file.stat().st_size
                raise ValueError(f"{file.name} has {size} bytes; wanted at most {MOST_BATCH_BYTES}")

    def _tensors(self, data: Any) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(data.targets)
