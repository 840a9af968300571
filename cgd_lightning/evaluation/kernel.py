"""KID: the squared maximum mean discrepancy of features, by a cubic kernel.

    k(x, y) = (x.y / d + 1)^3
    KID = mean_{i != j} k(g_i, g_j) + mean_{i != j} k(r_i, r_j) - 2 mean_{ij} k(g_i, r_j)

Binkowski et al. 2018 (arXiv:1801.01401), section 4. It may be below 0, and has no bias at any n
where images are drawn independently. Where their classes are dealt out in fixed shares, as samples
of all classes in turn, two of them are of one class less often than by chance: then their classes
must be given, and k(g_i, g_i) is replaced not by the mean over all others but over those of its
class. Libraries that know no classes, as torch-fidelity, give less there, by the mean of k(x, y)
within classes less that over all, divided by n. The error takes in that of the reference, which is
a sample as well.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.all_features import AllFeatures
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.jackknife import BLOCKS, DEGREES
from cgd_lightning.evaluation.kernel_sums import KernelSums, Side


class KernelDistance(AllFeatures):
    """KID, a distance of features by a cubic kernel, in float64, over all pairs without subsets.

    The states are all features.

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

    def _sums(self) -> KernelSums:
        real, generated = self.sides()
        classes = [dim_zero_cat(state) for state in (self.real_classes, self.generated_classes)]
        of_real = self.of_real("sums", lambda: Side(real, classes[0].to(real.device)))
        return self.of_both(
            "sums", lambda: KernelSums(of_real, Side(generated, classes[1].to(generated.device)))
        )
