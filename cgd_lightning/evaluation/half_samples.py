"""The variance of how much a sample's manifold covers, by halves of the sample.

    var(T) = mean over random halves S of (T(S) - mean T)^2

This is the jackknife that leaves out half of the sample (Shao and Wu 1989, "A general theory for
jackknife variance estimation"): it holds where T is not smooth, as of nearest neighbours, and
leaving out one image tells little of drawing another. What a manifold covers hangs on a few images
far out, with wide balls. Whether a half has such an image varies by 1/4, nearly as whether another
sample has one. Disjoint halves, as of n/2 images, would not do: the variance falls more slowly
than 1/n.

A ball of a half reaches to one of the nearest neighbours in the whole, and an image that some ball
of it holds is in one of the balls that are nearest to it. So one look at all distances does for all
halves.
"""

import torch
from torch import Tensor

from cgd_lightning.evaluation.neighbours import nearest_balls, nearest_others

HALVES = 100

DEGREES = 40
"""Degrees of freedom of the variance: fewer than halves, as all are of one sample."""

BALLS = 32
"""So many of the nearest balls are tried. Half of them are of each half."""


def covered_variance(queries: Tensor, support: Tensor, k: int) -> float:
    """The variance, over draws of `support`, of the share of `queries` in balls about its rows.

    queries: (N, d). support: (M, d), of 4 (k + 1) rows or more. A ball about a row of `support`
    reaches out to its k-th nearest neighbour there. All is in float64.
    """
    m = len(support)
    reach, others = nearest_others(support, min(m - 1, 4 * k + 16))
    apart, balls = nearest_balls(queries, support, reach[:, k - 1], min(m, BALLS))
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(HALVES):
        half = (torch.randperm(m, generator=generator) < m // 2).to(support.device)
        nearer = half[others].cumsum(dim=1, dtype=torch.int16)
        place = (nearer < k).sum(dim=1, keepdim=True).clamp(max=reach.shape[1] - 1)
        # A ball of the other half holds nothing.
        radius = torch.where(half, reach.gather(1, place)[:, 0], -1.0)
        shares.append((apart <= radius[balls]).any(dim=1).double().mean())
    return torch.stack(shares).var().item() * (m // 2) / (m - m // 2)
