"""MIND, the Monge inception distance: the sliced Wasserstein distance of features.

    MIND = 3 d mean_u W2^2(u.g, u.r)          over random unit directions u in d dimensions

Berthet et al. 2026 (arXiv:2605.06797), made for a few thousand samples. On a line the optimal
transport W2 sends quantiles to quantiles, so that two sorts give it; 3 d brings it near the scale
of the Frechet distance. Where the sides have different numbers of images, their quantile functions
are compared as they are, without leaving any out.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cgd_lightning.evaluation.all_features import AllFeatures
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.feature_metric import check_whole_number
from cgd_lightning.evaluation.jackknife import (
    BLOCKS,
    DEGREES,
    block_of,
    error_of,
    interactions,
    pairs,
    variance,
)

AT_A_TIME = 2**20
"""So many projected features are sorted at a time."""

FOR_PAIRS = 32
"""So many directions tell which part of the variance two blocks make together."""


class MongeDistance(AllFeatures):
    """MIND, a distance of features along random directions, in float64.

    The states are all features.

    Args:
        num_features: Width d of the features. At least 2 images of each side are needed.
        directions: How many directions are averaged; the paper takes 100 to 1000.
        seed: Seed that the directions are drawn with.
    """

    names = ("mind",)
    higher_is_better = False

    def __init__(self, num_features: int, directions: int = 1000, seed: int = 0) -> None:
        check_whole_number(directions, "directions of MIND")
        super().__init__(num_features, 2, "MIND needs at least 2 of each")
        self.directions, self.seed = directions, seed

    def value(self) -> Tensor:
        return self._sums()[0]

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        if self.generated < 2 * BLOCKS:
            return [Estimate(value) for value in values]
        block = block_of(torch.arange(self.generated))
        whole = torch.tensor(values, dtype=torch.float64)
        # Without a block, to first order: the other images' share grows.
        pull = torch.zeros(BLOCKS, dtype=torch.float64).index_add(0, block, self._sums()[1])
        single = whole - (pull / (self.generated - torch.bincount(block)))[:, None]
        found = variance(single)
        outs: list[list[tuple[int, ...]]] = [[()], [(j,) for j in range(BLOCKS)], [*pairs()]]
        some, one, two = (self._without(block, out) for out in outs)
        share = interactions(some, one, two) / variance(one).clamp(min=1e-300)
        error = error_of(found, share * found)
        return [about(values[0], error.item(), DEGREES, least=0.0)]

    def _sums(self) -> tuple[Tensor, Tensor]:
        """(MIND, how much each generated image draws it its way, (N,), which sums to 0)."""

        def make() -> tuple[Tensor, Tensor]:
            total = torch.zeros((), dtype=torch.float64)
            pulls = torch.zeros(self.generated, dtype=torch.float64)
            for order, line, real_line in self._lines(self.directions):
                total += squared_transport(line, real_line).sum().cpu()
                potential = potentials(line, real_line)
                pulls += torch.empty_like(line).scatter_(1, order, potential).sum(dim=0).cpu()
            scale = 3 * self.num_features / self.directions
            return scale * total, scale * pulls

        return self.of_both("sums", make)

    def _without(self, block: Tensor, outs: Sequence[tuple[int, ...]]) -> Tensor:
        """The mean (S, 1) of a few directions, without the blocks of each of S tuples."""
        some = min(self.directions, FOR_PAIRS)
        kept = [~torch.isin(block, torch.tensor(out)) for out in outs]
        total = torch.zeros(len(outs), 1, dtype=torch.float64)
        for order, line, real_line in self._lines(some):
            for number, chosen in enumerate(kept):
                # Sorted once: what is left is in order still.
                left = line[chosen.to(line.device)[order]].reshape(len(line), -1)
                total[number] += squared_transport(left, real_line).sum().cpu()
        return 3 * self.num_features * total / some

    def _lines(self, count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The features on the first `count` lines, some at a time.

        (order (M, N), generated ones in order (M, N), real ones in order (M, R)).
        """
        real, generated = self.sides()
        generator = torch.Generator().manual_seed(self.seed)
        directions = torch.randn(self.directions, self.num_features, generator=generator)[:count]
        directions = (directions / directions.norm(dim=1, keepdim=True)).to(real)
        for part in directions.split(max(1, AT_A_TIME // max(len(real), len(generated)))):
            line, order = (part @ generated.T).sort(dim=1)
            yield order, line, (part @ real.T).sort(dim=1).values


def squared_transport(x: Tensor, y: Tensor) -> Tensor:
    """W2^2 (M,) of the points on M lines, each row of `x` (M, n) and of `y` (M, m) in order."""
    n, m = x.shape[1], y.shape[1]
    if n == m:
        return (x - y).square().mean(dim=1)
    # Both quantile functions are constant between two neighbouring ones of these levels, in 1/(nm).
    levels = torch.cat([m * torch.arange(1, n + 1), n * torch.arange(1, m + 1)]).unique()
    widths = levels.diff(prepend=levels.new_zeros(1)).to(x) / (n * m)
    of_x, of_y = ((levels - 1) // m).to(x.device), ((levels - 1) // n).to(x.device)
    return ((x[:, of_x] - y[:, of_y]).square() * widths).sum(dim=1)


def potentials(x: Tensor, y: Tensor) -> Tensor:
    """Kantorovich's potential (M, n), of mean 0, at each of the points of `squared_transport`.

    Its slope is 2 (x - where x is sent): it is the distance's derivative by the share of the point.
    """
    n, m = x.shape[1], y.shape[1]
    sent = y[:, (torch.arange(1, n) * m // n).to(x.device)]
    slopes = x.square().diff(dim=1) - 2 * sent * x.diff(dim=1)
    found = torch.nn.functional.pad(slopes.cumsum(dim=1), (1, 0))
    return found - found.mean(dim=1, keepdim=True)
