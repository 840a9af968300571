"""Features as metrics take them: sorted by class, so that blocks of a jackknife get all alike."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.feature_metric import FeatureMetric
from cgd_lightning.evaluation.kernel import KernelDistance


class SortedFeatures:
    """Features (N, d) of real or of generated images, sorted by their `kinds` (N,)."""

    def __init__(self, features: Tensor, kinds: Tensor | None) -> None:
        order = None if kinds is None else kinds.argsort(stable=True)
        self.features = features if order is None else features[order]
        self.kinds = None if kinds is None else kinds[order]

    def give(self, metric: FeatureMetric, real: bool) -> None:
        """Update `metric` with them; KID is told their kinds, and takes their shares as fixed."""
        if isinstance(metric, KernelDistance):
            metric.update(self.features, real=real, classes=self.kinds)
        else:
            metric.update(self.features, real=real)


def kinds_of(targets: Sequence[Target] | Tensor) -> Tensor:
    """A number (N,) int64 for each image, the same for the same target."""
    if isinstance(targets, Tensor):
        plain = targets.cpu()
        return plain if plain.ndim == 1 else plain.unique(dim=0, return_inverse=True)[1]
    places = {target: place for place, target in enumerate(dict.fromkeys(targets))}
    return torch.tensor([places[target] for target in targets])
