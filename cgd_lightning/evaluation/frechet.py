"""The Frechet distance between Gaussians fitted to features of real and of generated images.

    |mean_r - mean_g|^2 + tr(cov_r + cov_g - 2 (cov_r cov_g)^(1/2))

Heusel et al. 2017 (arXiv:1706.08500), eq. 6, there on features of an Inception network. On others
it is called FID-lite, and its values compare only where features, reference and numbers of images
are the same: on average it falls as n grows, so that its interval is for what it is at this n.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.feature_metric import FeatureMetric
from cgd_lightning.evaluation.frechet_error import frechet_error, trace_of_root
from cgd_lightning.evaluation.jackknife import BLOCKS, DEGREES, block_of

WIDE = 1536
"""Wider features are dealt to half as many blocks, as each block has a matrix (d, d)."""


class FrechetDistance(FeatureMetric):
    """Frechet distance of the means and covariances of features, at least 0, in float64.

    The states are sums in float64, over all images: their number n, their features and the outer
    products of these, those of generated images in blocks that a jackknife leaves out. So the
    value is the same, but for rounding, in whatever batches and on however many processes the
    images come. On a device without float64 the sums stay on the CPU.

    Args:
        num_features: Width d of the features. At least 2 images of each side are needed.
    """

    names = ("fid_lite",)
    doubles = ("sums", "products", "block_sums", "block_products")
    higher_is_better = False

    sums: Tensor
    products: Tensor
    counts: Tensor
    block_sums: Tensor
    block_products: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 2, "a Frechet distance needs at least 2 of each")
        d = num_features
        self.blocks = blocks = BLOCKS if d <= WIDE else BLOCKS // 2
        self.add_state("counts", torch.zeros(blocks, dtype=torch.int64), dist_reduce_fx="sum")
        shapes = ((d,), (d, d), (blocks, d), (blocks, d, d))
        for name, shape in zip(self.doubles, shapes):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, features: Tensor, side: int) -> None:
        x = features.to(self.sums.device).double()
        if side == 0:
            self.sums += x.sum(dim=0)
            self.products += x.T @ x
            return
        # The images are counted already, these among them.
        index = self.images[1] - len(x) + torch.arange(len(x), device=self.images.device)
        index = index.to(x.device)
        block = block_of(index, self.blocks)
        # In a turn there is at most one image of each block, so that every image has a place.
        turn = index // self.blocks - index[:1] // self.blocks
        turns = len(x) // self.blocks + 2
        dealt = x.new_zeros(turns * self.blocks, x.shape[1])
        dealt = dealt.index_copy(0, turn * self.blocks + block, x)
        dealt = dealt.view(turns, self.blocks, -1).transpose(0, 1)
        counted = torch.ones_like(block).to(self.counts.device)
        self.counts.index_add_(0, block.to(self.counts.device), counted)
        self.block_sums += dealt.sum(dim=1)
        self.block_products.baddbmm_(dealt.mT, dealt)

    def set_moments(self, mean: Tensor, cov: Tensor, n: int) -> None:
        """Take mean (d,) and covariance (d, d), over n - 1, of `n` real images for all of them.

        Raises InputError if they are not of this width, or not finite.
        """
        d = self.num_features
        if mean.shape != (d,) or cov.shape != (d, d):
            raise InputError(
                f"a mean {tuple(mean.shape)} and a covariance {tuple(cov.shape)} of real images: "
                f"wanted ({d},) and ({d}, {d}), as the features are {d} wide"
            )
        mean, cov = mean.to(self.sums), cov.to(self.sums)
        if not (mean.isfinite().all() and cov.isfinite().all()):
            raise InputError("the mean or the covariance of the real images is not finite")
        self._forget(real=True)
        self.images[0] = n
        self.sums.copy_(n * mean)
        self.products.copy_((n - 1) * cov + n * mean[:, None] * mean)

    def value(self) -> Tensor:
        mean, cov, root = self._of_real()
        own_mean, own_cov = _moments(
            self.images[1], self.block_sums.sum(dim=0), self.block_products.sum(dim=0)
        )
        apart = (mean - own_mean).square().sum() + cov.trace() + own_cov.trace()
        return (apart - 2 * trace_of_root(root, own_cov)).clamp(min=0)

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        if self.counts.min() == 0 or self.generated < 2 * BLOCKS:
            return [Estimate(value) for value in values]
        mean, _, root = self._of_real()
        counts = self.counts.to(self.block_sums)
        error = frechet_error(counts, self.block_sums, self.block_products, mean, root)
        degrees = min(DEGREES, self.blocks - 4)  # fewer than B - 1, as the error is corrected
        return [about(values[0], error.item(), degrees, least=0.0)]

    def _of_real(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (d,), covariance (d, d) and its root (d, d) of the features of real images."""

        def make() -> tuple[Tensor, Tensor, Tensor]:
            mean, cov = _moments(self.images[0], self.sums, self.products)
            values, vectors = torch.linalg.eigh(cov)
            return mean, cov, vectors * values.clamp(min=0).sqrt() @ vectors.T

        return self.of_real("moments", make)


def _moments(n: Tensor, sums: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of `n` images, of the sums over them."""
    count = n.to(sums.device).double()
    mean = sums / count
    return mean, (products - count * mean[:, None] * mean) / (count - 1)
