"""Measuring samples: what a network sees in them, against what it sees in real images.

    measure = Measure(JudgeFeatures(judge, "runs/judge"), test_images, test_labels)
    report = measure(images, targets)           # report["accuracy"], report["fid_lite"], ...
    real = measure.real(train_images, len(images))

One path for `cgd evaluate`, the callback of a training, the demo and the benchmarks. The real
images are looked at once; every value comes with the number of images, as it depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import FeatureMetric, compare
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.metrics import accuracy

DRAWS = 10
"""At most so many draws of real images are averaged, as the value of one varies."""

MetricFactory = Callable[[int], FeatureMetric]
"""Width of the features -> a metric of them: a class, its other arguments bound."""

METRICS: tuple[MetricFactory, ...] = (FrechetDistance, PrecisionRecall)


@dataclass(frozen=True)
class Report:
    """What was measured of `n` images.

    n: images that were measured. reference: real images that they were compared with. features:
    name of the network that saw both. values: by name; "accuracy" only where targets were given.
    draws: of each draw of real images the FID-lite, whose mean stands in `values`.
    """

    n: int
    reference: int
    features: str
    values: Mapping[str, float]
    draws: tuple[float, ...] = ()

    def __getitem__(self, name: str) -> float:
        return self.values[name]


class Measure:
    """A reference to compare images with: images -> a `Report`.

    Args:
        features: The network whose features and classes count.
        images: Real images, uint8 (R, C, H, W), best such as nothing was trained on.
        labels: Their classes (R,).
        metrics: What to compute from the features: each a class of metric, or a function that
            makes one from the width of the features.
    """

    def __init__(
        self,
        features: FeatureNetwork,
        images: Tensor,
        labels: Tensor | None = None,
        metrics: Sequence[MetricFactory] = METRICS,
    ) -> None:
        self.features, self.metrics = features, tuple(metrics)
        self.reference, classes = features(images)
        self.recognised = None if labels is None else accuracy(classes, labels)
        """Share of the real images, 0 to 1, whose label the network predicts."""

    def __call__(self, images: Tensor, targets: Sequence[Target] | Tensor | None = None) -> Report:
        """The report of uint8 images (N, C, H, W), of which each was asked to show its target."""
        seen, classes = self.features(images)
        asked = {} if targets is None else {"accuracy": accuracy(classes, targets)}
        return self._report(seen, asked | self._compare(seen, self.metrics))

    def real(self, images: Tensor, n: int) -> Report:
        """The report of `n` real images (N, C, H, W): what samples of their distribution score.

        FID-lite is the mean of as many draws of n as there are in `images`, all else is of the
        first draw. If there are fewer than n, all of them are one draw.
        """
        seen = self.features(images)[0]
        seen = seen[torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))]
        size = max(1, min(n, len(seen)))
        parts = seen[: len(seen) // size * size].split(size)
        draws = tuple(self._compare(part, [FrechetDistance])["fid_lite"] for part in parts)
        values = self._compare(parts[0], self.metrics) | {"fid_lite": mean(draws)}
        return self._report(parts[0], values, draws)

    def _compare(self, seen: Tensor, metrics: Sequence[MetricFactory]) -> dict[str, float]:
        values: dict[str, float] = {}
        for make in metrics:
            found = compare(make(self.reference.shape[1]), self.reference, seen)
            twice = ", ".join(found.keys() & values.keys())
            if twice:
                raise InputError(f"two metrics are called {twice}; give one of them")
            values |= found
        return values

    def _report(
        self, seen: Tensor, values: Mapping[str, float], draws: tuple[float, ...] = ()
    ) -> Report:
        return Report(len(seen), len(self.reference), self.features.name, values, draws)
