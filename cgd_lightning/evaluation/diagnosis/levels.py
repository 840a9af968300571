"""Held-out images at a grid of noise levels, with the same noise at each.

    x_t = alpha x0 + sigma eps,    eps keyed by (seed, index of the image)

So two levels, two classifiers or two runs of a diagnosis differ by nothing but what is compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgd_lightning.diffusion.codec import Codec
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.schedules import NoiseSchedule


def level_grid(schedule: NoiseSchedule, count: int) -> list[Level]:
    """`count` levels, spread evenly over the timesteps, from t = 0 to T-1."""
    last = schedule.timesteps - 1
    return [schedule.level(last * place / (count - 1)) for place in range(count)]


@dataclass(frozen=True)
class HeldOut:
    """Images that nothing was trained on, as data (N, C, H, W), their labels (N,), and a codec.

    batch_size: images at a time. seed: of their noise.
    """

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    codec: Codec
    batch_size: int = 256
    seed: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "HeldOut":
        """The first `count` of them."""
        return HeldOut(
            self.images[:count], self.labels[:count], self.codec, self.batch_size, self.seed
        )

    def batches(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(x0, eps, labels) of each batch, on `device`."""
        for start in range(0, len(self), self.batch_size):
            x0 = self.codec.encode(self.images[start : start + self.batch_size].to(device))
            index = torch.arange(start, start + len(x0), device=device)
            eps = SeededNoise(self.seed, index, x0.shape[1:])().to(x0.dtype)
            yield x0, eps, self.labels[start : start + self.batch_size].to(device)

    def steps(self, levels: Sequence[Level]) -> int:
        """How many noisy batches there are at all `levels`."""
        return -(-len(self) // self.batch_size) * len(levels)
