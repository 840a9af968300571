"""Measuring samples: what a network sees in them, against what it sees in real images.

    measure = Measure(JudgeFeatures(judge, "runs/judge"), test_images, test_labels)
    report = measure(images, targets)           # report["accuracy"], report["fid_lite"], ...
    real = measure.real(train_images, len(images))

One path for `cgd evaluate`, `cgd sweep`, the callback, the demo and the benchmarks. The real images
are looked at once, and what metrics make of them is made once; every value comes with the number of
images, as it depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import mean, stdev

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.accuracy import ClassAccuracy
from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.estimate import Estimate, about, share
from cgd_lightning.evaluation.feature_metric import FeatureMetric, alone, compare
from cgd_lightning.evaluation.features import Bar, FeatureNetwork, Seen
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.memorisation import NearestTraining
from cgd_lightning.evaluation.monge import MongeDistance
from cgd_lightning.evaluation.reference import Reference, reference_of
from cgd_lightning.evaluation.report import Report, named, notes_of, told_of

DRAWS = 10
"""At most so many draws of real images are averaged, as the value of one varies."""

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

FEWEST = 3
"""So many draws tell how much one varies."""

OF_CLASSES: tuple[MetricFactory, ...] = (FrechetDistance, KernelDistance, PrecisionRecall)
"""What is told of each class by itself."""


class Measure:
    """A reference to compare images with: images -> a `Report`.

    Args:
        features: The network whose features and classes count.
        images: Real images, uint8 (R, C, H, W), best such as nothing was trained on; or what
            `features` saw in them.
        labels: Their classes (R,).
        metrics: What to compute from the features: each a class of metric, or a function that
            makes one from the width of the features; and `InceptionScore`, of the logits.
        judge: The network that says which class an image shows; by default `features`.
        training: Features (T, d) of the images that the model was trained on, for memorisation.
    """

    def __init__(
        self,
        features: FeatureNetwork,
        images: Tensor | Reference,
        labels: Tensor | None = None,
        metrics: Sequence[MetricFactory | type[InceptionScore]] = METRICS,
        judge: FeatureNetwork | None = None,
        training: Tensor | None = None,
    ) -> None:
        self.features, self.metrics, self.judge = features, tuple(metrics), judge or features
        self.training = training
        if isinstance(images, Reference):
            self.known = images
        else:
            self.known = reference_of(features, images, labels)
        self.reference = self.known.features

    @property
    def recognised(self) -> float | None:
        """Share of the real images, 0 to 1, whose label the judge predicts.

        None if the labels are not known, or the judge saw no real image, as where it does not give
        the features.
        """
        labels, logits = self.known.labels, self.known.logits
        if labels is None or logits is None or self.judge is not self.features:
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
        asked = {}
        if targets is not None:
            asked["accuracy"] = _accuracy((judged or seen).classes, targets)
        kinds = None if targets is None else _kinds(targets)
        found = self._compare(_Sorted(seen.features, kinds), self._made)
        return self._report(len(seen.features), asked | found | self._others(seen, kinds))

    def real(self, images: Tensor, n: int) -> Report:
        """The report of `n` real images (N, C, H, W): what samples of their distribution score."""
        return self.of_real(self.features(images), n)

    def of_real(
        self, seen: Seen, n: int, labels: Tensor | None = None, targets: Sequence[Target] = ()
    ) -> Report:
        """The same of images that were looked at already.

        The Frechet distance is the mean of as many draws of n as there are, at most `DRAWS`, all
        else is of the first draw; with fewer images than n all of them are one draw. labels:
        classes (N,) of the images. targets: of samples; each draw has as many of each class as
        these ask for, if there are enough.
        """
        parts = _draws(len(seen.features), n, labels, targets)
        sides = [
            _Sorted(seen.features[part], None if labels is None else labels[part]) for part in parts
        ]
        frechet = [metric for metric in self._made if isinstance(metric, FrechetDistance)][:1]
        name = self.features.frechet
        draws = tuple(self._compare(s, frechet, False)[name].value for s in sides if frechet)
        estimates = self._compare(sides[0], self._made)
        if len(draws) >= FEWEST:
            error = stdev(draws) / len(draws) ** 0.5
            estimates[name] = about(mean(draws), error, len(draws) - 1, least=0.0)
        return replace(self._report(len(parts[0]), estimates), draws=draws)

    @cached_property
    def _made(self) -> list[FeatureMetric]:
        """The metrics, which know the real images."""
        made = [make(self.known.width) for make in self.metrics if make is not InceptionScore]
        metrics = [metric for metric in made if isinstance(metric, FeatureMetric)]
        if self.reference is None:
            frechet = [metric for metric in metrics if isinstance(metric, FrechetDistance)]
            assert self.known.moments is not None
            for one in frechet:
                # Of how many images they are need not be known.
                one.set_moments(*self.known.moments, max(2, self.known.n))
                one.hold()
            return [*frechet]
        real = _Sorted(self.reference, self.known.labels)
        for metric in metrics:
            metric.distributed_available_fn = alone
            real.give(metric, real=True)
            metric.hold()
        return metrics

    def _compare(
        self, side: "_Sorted", metrics: Sequence[FeatureMetric], intervals: bool = True
    ) -> dict[str, Estimate]:
        values: dict[str, Estimate] = {}
        for metric in metrics:
            side.give(metric, real=False)
            found = metric.estimates(intervals)
            metric.forget_generated()
            if isinstance(metric, FrechetDistance):
                found = {self.features.frechet: found["fid_lite"]}
            twice = ", ".join(sorted(found.keys() & values.keys()))
            if twice:
                raise InputError(f"two metrics are called {twice}; give one of them")
            values |= found
        return values

    def _others(self, seen: Seen, kinds: Tensor | None) -> dict[str, Estimate]:
        """What is told beside the metrics of features."""
        values: dict[str, Estimate] = {}
        if InceptionScore in self.metrics and seen.logits.shape[1] > 1:
            score = InceptionScore(seen.logits.shape[1])
            score.distributed_available_fn = alone
            score.update(_Sorted(seen.logits, kinds).features)
            values[self.features.score] = score.estimate()
        if self._memory is not None:
            values |= self._compare(_Sorted(seen.features, kinds), [self._memory])
        return values

    @cached_property
    def _memory(self) -> NearestTraining | None:
        if self.training is None or self.reference is None:
            return None
        metric = NearestTraining(self.known.width)
        metric.distributed_available_fn = alone
        metric.update_held_out(self.reference)
        metric.update(self.training, real=True)
        metric.hold()
        return metric

    def by_class(
        self, seen: Seen, targets: Sequence[Target], judged: Seen | None = None
    ) -> dict[str, dict[str, float]]:
        """Numbers, without intervals, of every class that was asked for by itself, by its name.

        Those of distances only where the classes of the real images are known. They are called
        with their n.
        """
        kinds = sorted({target for target in targets if isinstance(target, int)})
        names, classes = self.judge.class_names, (judged or seen).classes
        found = {}
        for kind in kinds:
            chosen = torch.tensor([target == kind for target in targets])
            n = int(chosen.sum())
            values = {"accuracy": _accuracy(classes[chosen], [kind] * n).value}
            values |= self._of_class(seen.features[chosen], kind)
            name = names[kind] if kind < len(names) else str(kind)
            found[name] = {"n": n, **{named(key, n): value for key, value in values.items()}}
        return found

    def _of_class(self, features: Tensor, kind: int) -> dict[str, float]:
        if self.reference is None or self.known.labels is None:
            return {}
        real = self.reference[self.known.labels == kind]
        values: dict[str, float] = {}
        for make in OF_CLASSES:
            metric = make(self.known.width)
            if min(len(real), len(features)) >= metric.least:
                found = compare(metric, real, features, intervals=False)
                values |= {name: estimate.value for name, estimate in found.items()}
        if "fid_lite" in values:
            values = {self.features.frechet: values.pop("fid_lite"), **values}
        return values

    def _report(self, n: int, estimates: Mapping[str, Estimate]) -> Report:
        told, untold = told_of(estimates)
        return Report(
            n,
            self.known.n,
            self.features.name,
            told,
            notes=(*notes_of(n, self.known.n, told.keys(), self.features.frechet), *untold),
            features_hash=self.features.hash,
            reference_name=self.known.name,
            reference_hash=self.known.hash,
        )


class _Sorted:
    """Features (N, d) sorted by their `kinds` (N,), so that blocks of a jackknife get all alike."""

    def __init__(self, features: Tensor, kinds: Tensor | None) -> None:
        order = None if kinds is None else kinds.argsort(stable=True)
        self.features = features if order is None else features[order]
        self.kinds = None if kinds is None else kinds[order]

    def give(self, metric: FeatureMetric, real: bool) -> None:
        """Update `metric` with them; KID is told their kinds, whose shares are fixed."""
        if isinstance(metric, KernelDistance):
            metric.update(self.features, real=real, classes=self.kinds)
        else:
            metric.update(self.features, real=real)


def _kinds(targets: Sequence[Target] | Tensor) -> Tensor:
    """A number (N,) int64 for each image, the same for the same target."""
    if isinstance(targets, Tensor):
        return (
            targets.cpu()
            if targets.ndim == 1
            else targets.cpu().unique(dim=0, return_inverse=True)[1]
        )
    places = {target: place for place, target in enumerate(dict.fromkeys(targets))}
    return torch.tensor([places[target] for target in targets])


def _draws(
    count: int, n: int, labels: Tensor | None, targets: Sequence[Target]
) -> Sequence[Tensor]:
    """Places of `count` images in draws of n, at most `DRAWS`, none of them in two."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    asked = [target for target in targets if isinstance(target, int)]
    if labels is not None and len(asked) == len(targets) > 0:
        own = [order[labels[order] == kind].split(asked.count(kind)) for kind in set(asked)]
        draws = [torch.cat(parts) for parts in zip(*own) if sum(map(len, parts)) == len(asked)]
        if draws:
            return draws[:DRAWS]
    size = max(1, min(n, count))
    return order[: count // size * size].split(size)[:DRAWS]


def _accuracy(classes: Tensor, targets: Sequence[Target] | Tensor) -> Estimate:
    """Share of predicted classes (N,), 0 to 1, that are as asked, with its interval."""
    metric = ClassAccuracy()
    metric.distributed_available_fn = alone
    metric.update(classes, targets)
    metric.compute()
    return share(int(metric.hits), len(classes))
