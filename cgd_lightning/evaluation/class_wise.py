"""Numbers of every class by itself: how well it is recognised, how far it lies from real ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.accuracy import accuracy_of
from cgd_lightning.evaluation.feature_metric import FeatureMetric, compare
from cgd_lightning.evaluation.features import FeatureNetwork, Seen
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.reference import Reference

OF_CLASSES: tuple[Callable[[int], FeatureMetric], ...] = (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
)
"""What is told of each class by itself."""


def class_wise(
    features: FeatureNetwork,
    reference: Reference,
    seen: Seen,
    targets: Sequence[Target],
    judge: FeatureNetwork,
    judged: Seen,
) -> dict[str, dict[str, float]]:
    """Numbers, without intervals, of every class among `targets`, by its name as the judge says it.

    seen: of the samples by `features`; judged: by the judge. Distances only where the classes of
    the real images are known.
    """
    found = {}
    for kind in sorted({target for target in targets if isinstance(target, int)}):
        chosen = torch.tensor([target == kind for target in targets])
        n = int(chosen.sum())
        values = {"accuracy": accuracy_of(judged.classes[chosen], [kind] * n).value}
        values |= _distances(features, reference, seen.features[chosen], kind)
        names = judge.class_names
        name = names[kind] if kind < len(names) else str(kind)
        found[name] = {"n": n, **values}
    return found


def _distances(
    network: FeatureNetwork, reference: Reference, features: Tensor, kind: int
) -> dict[str, float]:
    if reference.features is None or reference.labels is None:
        return {}
    real = reference.features[reference.labels == kind]
    values: dict[str, float] = {}
    for make in OF_CLASSES:
        metric = make(reference.width)
        if min(len(real), len(features)) >= metric.least:
            found = compare(metric, real, features, intervals=False)
            values |= {name: estimate.value for name, estimate in found.items()}
    if "fid_lite" in values:
        values = {network.frechet: values.pop("fid_lite"), **values}
    return values
