"""Small image sets, decoded once into one uint8 tensor and batched by index."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset


class ImageBatch(NamedTuple):
    """images: uint8 (B, C, H, W); labels, indices in the data set: int64 (B,)."""

    images: Tensor
    labels: Tensor
    indices: Tensor


def sample_images(data: Dataset[ImageBatch], count: int, batch_size: int = 512) -> ImageBatch:
    """`count` images, or all if there are no more.

    The random choice is always the same, and keeps the order of the data set.
    """
    size = len(data)  # type: ignore[arg-type]
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    chosen = order[:count].sort().values.tolist()
    parts = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    batches = [data.__getitems__(part) for part in parts]  # type: ignore[attr-defined]
    return ImageBatch(*map(torch.cat, zip(*batches)))


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
