"""Metrics that know the real images, so that samples can be held against these again and again."""

from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.evaluation.feature_metric import FeatureMetric, alone
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.memorisation import NearestTraining
from cgd_lightning.evaluation.reference import Reference
from cgd_lightning.evaluation.sorted_features import SortedFeatures


def ready_metrics(metrics: Sequence[FeatureMetric], reference: Reference) -> list[FeatureMetric]:
    """`metrics`, each of which holds what it knows of the real images of `reference`.

    Where only moments of these are known, the Frechet distances alone.
    """
    if reference.features is None:
        assert reference.moments is not None
        frechet = [metric for metric in metrics if isinstance(metric, FrechetDistance)]
        for one in frechet:
            # Of how many images they are need not be known.
            one.set_moments(*reference.moments, max(2, reference.n))
            one.hold()
        return [*frechet]
    real = SortedFeatures(reference.features, reference.labels)
    for metric in metrics:
        metric.distributed_available_fn = alone  # all images are here
        real.give(metric, real=True)
        metric.hold()
    return [*metrics]


def ready_memory(reference: Reference, training: Tensor) -> NearestTraining | None:
    """What tells copies of images with features `training` (T, d), if held-out ones are known."""
    if reference.features is None:
        return None
    metric = NearestTraining(reference.width)
    metric.distributed_available_fn = alone
    metric.update_held_out(reference.features)
    metric.update(training, real=True)
    metric.hold()
    return metric
