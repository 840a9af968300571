"""Exact distances at the speed of matrix products: who is how near, and who lies in whose ball.

    |a - b|^2 = |a|^2 + |b|^2 - 2 ab +- error(a, b),    error = 2 (d + 8) eps (|a|^2 + |b|^2)

The right side is fast, and its rounding error is bounded as shown (Higham 2002, "Accuracy and
Stability of Numerical Algorithms", section 3.1). It decides where the answer is beyond the bound;
where it is not, as on the surface of a ball, sums of squared differences decide. So the result is
that of the exact distances, whatever the order of the rows, and equal rows are at distance 0.
"""

import torch
from torch import Tensor

BLOCK = 2**20
"""At most so many numbers of 8 bytes are in a matrix, however many rows there are."""

SPARE = 8
"""So many more neighbours are looked at than are asked for, as rounding may swap them."""


def distance_to_nearest(x: Tensor, k: int) -> Tensor:
    """How far the k-th nearest other row is from each row of `x` (N, d) float64: (N,). N > k."""
    count = min(k + 1 + SPARE, len(x))
    width = max(len(x), count * x.shape[1])
    radii, unsure = [], []
    for part in blocks_of_rows(x, width):
        squares, error = _squares(part, x)
        nearest = squares.topk(count, largest=False)
        # The nearest of all is the row itself, at distance 0.
        radius = _distances(part[:, None], x[nearest.indices])[:, 0].kthvalue(k + 1).values
        radii.append(radius)
        others = nearest.values[:, -1] if count < len(x) else torch.inf
        unsure.append(others - error <= radius.square())
    radius, rows = torch.cat(radii), torch.cat(unsure).nonzero()[:, 0]
    exact = [_distances(part, x).kthvalue(k + 1).values for part in blocks_of_rows(x[rows], width)]
    return radius.index_copy(0, rows, torch.cat(exact))


def in_a_ball(x: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each row of `x` (N, d) is within `radius` (M,) of a centre: bool (N,).

    centres: (M, d). A ball holds its surface. All is in float64.
    """
    insides, unsure = [], []
    for part in blocks_of_rows(x, len(centres)):
        squares, error = _squares(part, centres)
        apart = squares - radius.square()
        inside = (apart < -error[:, None]).any(dim=1)
        insides.append(inside)
        unsure.append(~inside & (apart <= error[:, None]).any(dim=1))
    inside, rows = torch.cat(insides), torch.cat(unsure).nonzero()[:, 0]
    exact = [
        (_distances(part, centres) <= radius).any(dim=1)
        for part in blocks_of_rows(x[rows], len(centres))
    ]
    return inside.index_copy(0, rows, torch.cat(exact))


def visits(x: Tensor, centres: Tensor, radius: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Who lies in which balls, with surface, `radius` (M,) about `centres` (M, d).

    (the number of balls in which each row of `x` (N, d) lies, (N,) int64; whether each ball holds a
    row of each of so many `groups`, (groups, M) bool). Row i is of the group i modulo `groups`.
    """
    count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    reached = torch.zeros(groups, len(centres), dtype=torch.bool, device=x.device)
    bounds = radius.square()
    for group in range(min(groups, len(x))):
        rows = torch.arange(group, len(x), groups, device=x.device)
        for part in blocks_of_rows(rows, len(centres)):
            own = x[part]
            squares, error = _squares(own, centres)
            apart = squares - bounds
            inside = apart <= 0
            unsure = (apart.abs() <= error[:, None]).nonzero()
            if len(unsure):
                i, j = unsure.T
                inside[i, j] = _distances(own[i, None], centres[j, None])[:, 0, 0] <= radius[j]
            count[part] = inside.sum(dim=1)
            reached[group] |= inside.any(dim=0)
    return count, reached


def nearest(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """(distance (N,), index (N,)) of the row of `others` (M, d) nearest to each row of `x` (N, d).

    All is in float64; of several at the same distance it is one that is not sure.
    """
    count = min(1 + SPARE, len(others))
    found = []
    for part in blocks_of_rows(x, max(len(others), count * x.shape[1])):
        squares, _ = _squares(part, others)
        few = squares.topk(count, largest=False).indices
        distances, place = _distances(part[:, None], others[few])[:, 0].min(dim=1)
        found.append((distances, few.gather(1, place[:, None])[:, 0]))
    distances, indices = (torch.cat(side) for side in zip(*found))
    return distances, indices


def blocks_of_rows(x: Tensor, width: int) -> tuple[Tensor, ...]:
    """The rows of `x`, in parts of which each makes a matrix of that width."""
    return x.split(max(1, BLOCK // width))


def _squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(|x_i - y_j|^2 (N, M) by a matrix product, a bound (N,) of its error in each row)."""
    norms_x, norms_y = x.square().sum(dim=1), y.square().sum(dim=1)
    squares = norms_x[:, None] + norms_y - 2 * x @ y.T
    eps = torch.finfo(x.dtype).eps
    return squares, 2 * (x.shape[1] + 8) * eps * (norms_x + norms_y.max())


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|, (..., N, M), by sums of squared differences, each pair by itself.

    They are exactly 0 for equal rows, and have the same bits from y to x.
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
