"""Sums of KID's cubic kernel over blocks of images, which make its value and its standard error.

k(x, y) = (x.y / d + 1)^3
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.evaluation.jackknife import (
    BLOCKS,
    block_of,
    error_of,
    interactions,
    kept_blocks,
    variance,
)
from cgd_lightning.evaluation.neighbours import blocks_of_rows, of_rows


class Side:
    """Features (N, d) of one side, by their blocks, and the sums (B, B) of k over pairs of it.

    classes: (N,). For k(x, x) stands the mean of k(x, y) over the others of the class of x.
    """

    def __init__(self, x: Tensor, classes: Tensor) -> None:
        block = block_of(torch.arange(len(x))).to(x.device)
        order = block.argsort(stable=True)
        self.rows, classes = x[order], classes[order]
        self.counts = torch.bincount(block, minlength=BLOCKS)
        columns = _columns_within(self.rows, self.counts)
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
        rows, columns = kept_blocks(real).to(self.across), kept_blocks(generated).to(self.across)
        n_real, n_generated = rows @ self.n_real, columns @ self.n_generated
        of_real = (rows @ self.of_real * rows).sum(dim=1) / n_real.square()
        of_generated = (columns @ self.of_generated * columns).sum(dim=1) / n_generated.square()
        across = rows @ self.across @ columns.T / (n_real[:, None] * n_generated)
        return of_real[:, None] + of_generated - 2 * across


def _columns(x: Tensor, counts: Tensor, y: Tensor) -> Tensor:
    """For each row of `y` (M, d) the sum of k over each block of `x`, (B, M)."""
    totals = []
    for rows in x.split(counts.tolist()):
        total = torch.zeros(len(y), dtype=x.dtype, device=x.device)
        for part in blocks_of_rows(rows, len(y)):
            total += _kernel(part @ y.T, x.shape[1]).sum(dim=0)
        totals.append(total)
    return torch.stack(totals)


def _columns_within(x: Tensor, counts: Tensor) -> Tensor:
    """The same of `x` (N, d) itself, (B, N), where each pair of rows is looked at once."""
    blocks = x.split(counts.tolist())
    totals = torch.zeros(len(blocks), len(x), dtype=x.dtype, device=x.device)
    first = 0
    for number, rows in enumerate(blocks):
        start, later = first, x[first:]
        for part in blocks_of_rows(rows, max(1, len(later))):
            kernel = _kernel(part @ later.T, x.shape[1])
            totals[number, start:] += kernel.sum(dim=0)
            sums = _grouped(kernel[:, len(rows) :], counts[number + 1 :])
            totals[number + 1 :, first : first + len(part)] = sums.T
            first += len(part)
    return totals


def _others(x: Tensor, own: Tensor) -> Tensor:
    """The mean of k over the other rows of `x` (n, d), for each of them (n,). own: k(x, x)."""
    (total,) = of_rows(lambda part: (_kernel(part @ x.T, x.shape[1]).sum(dim=1),), x, len(x))
    return (total - own) / (len(x) - 1)


def _grouped(x: Tensor, counts: Tensor) -> Tensor:
    """The sums over the blocks of the columns of `x` (S, N), (S, B)."""
    sums = x.new_zeros(len(x), len(counts))
    for number, part in enumerate(x.split(counts.tolist(), dim=1)):
        sums[:, number] = part.sum(dim=1)
    return sums


def _kernel(products: Tensor, width: int) -> Tensor:
    return (products / width + 1) ** 3
