"""KID: the squared maximum mean discrepancy of features, by a cubic kernel.

    k(x, y) = (x.y / d + 1)^3
    KID = mean_{i != j} k(g_i, g_j) + mean_{i != j} k(r_i, r_j) - 2 mean_{ij} k(g_i, r_j)

Binkowski et al. 2018 (arXiv:1801.01401), section 4. It has no bias at any n where images are
drawn independently, and may be below 0; where the labels are dealt in turn it lies lower, by about
1/n of the kernel's difference within and between classes. Its error takes in that of the reference.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.feature_metric import FeatureMetric, double
from cgd_lightning.evaluation.jackknife import (
    BLOCKS,
    DEGREES,
    block_of,
    error_of,
    interactions,
    variance,
)
from cgd_lightning.evaluation.neighbours import blocks_of_rows


class KernelDistance(FeatureMetric):
    """KID as a scalar in float64, over all pairs, without subsets. The states are all features.

    Args:
        num_features: Width d of the features. At least 2 images of each side are needed.
    """

    names = ("kid",)
    higher_is_better = False

    real_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 2, "KID needs at least 2 of each")
        for name in ("real_features", "generated_features"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def add(self, features: Tensor, side: int) -> None:
        # Flat, since a process that has no images gathers an empty vector, not an empty matrix.
        (self.real_features, self.generated_features)[side].append(features.float().flatten())

    def value(self) -> Tensor:
        return self._kernel_sums().distance()

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        if self.images.min() < 2 * BLOCKS:
            return [Estimate(value) for value in values]
        return [about(values[0], self._kernel_sums().error().item(), DEGREES)]

    def _kernel_sums(self) -> "KernelSums":
        real, generated = (
            double(dim_zero_cat(state).reshape(-1, self.num_features))
            for state in (self.real_features, self.generated_features)
        )
        of_real = self.of_real("sums", lambda: _Side(real))
        return self.of_generated("sums", lambda: KernelSums(of_real, _Side(generated)))


class KernelSums:
    """Sums of k(x, y) over blocks of real features and of generated ones, in float64.

    Without some blocks the distance is a matter of these few numbers alone.
    """

    def __init__(self, real: "_Side", generated: "_Side") -> None:
        self.n_real, self.n_generated = real.counts, generated.counts
        self.of_real, self.of_generated = real.sums, generated.sums
        self.across = _sums(real.rows, real.counts, generated.rows, generated.counts)

    def distance(self) -> Tensor:
        """KID of all images."""
        return self._without([()], [()])[0, 0]

    def error(self) -> Tensor:
        """The standard error: of both sides, and what two blocks do together counted once.

        Two of one side, or one of each: Efron and Stein 1981, for two samples.
        """
        every = [(j,) for j in range(BLOCKS)]
        both = [(j, k) for j in range(BLOCKS) for k in range(j)]
        whole = self.distance()[None]
        total, twice = torch.zeros_like(whole), torch.zeros_like(whole)
        singles = []
        for single, two in (
            (self._without(every, [()]), self._without(both, [()])),
            (self._without([()], every).T, self._without([()], both).T),
        ):
            total += variance(single)
            twice += interactions(whole, single, two, both)
            singles.append(single)
        across = whole - singles[0] - singles[1].T + self._without(every, every)
        # The centred sums have (B - 1)^2 degrees of freedom.
        twice += ((BLOCKS - 1) / BLOCKS) ** 2 * across.square().sum()
        return error_of(total, twice)[0]

    def _without(
        self, real: Sequence[tuple[int, ...]], generated: Sequence[tuple[int, ...]]
    ) -> Tensor:
        """KID (S, T) without the blocks of each of S tuples, and of each of T tuples."""
        rows, columns = _kept(real).to(self.across), _kept(generated).to(self.across)
        n_real, n_generated = rows @ self.n_real.double(), columns @ self.n_generated.double()
        of_real = (rows @ self.of_real * rows).sum(dim=1) / (n_real * (n_real - 1))
        of_generated = (columns @ self.of_generated * columns).sum(dim=1)
        of_generated = of_generated / (n_generated * (n_generated - 1))
        across = rows @ self.across @ columns.T / (n_real[:, None] * n_generated)
        return of_real[:, None] + of_generated - 2 * across


def _kept(outs: Sequence[tuple[int, ...]]) -> Tensor:
    """1 for the blocks that are left without each of S tuples, (S, B)."""
    kept = torch.ones(len(outs), BLOCKS, dtype=torch.float64)
    for row, out in zip(kept, outs):
        row[list(out)] = 0
    return kept


class _Side:
    """Features (N, d) of one side, sorted by their blocks, and the sums within it."""

    def __init__(self, x: Tensor) -> None:
        block = block_of(torch.arange(len(x))).to(x.device)
        self.rows = x[block.argsort(stable=True)]
        self.counts = torch.bincount(block, minlength=BLOCKS)
        self.sums = _sums(self.rows, self.counts, self.rows, self.counts, itself=True)


def _sums(x: Tensor, n_x: Tensor, y: Tensor, n_y: Tensor, itself: bool = False) -> Tensor:
    """The sums (B, B) of k over pairs from each two blocks, but of none with `itself`."""
    totals = []
    for rows in x.split(n_x.tolist()):
        columns = torch.zeros(len(y), dtype=x.dtype, device=x.device)
        for part in blocks_of_rows(rows, len(y)):
            columns += _kernel(part @ y.T, x.shape[1]).sum(dim=0)
        totals.append(torch.stack([part.sum() for part in columns.split(n_y.tolist())]))
    sums = torch.stack(totals)
    if itself:
        own = _kernel(x.square().sum(dim=1), x.shape[1])
        sums -= torch.stack([part.sum() for part in own.split(n_x.tolist())]).diag()
    return sums


def _kernel(products: Tensor, width: int) -> Tensor:
    return (products / width + 1) ** 3
