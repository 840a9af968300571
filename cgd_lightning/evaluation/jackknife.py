"""The standard error of a smooth statistic, by leaving out blocks of images.

    var = (B - 1)/B sum_j (T_j - mean_j T_j)^2  -  sum_{j<k} var(pair_jk)

T_j is the statistic without block j of B. The first sum counts what two blocks do together twice
(Efron and Stein 1981, "The Jackknife Estimate of Variance", theorem 1). For a distance between
sets that are nearly of one distribution this is all there is, and the interval would be too wide
by the square root of two; so it is estimated from statistics without two blocks (there, section
5), and taken off.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCKS = 20

DEGREES = 9
"""Degrees of freedom of the error: fewer than B - 1, since what is taken off is estimated too."""

STEPS = (1, 3, 7, 9, 11, 13, 17, 19)
"""What has no divisor in common with BLOCKS: multiples of it reach every block."""

STRIDES = (1, 7)
"""Pairs of blocks that are left out together: each with those so many places further on."""


def block_of(indices: Tensor, blocks: int = BLOCKS) -> Tensor:
    """The block (N,) int64 of the images of these `indices` (N,) int64.

    Of every so many images in turn as there are blocks, each is of another block, in an order that
    changes from turn to turn. So images that are sorted by class are spread evenly, class by class,
    and of others each block is a random sample. blocks: a divisor of `BLOCKS`.
    """
    turn, place = indices // blocks, indices % blocks
    mixed = _mix(turn)
    steps = torch.tensor(STEPS, device=indices.device)
    return (steps[mixed % len(STEPS)] * place + mixed // len(STEPS)) % blocks


def _mix(x: Tensor) -> Tensor:
    """Numbers from 0 to 2^32 - 1 without order, of numbers `x` int64: Wellons 2018, lowbias32."""
    low = 2**32 - 1
    x = (x ^ (x >> 16)) * 0x7FEB352D & low
    x = (x ^ (x >> 15)) * 0x846CA68B & low
    return x ^ (x >> 16)


def pairs(blocks: int = BLOCKS) -> list[tuple[int, int]]:
    """The pairs of blocks that are left out together."""
    return [(j, (j + stride) % blocks) for stride in STRIDES for j in range(blocks)]


def kept_blocks(outs: Sequence[Sequence[int]], blocks: int = BLOCKS) -> Tensor:
    """1 for the blocks that are left without those of each of S tuples, (S, B) float64."""
    kept = torch.ones(len(outs), blocks, dtype=torch.float64)
    for row, out in zip(kept, outs):
        row[list(out)] = 0
    return kept


def jackknife_error(whole: Tensor, single: Tensor, double: Tensor) -> Tensor:
    """Standard errors (V,) of statistics `whole` (V,).

    single: the statistics (B, V) without each block. double: those (P, V) without each of `pairs`.
    """
    return error_of(variance(single), interactions(whole, single, double))


def variance(single: Tensor) -> Tensor:
    """The variance (V,) of statistics `single` (B, V) without each block.

    It counts what two blocks do together twice.
    """
    blocks = len(single)
    return (blocks - 1) / blocks * (single - single.mean(dim=0)).square().sum(dim=0)


def interactions(
    whole: Tensor, single: Tensor, double: Tensor, chosen: list[tuple[int, int]] | None = None
) -> Tensor:
    """The variance (V,) of what two blocks do together, of statistics as of `jackknife_error`.

    chosen: the pairs of blocks of `double`, where they are not `pairs`.
    """
    blocks = len(single)
    first, second = (torch.tensor(side) for side in zip(*(chosen or pairs(blocks))))
    # Efron and Stein's Q, that is the pair's share but for a factor, centred over each block.
    together = (
        blocks * whole - (blocks - 1) * (single[first] + single[second]) + (blocks - 2) * double
    )
    factor = (blocks - 2) ** 2 / blocks**4 * blocks * (blocks - 1) / 2
    return factor * (blocks - 1) / (blocks - 3) * together.square().mean(dim=0)


def error_of(variance: Tensor, twice: Tensor) -> Tensor:
    """The standard error of a `variance` of which a part was counted `twice`."""
    # All of it together is at most half of what is counted.
    return torch.maximum(variance - twice, variance / 2).sqrt()
