"""The Frechet distance between Gaussians fitted to features of real and of generated images.

    |mean_r - mean_g|^2 + tr(cov_r + cov_g - 2 (cov_r cov_g)^(1/2))

Heusel et al. 2017 (arXiv:1706.08500), eq. 6, there on features of an Inception network. On others
it is called FID-lite, and its values compare only where features, reference and numbers of images
are the same.
"""

import torch
from torch import Tensor

from cgd_lightning.evaluation.feature_metric import FeatureMetric


class FrechetDistance(FeatureMetric):
    """The distance above, at least 0, as a scalar in float64.

    The states are sums in float64, over all images: their number n, their features and the outer
    products of these. So the value is the same, but for rounding, in whatever batches and on
    however many processes the images come. On a device without float64 the sums stay on the CPU.

    Args:
        num_features: Width d of the features. At least 2 images of each side are needed.
    """

    names = ("fid_lite",)
    doubles = ("sums", "products")
    higher_is_better = False

    sums: Tensor
    products: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 2, "a Frechet distance needs at least 2 of each")
        for name, size in zip(self.doubles, ((num_features,), (num_features, num_features))):
            zeros = torch.zeros(2, *size, dtype=torch.float64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def add(self, features: Tensor, side: int) -> None:
        x = features.to(self.sums.device).double()
        self.sums[side] += x.sum(dim=0)
        self.products[side] += x.T @ x

    def value(self) -> Tensor:
        n = self.images.to(self.sums.device)[:, None, None].double()
        mean = self.sums[:, :, None] / n
        cov_real, cov_fake = (self.products - n * mean @ mean.mT) / (n - 1)
        values, vectors = torch.linalg.eigh(cov_real)
        root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        # The eigenvalues of cov_r cov_g are those of this symmetric matrix.
        cross = torch.linalg.eigvalsh(root @ cov_fake @ root).clamp(min=0).sqrt().sum()
        distance = (mean[0] - mean[1]).square().sum() + cov_real.trace() + cov_fake.trace()
        return (distance - 2 * cross).clamp(min=0)
