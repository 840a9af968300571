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
from cgd_lightning.evaluation.jackknife import BLOCKS, DEGREES, block_of, jackknife_error, pairs

WIDE = 512
"""Of wider features fewer blocks are left out, as each time costs a decomposition."""


class FrechetDistance(FeatureMetric):
    """The distance above, at least 0, as a scalar in float64.

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
        d, blocks = num_features, BLOCKS
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
        block = block_of(index.cpu() if self.sums.device.type == "cpu" else index)
        one_hot = torch.nn.functional.one_hot(block, BLOCKS).to(x)
        self.counts += one_hot.sum(dim=0).long().to(self.counts.device)
        self.block_sums += one_hot.T @ x
        for number, chosen in enumerate(one_hot.T[:, :, None]):
            self.block_products[number] += (x * chosen).T @ x

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
        return self._distances([()])[0]

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        if self.counts.min() == 0 or self.generated < 2 * BLOCKS:
            return [Estimate(value) for value in values]
        count = BLOCKS if self.num_features <= WIDE else BLOCKS // 2
        outs: list[tuple[int, ...]] = [*((j,) for j in range(count)), *pairs(count)]
        if count < BLOCKS:  # two blocks are one then
            outs = [tuple(j + more for j in out for more in (0, count)) for out in outs]
        without = self._distances(outs)[:, None].cpu()
        whole = without.new_tensor(values)
        error = jackknife_error(whole, without[:count], without[count:])
        return [about(values[0], error.item(), DEGREES, least=0.0)]

    def _distances(self, outs: Sequence[Sequence[int]]) -> Tensor:
        """The distances (S,) to the generated images without the blocks of each of S tuples."""
        mean, cov = _moments(self.images[0].to(self.sums.device), self.sums, self.products)
        root = self.of_real("root", lambda: _root(cov))
        all_of_it = [x.sum(dim=0) for x in (self.counts, self.block_sums, self.block_products)]
        distances = []
        for out in outs:
            left = [
                whole - part[list(out)].sum(dim=0)
                for whole, part in zip(
                    all_of_it, (self.counts, self.block_sums, self.block_products)
                )
            ]
            own_mean, own_cov = _moments(left[0].to(left[1].device), left[1], left[2])
            # The eigenvalues of cov_r cov_g are those of this symmetric matrix.
            cross = torch.linalg.eigvalsh(root @ own_cov @ root).clamp(min=0).sqrt().sum()
            apart = (mean - own_mean).square().sum() + cov.trace() + own_cov.trace()
            distances.append((apart - 2 * cross).clamp(min=0))
        return torch.stack(distances)


def _root(cov: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _moments(n: Tensor, sums: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of `n` images, of the sums over them."""
    count = n.double()
    mean = sums / count
    return mean, (products - count * mean[:, None] * mean) / (count - 1)
