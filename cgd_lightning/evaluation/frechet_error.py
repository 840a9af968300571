"""The standard error of a Frechet distance, by leaving out blocks of generated images.

Only the trace of the root of A = cov_r^(1/2) cov_g cov_r^(1/2) needs a decomposition. Let s_i be
the roots of its eigenvalues and D, in its eigenvectors, what the blocks left out add to A. Then

    tr (A - D)^(1/2) = tr A^(1/2) - f/2 - q/4 - ...
    f = sum_i D_ii / s_i,    q = sum_ij D_ij^2 / (s_i s_j (s_i + s_j))

(Bhatia 1997, "Matrix Analysis", theorems V.3.3 and X.4), so that one decomposition does for all
blocks and pairs of blocks. The rest of the series is summed as if D were the share p = 2 q / f of A
in the directions that it reaches, where f/2 + q/4 + ... = f (1 - (1 - p)^(1/2)) / p. That is right
for many images, of which each block is a small share in every direction, and for fewer images than
features, where the directions of a block vanish with it. Between these it is a little off, by as
much for every image left out: so one block and one pair are decomposed, and what they tell is added
to all.
"""

from itertools import combinations

import torch
from torch import Tensor

from cgd_lightning.evaluation.jackknife import error_of, interactions, kept_blocks, variance

AT_A_TIME = 2**22
"""So many numbers of 8 bytes are made at a time of the blocks."""


def frechet_error(
    counts: Tensor, sums: Tensor, products: Tensor, mean: Tensor, root: Tensor
) -> Tensor:
    """The standard error of the distance, a scalar.

    counts: how many images each block has, (B,). sums, products: of their features, (B, d), and of
    the outer products of these, (B, d, d). mean: of the real images, (d,). root: of the covariance
    of these, (d, d). All is in float64.
    """
    blocks = range(len(counts))
    both = list(combinations(blocks, 2))
    kept = kept_blocks([(), *((j,) for j in blocks), *both], len(blocks)).to(counts)
    left = kept @ counts
    own_mean, cov = _moments(kept[0], counts, sums, products)
    # How the mean moves, and the sum of squares about the old one.
    moved = kept @ (sums - counts[:, None] * own_mean) / left[:, None]
    squares = products.diagonal(dim1=1, dim2=2).sum(dim=1)
    squares = squares - 2 * sums @ own_mean + counts * own_mean.square().sum()
    spread = (kept @ squares - left * moved.square().sum(dim=1)) / (left - 1)
    roots, basis = _directions(root, cov)
    slopes, curves = _derivatives(counts, sums, products, own_mean, basis, roots)
    traces = _traces(kept, counts, roots.sum(), slopes, curves)
    traces = traces - left / (left - 1) * (moved @ basis).square().sum(dim=1) / 2
    sizes = [1, len(blocks), len(both)]
    out = counts.sum() - left
    gaps = [
        (trace_of_root(root, _moments(kept[row], counts, sums, products)[1]) - traces[row])
        * some
        / out[row]
        for row, some in zip((1, 1 + len(blocks)), out[1:].split(sizes[1:]))
    ]
    traces = traces + torch.cat([out[:1], *gaps])
    found = (mean - own_mean - moved).square().sum(dim=1) + spread - 2 * traces
    whole, single, double = (x[:, None].cpu() for x in found.split(sizes))
    return error_of(variance(single), interactions(whole[0], single, double, both))[0]


def trace_of_root(root: Tensor, cov: Tensor) -> Tensor:
    """tr (cov_r cov)^(1/2) for the `root` (d, d) of cov_r, from a symmetric matrix."""
    return torch.linalg.eigvalsh(root @ cov @ root).clamp(min=0).sqrt().sum()


def _moments(kept: Tensor, counts: Tensor, sums: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of the blocks that are `kept`, (B,) of 0 and 1."""
    n = kept @ counts
    mean = kept @ sums / n
    total = torch.einsum("b,bij->ij", kept, products)
    return mean, (total - n * mean[:, None] * mean) / (n - 1)


def _directions(root: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """The roots s (r,) of the eigenvalues of A that are not 0, and a basis (d, r).

    Of a covariance C the basis makes root @ C @ root in the eigenvectors, over (s_i s_j)^(1/2).
    """
    values, vectors = torch.linalg.eigh(root @ cov @ root)
    least = 10 * len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=0)
    roots = values[values > least].sqrt()
    return roots, root @ vectors[:, values > least] / roots.sqrt()


def _derivatives(
    counts: Tensor, sums: Tensor, products: Tensor, mean: Tensor, basis: Tensor, roots: Tensor
) -> tuple[Tensor, Tensor]:
    """(f (B,), q (B, B) between two blocks) of the sums of squares of the blocks about `mean`."""
    slopes, curves = torch.zeros_like(counts), counts.new_zeros(len(counts), len(counts))
    at, along = mean @ basis, sums @ basis
    size = max(1, AT_A_TIME // (len(counts) * len(mean)))
    for some in torch.arange(len(roots), device=roots.device).split(size):
        squares = basis[:, some].T @ products @ basis
        squares = squares - along[:, some, None] * at - at[some, None] * along[:, None, :]
        squares = squares + counts[:, None, None] * at[some, None] * at
        slopes += squares[:, torch.arange(len(some)), some].sum(dim=1)
        flat = (squares / (roots[some, None] + roots).sqrt()).flatten(1)
        curves += flat @ flat.T
    return slopes, curves


def _traces(kept: Tensor, counts: Tensor, trace: Tensor, slopes: Tensor, curves: Tensor) -> Tensor:
    """tr A^(1/2) (S,) without blocks, of deviations from the mean of all, by the series.

    kept: for each of S choices 1 for the blocks that are left, (S, B).
    """
    n, left, out = counts.sum(), kept @ counts, 1 - kept
    first = out @ slopes / (n - 1)
    second = (out @ curves * out).sum(dim=1) / (n - 1) ** 2
    part = (2 * second / first.clamp(min=torch.finfo(first.dtype).tiny)).clamp(max=1)
    return ((n - 1) / (left - 1)).sqrt() * (trace - first / (1 + (1 - part).sqrt()))
