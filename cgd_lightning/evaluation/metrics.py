"""The metrics in one call, for features or classes that are all there."""

from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.accuracy import accuracy_of
from cgd_lightning.evaluation.feature_metric import compare
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall


def accuracy(classes: Tensor, targets: Sequence[Target] | Tensor) -> float:
    """Share of predicted classes (N,), 0 to 1, that are as asked; see `ClassAccuracy`."""
    return accuracy_of(classes, targets).value


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Frechet distance between features (N, d) and (M, d); see `FrechetDistance`."""
    return compare(FrechetDistance(real.shape[-1]), real, generated, False)["fid_lite"].value


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision and recall from features (N, d) and (M, d); see `PrecisionRecall`."""
    values = compare(PrecisionRecall(real.shape[-1], k), real, generated, False)
    return values["precision"].value, values["recall"].value
