"""The variance of a statistic of nearest neighbours, which no jackknife tells.

Whether an image has a neighbour is no smooth matter: leaving one image out tells little of drawing
another. Statistics of disjoint subsamples are independent, so their spread is the variance at
their size, without bias; it is carried over to n images.

Politis and Romano 1994, "Large sample confidence regions based on subsamples under minimal
assumptions".
"""

from collections.abc import Callable

import torch
from torch import Tensor

LARGEST = 1250
"""At most so many images are in a subsample."""

DEGREES = 8
"""Degrees of freedom of the variance: subsamples of several rounds overlap, and n is beyond all."""

ROUNDS = 20
"""So many differences of subsamples are taken, in at most as many rounds of drawing them."""

GROUPS = 16
"""What a statistic of groups is made from: halves and quarters of so many groups of images."""

SPLITS = 40


def subsampled_variance(n: int, value: Callable[[Tensor], Tensor]) -> tuple[float, int]:
    """(variance, its degrees of freedom) of a statistic of `n` images, that falls as 1/n.

    value: the statistic of the images of these indices.
    """
    count = max(2, -(-n // LARGEST))
    rounds = max(2, ROUNDS // (count - 1))
    generator = torch.Generator().manual_seed(0)
    spreads = []
    for _ in range(rounds):
        parts = torch.randperm(n, generator=generator)[: n // count * count].split(n // count)
        spreads.append(torch.stack([value(part).cpu() for part in parts]).var())
    scale = (n // count) / n
    return scale * torch.stack(spreads).mean().item(), DEGREES


def extrapolated_variance(reached: Tensor) -> float:
    """The variance of the share of the M places that a sample reaches.

    reached: which of them each of `GROUPS` parts of the sample reaches, (GROUPS, M) bool. A share
    that nears 1 varies less and less, so its variance v falls faster than 1/n: it follows from
    halves and quarters as v(n) = v(n/2)^2 / v(n/4).
    """
    generator = torch.Generator().manual_seed(0)
    spreads = torch.zeros(2, dtype=torch.float64)
    for _ in range(SPLITS):
        order = torch.randperm(GROUPS, generator=generator).to(reached.device)
        for place, parts in enumerate((2, 4)):
            shares = reached[order].view(parts, GROUPS // parts, -1).any(dim=1).double().mean(dim=1)
            spreads[place] += shares.var().cpu() / SPLITS
    half, quarter = spreads.tolist()
    return half * min(1.0, half / quarter) if quarter > 0 else half / 2
