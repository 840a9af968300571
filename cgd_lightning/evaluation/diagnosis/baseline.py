"""What the class means alone tell of a noisy image: a classifier that costs nothing.

    p(k | x_t) ~ share_k exp(-|x_t - alpha mean_k|^2 / (2 (sigma^2 + alpha^2 v)))

Bayes' rule for Gaussian classes about their means mean_k, of one shared variance v in all
dimensions. The noisier the image, the less there is beyond the means to see: towards pure noise it
becomes the best classifier that there is. So one that was trained on noise should not do worse.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.level import Level


@dataclass(frozen=True)
class ClassMeans:
    """The means (K, d) of the classes in x0, the shared variance, and the shares (K,).

    left_out: the number of images of each class (K,), where the images to be judged are those that
    the means are of. Each is then left out of the mean of its class.
    """

    means: Tensor
    variance: float
    shares: Tensor
    left_out: Tensor | None = None

    @classmethod
    def of(
        cls, batches: Iterable[tuple[Tensor, Tensor]], classes: int, leave_out: bool = False
    ) -> "ClassMeans":
        """Of batches of images x0 (B, C, H, W) and their labels (B,).

        A class without images counts as one image of zeros. leave_out: whether the images to be
        judged are these.
        """
        counts = sums = squares = torch.zeros(())
        for x0, labels in batches:
            flat = x0.flatten(1)
            counts = counts.to(flat) + torch.bincount(labels, minlength=classes).to(flat)
            zeros = flat.new_zeros(classes, flat.shape[1])
            sums = sums.to(flat) + zeros.index_add(0, labels, flat)
            squares = squares.to(flat) + flat.square().sum()
        means = sums / counts.clamp(min=1)[:, None]
        degrees = (counts.sum() - (counts > 0).sum()).clamp(min=1) * means.shape[1]
        variance = (squares - (counts[:, None] * means.square()).sum()) / degrees
        shares = counts.clamp(min=1) / counts.clamp(min=1).sum()
        return cls(means, variance.item(), shares, counts if leave_out else None)

    def log_prob(self, x_t: Tensor, x0: Tensor, level: Level, labels: Tensor) -> Tensor:
        """log p(k | x_t), (B, K), of `x_t` (B, C, H, W).

        x0, labels: the images in `x_t` and their classes, to be left out of the means.
        """
        x = x_t.flatten(1)
        distance = torch.cdist(x, level.alpha * self.means).square()
        if self.left_out is not None:
            count = self.left_out[labels][:, None].clamp(min=2)
            own = (count * self.means[labels] - x0.flatten(1)) / (count - 1)
            apart = (x - level.alpha * own).square().sum(dim=1, keepdim=True)
            distance = distance.scatter(1, labels[:, None], apart)
        variance = level.sigma**2 + level.alpha**2 * self.variance
        return (self.shares.log() - distance / (2 * variance)).log_softmax(dim=1)
