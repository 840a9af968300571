"""Small image sets, decoded once into one uint8 tensor and batched by index."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.streams import BATCH, Stream


class ImageBatch(NamedTuple):
    """images: uint8 (B, C, H, W); labels, indices in the data set: int64 (B,)."""

    images: Tensor
    labels: Tensor
    indices: Tensor


def sample_images(data: Dataset[ImageBatch], count: int, batch_size: int = 512) -> ImageBatch:
    """`count` images, or all if there are no more.

    The random choice is always the same, and keeps the order of the data set.
    """
    chosen = choose(data, count)
    parts = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    batches = [data.__getitems__(part) for part in parts]  # type: ignore[attr-defined]
    return ImageBatch(*map(torch.cat, zip(*batches)))


def choose(data: Dataset[ImageBatch], count: int) -> list[int]:
    """The places of `count` images of `data` in order, or of all; the choice is always the same."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]  # sized
    return order[:count].sort().values.tolist()


class ChosenImages(Stream):
    """At most `count` images of a data set, those of `sample_images`, which stay in it."""

    def __init__(self, data: Dataset[ImageBatch], count: int) -> None:
        self.data, self.places = data, choose(data, count)
        first = self._batch(self.places[:1]).images
        super().__init__((len(self.places), *first.shape[1:]))

    def chosen(self, places: Sequence[int]) -> Tensor:
        return self._batch([self.places[place] for place in places]).images

    @cached_property
    def labels(self) -> Tensor:
        """Their classes, int64 (N,); where the data set does not tell them, all are read."""
        known = getattr(self.data, "labels", None)
        if isinstance(known, Tensor) and len(known) == len(self.data):  # type: ignore[arg-type]  # sized
            return known[self.places]
        parts = [self.places[start : start + BATCH] for start in range(0, len(self), BATCH)]
        return torch.cat([self._batch(part).labels for part in parts])

    def _batch(self, places: Sequence[int]) -> ImageBatch:
        batch: ImageBatch = self.data.__getitems__(places)  # type: ignore[attr-defined]  # batched
        return batch


class ImageTensors(Dataset[ImageBatch]):
    """Images and labels that fit in memory.

    A whole batch is taken by one indexing operation, with no Python per image.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """The SHA-256 of the images, in hexadecimal digits."""
        digest = hashlib.sha256(f"{self.images.dtype} {tuple(self.images.shape)}".encode())
        for part in self.images.split(4096):
            digest.update(part.contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        index = torch.as_tensor(indices)
        return ImageBatch(self.images[index], self.labels[index], index)
