"""Noise with an address: each image has a random stream of its own, keyed by (seed, image index).

A picture then depends on its seed and index alone, not on the batch or the process that it was
drawn in. The generator is Philox-4x32-10, counter-based, so that all streams of a batch advance in
a few tensor operations and are the same on every device: Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3" (doi:10.1145/2063384.2063405).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LOW_32 = 0xFFFFFFFF


class SeededNoise:
    """Standard normal noise, one stream per image: each call gives the next draw.

    A draw is (B, *shape) float32, for the images `index` (B,) int64.
    """

    def __init__(self, seed: int, index: Tensor, shape: Sequence[int]) -> None:
        self.seed, self.index, self.shape = seed, index, tuple(shape)
        self.draws = 0

    def __call__(self) -> Tensor:
        size = math.prod(self.shape)
        place = torch.arange((size + 3) // 4, device=self.index.device)
        counter = (
            place[None, :].expand(len(self.index), -1),
            torch.full_like(place, self.draws)[None, :],
            (self.index & _LOW_32)[:, None],
            (self.index >> 32 & _LOW_32)[:, None],
        )
        self.draws += 1
        a, b, c, d = philox(counter, (self.seed & _LOW_32, self.seed >> 32 & _LOW_32))
        normal = torch.cat([*_box_muller(a, b), *_box_muller(c, d)], dim=1)
        return normal[:, :size].reshape(-1, *self.shape)


def philox(
    counter: Sequence[Tensor], key: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four tensors of random 32-bit words, held in int64.

    They come from four counter words of broadcastable shape and a 64-bit key.
    """
    a, b, c, d = counter
    key_low, key_high = key
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (
            (right >> 32 & _LOW_32) ^ b ^ key_low,
            right & _LOW_32,
            (left >> 32 & _LOW_32) ^ d ^ key_high,
            left & _LOW_32,
        )
        key_low, key_high = key_low + 0x9E3779B9 & _LOW_32, key_high + 0xBB67AE85 & _LOW_32
    return a, b, c, d


def _box_muller(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normals from two uniform 32-bit words: Box and Muller 1958."""
    uniform = a.float() * 2.0**-32 + 2.0**-33
    radius, turn = (-2 * uniform.log()).sqrt(), b.float() * (2 * math.pi * 2.0**-32)
    return radius * turn.cos(), radius * turn.sin()
