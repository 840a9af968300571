"""Lesions planted into the images of another data set, with masks: what anomaly maps are tried on.

Of two images in turn one is healthy, as it was, and one is sick: it gets a stroke or a blot that
does not belong there, or a part of its strokes is missing. The pixels that differ are known.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.images import ImageBatch, ImageTensors
from cgd_lightning.data.latents import fingerprint
from cgd_lightning.data.of_another import Images, OfAnother
from cgd_lightning.data.planting import DRAWS, plant
from cgd_lightning.diffusion.noise import philox
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

SPLITS = ("train", "val", "test")

BATCH = 1024
"""Images that are looked at at a time."""


class Lesions(OfAnother):
    """Images of another data set, half of them with a planted lesion: healthy or sick.

    A lesion is a stroke, a blot or a gap in the strokes, as bold as the strokes of its image, and
    changes 2 to 6% of the pixels. Each image of a split has its own, the same always.

    Args:
        of: the data set whose images these are; Digits() if none is given.
        lesion_seed: seed of which images are sick, and of their lesions.
    """

    class_names = ("healthy", "sick")

    def __init__(
        self,
        of: NoisingDataModule | None = None,
        lesion_seed: int = 0,
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
        self.of = of or Digits()
        if isinstance(self.of, Lesions):
            raise InputError("of Lesions: wanted a data set of healthy images; give that one")
        if self.of.autoencoder is not None:
            raise InputError(
                f"of.autoencoder {self.of.autoencoder}: lesions are planted into pixels; give it "
                "as --data.autoencoder"
            )
        if not 0 <= lesion_seed < 2**32:
            raise InputError(f"lesion_seed {lesion_seed}: wanted 0 to 4294967295")
        self.lesion_seed = lesion_seed
        self.name = f"{self.of.name} with lesions"
        self.image_shape = self.of.image_shape
        self._planted: dict[str, Dataset[ImageBatch]] = {}

    def split(self, name: str) -> Dataset[ImageBatch]:
        if name not in self._planted:
            healthy = self.split_of(name)
            streamed = Planted(healthy, self.lesion_seed, SPLITS.index(name))
            fits = isinstance(healthy, ImageTensors)
            self._planted[name] = streamed.in_memory() if fits else streamed
        return self._planted[name]

    def originals(self, split: str) -> Tensor:
        """The images of a split before anything was planted, uint8 (N, C, H, W)."""
        return torch.cat([batch.images for batch in _batches(self.split_of(split))])

    def masks(self, split: str) -> Tensor:
        """The pixels that a lesion changed, bool (N, 1, H, W); none of a healthy image."""
        pairs = zip(_batches(self.split_of(split)), _batches(cast(Images, self.split(split))))
        return torch.cat([(a.images != b.images).any(dim=1, keepdim=True) for a, b in pairs])

    def kinds(self, split: str) -> Tensor:
        """What lesion each image of a split has, (N,) int64: the places in `planting.KINDS`."""
        data = self.split(split)
        if isinstance(data, PlantedTensors):
            return data.kinds
        assert isinstance(data, Planted)
        return torch.cat([data.planted(part).kinds for part in _parts(len(data))])


class Lesioned(NamedTuple):
    """A batch of images as of `ImageBatch`, and the kinds (B,) int64 of their lesions."""

    batch: ImageBatch
    kinds: Tensor


class Planted(Dataset[ImageBatch]):
    """Lesions are planted when images are asked for.

    seed, part: an image's lesion depends on these, on its index and on itself. labels: (N,) int64,
    1 for sick.
    """

    def __init__(self, healthy: Images, seed: int, part: int) -> None:
        self.healthy, self.seed, self.part = healthy, seed, part
        self.labels = (self._kinds(torch.arange(len(healthy))) > 0).long()

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """A SHA-256, in hexadecimal digits, of the lesions and of what is known of the images."""
        known = f"lesions {fingerprint(self.healthy)[0]} {self.seed} {self.part}"
        return hashlib.sha256(known.encode()).hexdigest()

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        return self.planted(indices).batch

    def planted(self, indices: Sequence[int]) -> Lesioned:
        """The images of these indices, and what lesions they have."""
        images, _, index = self.healthy.__getitems__(list(indices))
        numbers = torch.cat([self._numbers(index, draw) for draw in range(DRAWS // 4)], dim=1)
        images, kinds = plant(images, self._kinds(index), numbers)
        return Lesioned(ImageBatch(images, (kinds > 0).long(), index), kinds)

    def in_memory(self) -> "PlantedTensors":
        """All of them, planted once."""
        parts = [self.planted(part) for part in _parts(len(self))]
        images = torch.cat([part.batch.images for part in parts])
        return PlantedTensors(images, self.labels, torch.cat([part.kinds for part in parts]))

    def _kinds(self, index: Tensor) -> Tensor:
        """One of two in turn is sick, and of three sick ones each has another kind of lesion."""
        pair = index // 2
        sick = (index + (self._numbers(pair, 100)[:, 0] * 2).long()) % 2
        return sick * (1 + (pair + (self._numbers(pair // 3, 101)[:, 0] * 3).long()) % 3)

    def _numbers(self, index: Tensor, draw: int) -> Tensor:
        """Four numbers of [0, 1) for each index, (N, 4) float64."""
        counter = (torch.full_like(index, draw), torch.zeros_like(index), index, index >> 32)
        return torch.stack(philox(counter, (self.seed, self.part)), dim=1).double() / 2**32


class PlantedTensors(ImageTensors):
    """Images with lesions in memory, and the kinds (N,) of these."""

    def __init__(self, images: Tensor, labels: Tensor, kinds: Tensor) -> None:
        super().__init__(images, labels)
        self.kinds = kinds


def _parts(count: int) -> Iterator[list[int]]:
    for start in range(0, count, BATCH):
        yield list(range(start, min(start + BATCH, count)))


def _batches(data: Images) -> Iterator[ImageBatch]:
    for part in _parts(len(data)):
        yield data.__getitems__(part)
