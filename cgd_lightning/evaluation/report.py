"""Measuring samples: what a network sees in them, against what it sees in real images.

    measure = Measure(JudgeFeatures(judge, "runs/judge"), test_images, test_labels)
    report = measure(images, targets)           # report["accuracy"], report["fid_lite"], ...
    real = measure.real(train_images, len(images))

One path for `cgd evaluate`, `cgd sweep`, the callback, the demo and the benchmarks. The real images
are looked at once, and what metrics make of them is made once; every value comes with the number of
images, as it depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.accuracy import ClassAccuracy
from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.estimate import Estimate, share
from cgd_lightning.evaluation.feature_metric import FeatureMetric, compare
from cgd_lightning.evaluation.features import Bar, FeatureNetwork, Seen
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.memorisation import NearestTraining
from cgd_lightning.evaluation.monge import MongeDistance
from cgd_lightning.evaluation.reference import Reference, reference_of

DRAWS = 10
"""At most so many draws of real images are averaged, as the value of one varies."""

ENOUGH = 2000
"""Below so many images a metric's name says how many there were."""

MetricFactory = Callable[[int], FeatureMetric]
"""Width of the features -> a metric of them: a class, its other arguments bound."""

METRICS: tuple[MetricFactory, ...] = (FrechetDistance, PrecisionRecall)

ALL_METRICS: tuple[MetricFactory, ...] = (
    FrechetDistance,
    KernelDistance,
    MongeDistance,
    PrecisionRecall,
    DensityCoverage,
)

OF_CLASSES: tuple[MetricFactory, ...] = (FrechetDistance, KernelDistance, PrecisionRecall)
"""What is told of each class by itself."""


