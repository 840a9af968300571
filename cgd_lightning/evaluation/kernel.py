"""KID: the squared maximum mean discrepancy of features, by a cubic kernel.

    k(x, y) = (x.y / d + 1)^3
    KID = mean_{i != j} k(g_i, g_j) + mean_{i != j} k(r_i, r_j) - 2 mean_{ij} k(g_i, r_j)

Binkowski et al. 2018 (arXiv:1801.01401), section 4. It may be below 0, and has no bias at any n
where images are drawn independently. Where their classes are dealt out in fixed shares, as samples
of all classes in turn, two of them are of one class less often than by chance: then their classes
must be given, and k(g_i, g_i) is replaced not by the mean over all others but over those of its
class. The error takes in that of the reference, which is a sample as well.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.all_features import AllFeatures
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.jackknife import (
    BLOCKS,
    DEGREES,
    block_of,
    error_of,
    interactions,
    variance,
)
from cgd_lightning.evaluation.neighbours import blocks_of_rows


class KernelDistance(AllFeatures):
    """KID as a scalar in float64, over all pairs, without subsets. The states are all features.

    Args:
        num_features: Width d of the features. At least 2 images of each side are needed.
    """

    names = ("kid",)
    higher_is_better = False

    real_classes: list[Tensor]
    generated_classes: list[Tensor]

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 2, "KID needs at least 2 of each")
        for name in ("real_classes", "generated_classes"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool, classes: Tensor | None = None) -> None:
        """Take in `features` (N, d) of real or of generated images.

        classes: (N,) int64, where their shares are fixed; all images of a side or none have them.
        Raises InputError for features that are not of width d, and for classes of another number.
        """
        super().update(features, real)
        if classes is None:
            classes = torch.zeros(len(features), dtype=torch.int64, device=features.device)
        if classes.shape != features.shape[:1]:
            raise InputError(f"{len(features)} images and classes of shape {tuple(classes.shape)}")
        # In float32, as a process that has no images gathers an empty vector of that.
        (self.real_classes if real else self.generated_classes).append(classes.float())

    def value(self) -> Tensor:
        return self._sums().distance()

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        if self.images.min() < 2 * BLOCKS:
            return [Estimate(value) for value in values]
        return [about(values[0], self._sums().error().item(), DEGREES)]

    def _sums(self) -> "KernelSums":
        real, generated = self.sides()
        classes = [dim_zero_cat(state) for state in (self.real_classes, self.generated_classes)]
        of_real = self.of_real("sums", lambda: Side(real, classes[0].to(real.device)))
        return self.of_both(
            "sums", lambda: KernelSums(of_real, Side(generated, classes[1].to(generated.device)))
        )


class Side:
    """Features (N, d) of one side, by their blocks, and the sums (B, B) of k over pairs of it.

    classes: (N,). For k(x, x) stands the mean of k(x, y) over the others of the class of x.
    """

    def __init__(self, x: Tensor, classes: Tensor) -> None:
        block = block_of(torch.arange(len(x))).to(x.device)
        order = block.argsort(stable=True)
        self.rows, classes = x[order], classes[order]
        self.counts = torch.bincount(block, minlength=BLOCKS)
        columns = _columns(self.rows, self.counts, self.rows)
        own = _kernel(self.rows.square().sum(dim=1), x.shape[1])
        mates = (columns.sum(dim=0) - own) / (len(x) - 1)
        kinds = classes.unique()
        for kind in kinds if len(kinds) > 1 else ():
            chosen = (classes == kind).nonzero()[:, 0]
            if len(chosen) > 1:
                mates[chosen] = _others(self.rows[chosen], own[chosen])
        self.sums = _grouped(columns, self.counts)
        self.sums += _grouped((mates - own)[None], self.counts)[0].diag()


class KernelSums:
    """Sums of k(x, y) over blocks of real features and of generated ones, in float64.

    Without some blocks the distance is a matter of these few numbers alone.
    """

    def __init__(self, real: Side, generated: Side) -> None:
        self.n_real, self.n_generated = real.counts.double(), generated.counts.double()
        self.of_real, self.of_generated = real.sums, generated.sums
        self.across = _grouped(_columns(real.rows, real.counts, generated.rows), generated.counts)

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
        n_real, n_generated = rows @ self.n_real, columns @ self.n_generated
        of_real = (rows @ self.of_real * rows).sum(dim=1) / n_real.square()
        of_generated = (columns @ self.of_generated * columns).sum(dim=1) / n_generated.square()
        across = rows @ self.across @ columns.T / (n_real[:, None] * n_generated)
        return of_real[:, None] + of_generated - 2 * across


def _kept(outs: Sequence[tuple[int, ...]]) -> Tensor:
    """1 for the blocks that are left without each of S tuples, (S, B)."""
    kept = torch.ones(len(outs), BLOCKS, dtype=torch.float64)
    for row, out in zip(kept, outs):
        row[list(out)] = 0
    return kept


def _columns(x: Tensor, counts: Tensor, y: Tensor) -> Tensor:
    """For each row of `y` (M, d) the sum of k over each block of `x`, (B, M)."""
    totals = []
    for rows in x.split(counts.tolist()):
        total = torch.zeros(len(y), dtype=x.dtype, device=x.device)
        for part in blocks_of_rows(rows, len(y)):
            total += _kernel(part @ y.T, x.shape[1]).sum(dim=0)
        totals.append(total)
    return torch.stack(totals)


def _others(x: Tensor, own: Tensor) -> Tensor:
    """The mean of k over the other rows of `x` (n, d), for each of them (n,). own: k(x, x)."""
    total = torch.cat(
        [_kernel(part @ x.T, x.shape[1]).sum(dim=1) for part in blocks_of_rows(x, len(x))]
    )
    return (total - own) / (len(x) - 1)


def _grouped(x: Tensor, counts: Tensor) -> Tensor:
    """The sums over the blocks of the columns of `x` (S, N), (S, B)."""
    return torch.stack([part.sum(dim=1) for part in x.split(counts.tolist(), dim=1)], dim=1)


def _kernel(products: Tensor, width: int) -> Tensor:
    return (products / width + 1) ** 3
