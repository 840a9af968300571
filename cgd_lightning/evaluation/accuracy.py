"""The share of the images that show what they were asked to show."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from cgd_lightning.diffusion.targets import Target, hit
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.estimate import Estimate, share
from cgd_lightning.evaluation.feature_metric import alone, double


class ClassAccuracy(Metric):
    """Share of the images, 0 to 1, whose predicted class is asked for, as a scalar in float64.

    With weights, all classes with a weight above 0 are asked for.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    hits: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("hits", "images"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, classes: Tensor, targets: Sequence[Target] | Tensor) -> None:
        """Take in predicted classes (N,) int64 and their targets, on the same device.

        targets: a list, or a tensor of classes (N,) int64 or of weights (N, K). Raises InputError
        if there is not one target for every image.
        """
        if len(classes) != len(targets):
            raise InputError(
                f"{len(classes)} images and {len(targets)} targets: wanted one for every image"
            )
        self.hits += _hits(classes, targets).sum().to(self.hits.device)
        self.images += len(classes)

    def compute(self) -> Tensor:
        if not self.images:
            raise InputError("no images: wanted at least one for an accuracy")
        return double(self.hits) / double(self.images)


def _hits(classes: Tensor, targets: Sequence[Target] | Tensor) -> Tensor:
    if not isinstance(targets, Tensor):
        return hit(classes.cpu(), targets)
    if targets.ndim == 1:
        return classes == targets
    return targets.gather(1, classes[:, None])[:, 0] > 0


def accuracy_of(classes: Tensor, targets: Sequence[Target] | Tensor) -> Estimate:
    """Share of predicted classes (N,), 0 to 1, that are as asked, with its 95% interval.

    Raises InputError as `ClassAccuracy` does.
    """
    metric = ClassAccuracy()
    metric.distributed_available_fn = alone  # all classes are here
    metric.update(classes, targets)
    metric.compute()
    return share(int(metric.hits), len(classes))