@dataclass(frozen=True)
class Report:
    """What was measured of `n` images.

    n: images that were measured. reference: real images that they were compared with, and its name
    and hash. features: name of the network that saw both, and its hash. estimates: by name;
    "accuracy" only where targets were given. by_class: numbers of every class that was asked for,
    by its name. notes: what cannot be told of so few images. draws: of each draw of real images the
    FID-lite, whose mean stands among the estimates.
    """

    n: int
    reference: int
    features: str
    estimates: Mapping[str, Estimate]
    draws: tuple[float, ...] = ()
    by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    features_hash: str = ""
    reference_name: str = ""
    reference_hash: str = ""

    def __getitem__(self, name: str) -> float:
        return self.estimates[name].value

    @property
    def values(self) -> dict[str, float]:
        """The numbers alone, by name."""
        return {name: estimate.value for name, estimate in self.estimates.items()}

    def named(self, name: str) -> str:
        """How a number is called where it stands alone: with its n below `ENOUGH`."""
        return name if self.n >= ENOUGH else f"{name}@{self.n}"

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain data, as a JSON holds it."""
        return vars(self) | {
            "estimates": {self.named(name): e.to_plain() for name, e in self.estimates.items()},
            "by_class": {name: dict(numbers) for name, numbers in self.by_class.items()},
            "notes": list(self.notes),
            "draws": list(self.draws),
        }


class Measure:
    """A reference to compare images with: images -> a `Report`.

    Args:
        features: The network whose features and classes count.
        images: Real images, uint8 (R, C, H, W), best such as nothing was trained on; or what
            `features` saw in them.
        labels: Their classes (R,).
        metrics: What to compute from the features: each a class of metric, or a function that
            makes one from the width of the features.
        judge: The network that says which class an image shows; by default `features`.
        training: Features (T, d) of the images that the model was trained on, for memorisation.
    """

    def __init__(
        self,
        features: FeatureNetwork,
        images: Tensor | Reference,
        labels: Tensor | None = None,
        metrics: Sequence[MetricFactory] = METRICS,
        judge: FeatureNetwork | None = None,
        training: Tensor | None = None,
    ) -> None:
        self.features, self.metrics, self.judge = features, tuple(metrics), judge or features
        self.training = training
        self._judged: Seen | None = None
        if isinstance(images, Reference):
            self.known = images
        else:
            self.known = reference_of(features, images, labels)
            if judge is not None and labels is not None:
                self._judged = judge(images)
        self.reference = self.known.features

    @property
    def recognised(self) -> float | None:
        """Share of the real images, 0 to 1, whose label the judge predicts; None if not known."""
        labels = self.known.labels
        logits = self.known.logits if self.judge is self.features else None
        if self._judged is not None:
            logits = self._judged.logits
        if labels is None or logits is None:
            return None
        return _accuracy(logits.argmax(dim=-1), labels).value

    def __call__(
        self,
        images: Tensor,
        targets: Sequence[Target] | Tensor | None = None,
        bar: Bar = iter,
    ) -> Report:
        """The report of uint8 images (N, C, H, W), of which each was asked to show its target."""
        seen = self.features(images, bar)
        judged = seen if self.judge is self.features else self.judge(images)
        return self.of_seen(seen, targets, judged)

    def of_seen(
        self,
        seen: Seen,
        targets: Sequence[Target] | Tensor | None = None,
        judged: Seen | None = None,
    ) -> Report:
        """The same of images that were looked at already; `judged` is what the judge saw."""
        judged = judged or seen
        asked = {} if targets is None else {"accuracy": _accuracy(judged.classes, targets)}
        estimates = asked | self._compare(seen.features, self._made) | self._others(seen)
        report = self._report(len(seen.features), estimates)
        return replace(report, by_class=self._by_class(seen, judged, targets))

    def real(self, images: Tensor, n: int) -> Report:
        """The report of `n` real images (N, C, H, W): what samples of their distribution score.

        FID-lite is the mean of as many draws of n as there are in `images`, all else is of the
        first draw. If there are fewer than n, all of them are one draw.
        """
        return self.of_real(self.features(images), n)

    def of_real(self, seen: Seen, n: int) -> Report:
        """The same of images that were looked at already."""
        features = seen.features
        order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
        size = max(1, min(n, len(features)))
        parts = features[order][: len(features) // size * size].split(size)
        frechet = [make for make in self._made if isinstance(make, FrechetDistance)][:1]
        name = self.features.frechet
        draws = tuple(self._compare(part, frechet, False)[name].value for part in parts if frechet)
        estimates = self._compare(parts[0], self._made)
        if draws:
            estimates[name] = replace(estimates[name], value=mean(draws))
        return replace(self._report(len(parts[0]), estimates), draws=draws)

    @cached_property
    def _made(self) -> list[FeatureMetric]:
        """The metrics, which know the real images."""
        made = [make(self.known.width) for make in self.metrics]
        if self.reference is None:
            frechet = [metric for metric in made if isinstance(metric, FrechetDistance)]
            assert self.known.moments is not None
            for one in frechet:
                # Of how many images they are need not be known.
                one.set_moments(*self.known.moments, max(2, self.known.n))
                one.hold()
            return [*frechet]
        for metric in made:
            metric.distributed_available_fn = lambda: False  # all images are here
            metric.hold_real(self.reference)
        return made

    def _compare(
        self, features: Tensor, metrics: Sequence[FeatureMetric], intervals: bool = True
    ) -> dict[str, Estimate]:
        values: dict[str, Estimate] = {}
        for metric in metrics:
            metric.forget_generated()
            metric.update(features, real=False)
            found = metric.estimates(intervals)
            if isinstance(metric, FrechetDistance):
                found = {self.features.frechet: found["fid_lite"]}
            twice = ", ".join(sorted(found.keys() & values.keys()))
            if twice:
                raise InputError(f"two metrics are called {twice}; give one of them")
            values |= found
            metric.forget_generated()
        return values

    def _others(self, seen: Seen) -> dict[str, Estimate]:
        """What is told beside the metrics of features: only where all of them are."""
        values: dict[str, Estimate] = {}
        if self.metrics[: len(ALL_METRICS)] == ALL_METRICS and seen.logits.shape[1] > 1:
            score = InceptionScore(seen.logits.shape[1])
            score.distributed_available_fn = lambda: False
            score.update(seen.logits)
            values[self.features.score] = score.estimate()
        if self._memory is not None:
            values |= self._compare(seen.features, [self._memory])
        return values

    @cached_property
    def _memory(self) -> NearestTraining | None:
        if self.training is None or self.reference is None:
            return None
        metric = NearestTraining(self.known.width)
        metric.distributed_available_fn = lambda: False
        metric.update_held_out(self.reference)
        metric.hold_real(self.training)
        return metric

    def _by_class(
        self, seen: Seen, judged: Seen, targets: Sequence[Target] | Tensor | None
    ) -> dict[str, dict[str, float]]:
        """Numbers of every class that was asked for by itself, where real labels are known."""
        if targets is None or len(self.metrics) <= len(METRICS):
            return {}
        asked = targets.tolist() if isinstance(targets, Tensor) else list(targets)
        kinds = sorted({target for target in asked if isinstance(target, int)})
        names = self.judge.class_names
        found = {}
        for kind in kinds:
            chosen = torch.tensor([target == kind for target in asked])
            name = names[kind] if kind < len(names) else str(kind)
            found[name] = {
                "n": float(chosen.sum()),
                "accuracy": _accuracy(judged.classes[chosen], [kind] * int(chosen.sum())).value,
                **self._of_class(seen.features[chosen], kind),
            }
        return found

    def _of_class(self, features: Tensor, kind: int) -> dict[str, float]:
        if self.reference is None or self.known.labels is None:
            return {}
        real = self.reference[self.known.labels == kind]
        values: dict[str, float] = {}
        for make in OF_CLASSES:
            metric = make(self.known.width)
            if min(len(real), len(features)) < metric.least:
                continue
            found = compare(metric, real, features, intervals=False)
            values |= {
                self.features.frechet if name == "fid_lite" else name: estimate.value
                for name, estimate in found.items()
            }
        return values

    def _report(self, n: int, estimates: Mapping[str, Estimate]) -> Report:
        return Report(
            n,
            self.known.n,
            self.features.name,
            estimates,
            notes=_notes(n, self.known.n, estimates.keys(), self.features.frechet),
            features_hash=self.features.hash,
            reference_name=self.known.name,
            reference_hash=self.known.hash,
        )


def _notes(n: int, reference: int, names: Any, frechet: str) -> tuple[str, ...]:
    """What cannot be told of so few images."""
    notes = []
    if n < ENOUGH:
        if frechet in names:
            notes.append(
                f"n = {n}: {frechet} is larger than with more samples, and compares only with "
                f"values at this n and against the same {reference or ''} images".replace("  ", " ")
            )
        if "recall" in names:
            notes.append(
                f"n = {n}: recall and coverage miss what fewer than about {3 / n:.1%} of the "
                "samples show"
            )
        notes.append(f"for published numbers make at least {ENOUGH:,} samples, better 10,000")
    return tuple(notes)


def _accuracy(classes: Tensor, targets: Sequence[Target] | Tensor) -> Estimate:
    """Share of predicted classes (N,), 0 to 1, that are as asked, with its interval."""
    metric = ClassAccuracy()
    metric.distributed_available_fn = lambda: False  # all classes are here
    metric.update(classes, targets)
    metric.compute()
    return share(int(metric.hits), len(classes))
