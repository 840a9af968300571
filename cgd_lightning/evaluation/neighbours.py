"""Exact distances at the speed of matrix products: who is how near, and who lies in whose ball.

    |a - b|^2 = |a|^2 + |b|^2 - 2 ab +- error(a, b),    error = 2 (d + 8) eps (|a|^2 + |b|^2)

The right side is fast, and its rounding error is bounded as shown (Higham 2002, "Accuracy and
Stability of Numerical Algorithms", section 3.1). It decides where the answer is beyond the bound;
where it is not, as on the surface of a ball, sums of squared differences decide. So the result is
that of the exact distances, whatever the order of the rows, and equal rows are at distance 0.
"""

from collections.abc import Callable

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
    squares_to = _Squares(x)

    def fast(part: Tensor) -> tuple[Tensor, Tensor]:
        squares, error = squares_to(part)
        nearest = squares.topk(count, largest=False)
        # The nearest of all is the row itself, at distance 0.
        radius = _distances(part[:, None], x[nearest.indices])[:, 0].kthvalue(k + 1).values
        others = nearest.values[:, -1] if count < len(x) else torch.inf
        return radius, others - error <= radius.square()

    radius, unsure = of_rows(fast, x, width)
    rows = unsure.nonzero()[:, 0]
    (exact,) = of_rows(lambda part: (_distances(part, x).kthvalue(k + 1).values,), x[rows], width)
    return radius.index_copy(0, rows, exact)


def in_a_ball(x: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each row of `x` (N, d) is within `radius` (M,) of a centre: bool (N,).

    centres: (M, d). A ball holds its surface. All is in float64.
    """
    squares_to, bounds = _Squares(centres), radius.square()

    def fast(part: Tensor) -> tuple[Tensor, Tensor]:
        squares, error = squares_to(part)
        furthest = (squares - bounds).amin(dim=1)
        inside = furthest < -error
        return inside, ~inside & (furthest <= error)

    def slow(part: Tensor) -> tuple[Tensor]:
        return ((_distances(part, centres) <= radius).any(dim=1),)

    inside, unsure = of_rows(fast, x, len(centres))
    rows = unsure.nonzero()[:, 0]
    (exact,) = of_rows(slow, x[rows], len(centres))
    return inside.index_copy(0, rows, exact)


def visits(x: Tensor, centres: Tensor, radius: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Who lies in which balls, with surface, `radius` (M,) about `centres` (M, d).

    (the number of balls in which each row of `x` (N, d) lies, (N,) int64; of each ball the sum of
    the `weights` (N, V) of the rows in it, (M, V)). All is in float64.
    """
    squares_to, bounds = _Squares(centres), radius.square()
    counts = torch.empty(len(x), dtype=torch.int64, device=x.device)
    total = weights.new_zeros(len(centres), weights.shape[1])
    both = (blocks_of_rows(one, len(centres)) for one in (x, weights, counts))
    for part, own, count in zip(*both):
        squares, error = squares_to(part)
        apart = squares - bounds
        inside = apart <= 0
        unsure = (apart.abs() <= error[:, None]).nonzero()
        for i, j in (pairs.T for pairs in blocks_of_rows(unsure, x.shape[1])):
            inside[i, j] = _distances(part[i, None], centres[j, None])[:, 0, 0] <= radius[j]
        torch.sum(inside, dim=1, out=count)
        total += inside.to(own).T @ own
    return counts, total


def nearest(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """(distance (N,), index (N,)) of the row of `others` (M, d) nearest to each row of `x` (N, d).

    All is in float64; of several at the same distance it is one that is not sure.
    """
    count = min(1 + SPARE, len(others))
    squares_to = _Squares(others)

    def find(part: Tensor) -> tuple[Tensor, Tensor]:
        few = squares_to(part)[0].topk(count, largest=False).indices
        distances, place = _distances(part[:, None], others[few])[:, 0].min(dim=1)
        return distances, few.gather(1, place[:, None])[:, 0]

    distances, indices = of_rows(find, x, max(len(others), count * x.shape[1]))
    return distances, indices


def nearest_others(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(distances, indices), each (N, count), of the other rows nearest to each row of `x` (N, d).

    They are in order, and but for rounding; N > count. All is in float64.
    """
    squares_to, first = _Squares(x), 0

    def find(part: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal first
        squares, _ = squares_to(part)
        squares.diagonal(first).fill_(torch.inf)
        first += len(part)
        return squares.topk(count, largest=False)

    distances, indices = of_rows(find, x, len(x))
    return distances.clamp(min=0).sqrt(), indices


def nearest_balls(x: Tensor, centres: Tensor, radius: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(distances to the centres, indices), each (N, count), of the balls nearest to rows of `x`.

    They are those of the smallest distance (N, M) in units of the `radius` (M,) of the ball, but
    for rounding; M >= count. All is in float64.
    """
    squares_to = _Squares(centres)
    scale = radius.square().clamp(min=torch.finfo(x.dtype).tiny).reciprocal()

    def find(part: Tensor) -> tuple[Tensor, Tensor]:
        squares, _ = squares_to(part)
        indices = (squares * scale).topk(count, largest=False).indices
        return squares.gather(1, indices), indices

    distances, indices = of_rows(find, x, len(centres))
    return distances.clamp(min=0).sqrt(), indices


def of_rows(
    find: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, width: int
) -> tuple[Tensor, ...]:
    """What `find` says of the rows of `x`, part by part, as `blocks_of_rows` has them.

    What it says is put in its place at once. Kept apart, it would lie in the memory of the matrices
    before it, which the system then gives to no other.
    """
    whole: tuple[Tensor, ...] = ()
    end = 0
    for part in blocks_of_rows(x, width):
        found = find(part)
        whole = whole or tuple(one.new_empty(len(x), *one.shape[1:]) for one in found)
        for place, one in zip(whole, found, strict=True):
            place[end : end + len(part)] = one
        end += len(part)
    return whole


def blocks_of_rows(x: Tensor, width: int) -> tuple[Tensor, ...]:
    """The rows of `x`, in parts of which each makes a matrix of that width."""
    return x.split(max(1, BLOCK // width))


class _Squares:
    """Squared distances to the rows of `y` (M, d), whose norms are computed once."""

    def __init__(self, y: Tensor) -> None:
        parts = blocks_of_rows(y, y.shape[1])
        self.y, self.norms = y, torch.cat([part.square().sum(dim=1) for part in parts])
        self.largest = self.norms.max()
        self.eps = 2 * (y.shape[1] + 8) * torch.finfo(y.dtype).eps

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(|x_i - y_j|^2 (N, M) by a matrix product, a bound (N,) of its error in each row)."""
        norms = x.square().sum(dim=1)
        squares = torch.addmm(self.norms, x, self.y.T, alpha=-2) + norms[:, None]
        return squares, self.eps * (norms + self.largest)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|, (..., N, M), by sums of squared differences, each pair by itself.

    They are exactly 0 for equal rows, and have the same bits from y to x.
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
