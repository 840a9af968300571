"""Measuring samples: what a network sees in them, against what it sees in real images.

    measure = Measure(JudgeFeatures(judge, "runs/judge"), test_images, test_labels)
    report = measure(images, targets)           # report["accuracy"], report["fid_lite"], ...
    real = measure.real(train_images, len(images))

Every command measures by it. The real images are looked at once, and what metrics make of them is
made once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import mean, stdev

from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.accuracy import accuracy_of
from cgd_lightning.evaluation.class_wise import class_wise
from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.draws import draws
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.feature_metric import FeatureMetric, alone
from cgd_lightning.evaluation.features import Bar, FeatureNetwork, Seen
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.memorisation import NearestTraining
from cgd_lightning.evaluation.monge import MongeDistance
from cgd_lightning.evaluation.ready import ready_memory, ready_metrics
from cgd_lightning.evaluation.reference import Reference, reference_of
from cgd_lightning.evaluation.report import Report, notes_of, told_of
from cgd_lightning.evaluation.sorted_features import SortedFeatures, kinds_of
from cgd_lightning.streams import Images

MetricFactory = Callable[[int], FeatureMetric]
"""Width of the features -> a metric of them: a class, its other arguments bound."""

METRICS: tuple[MetricFactory, ...] = (FrechetDistance, PrecisionRecall)

ALL_METRICS: tuple[MetricFactory, ...] = (
    *(FrechetDistance, KernelDistance, MongeDistance, PrecisionRecall, DensityCoverage),
)

FEWEST = 3  # draws that tell how much one varies


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
        return accuracy_of(logits.argmax(dim=-1), labels).value

    def __call__(
        self,
        images: Images,
        targets: Sequence[Target] | Tensor | None = None,
        bar: Bar = iter,
    ) -> Report:
        """The report of uint8 images (N, C, H, W), of which each was asked to show its target.

        A metric that wants more images is left out, and the notes say so. Raises InputError if
        there is none that does not.
        """
        seen = self.features(images, bar, "samples")
        judged = seen if self.judge is self.features else self.judge(images, what="samples")
        return self.of_seen(seen, targets, judged)

    def of_seen(
        self,
        seen: Seen,
        targets: Sequence[Target] | Tensor | None = None,
        judged: Seen | None = None,
    ) -> Report:
        """The same of images that were looked at already; `judged` is what the judge saw.

        Raises InputError also for features of another width than those of the reference.
        """
        if seen.features.shape[1] != self.known.width:
            raise InputError(
                f"{self.known.name}: {self.known.width} features of an image, and "
                f"{self.features.name} makes {seen.features.shape[1]}: of another network, or "
                "damaged (--no_cache looks again)"
            )
        asked = {}
        if targets is not None:
            asked["accuracy"] = accuracy_of((judged or seen).classes, targets)
        kinds = None if targets is None else kinds_of(targets)
        found = self._compare(SortedFeatures(seen.features, kinds), self._made)
        return self._report(len(seen.features), asked | found | self._others(seen, kinds))

    def real(
        self, images: Tensor, n: int, labels: Tensor | None = None, targets: Sequence[Target] = ()
    ) -> Report:
        """The report of `n` real images (N, C, H, W): what samples of their distribution score.

        labels, targets: as of `of_real`.
        """
        return self.of_real(self.features(images), n, labels, targets)

    def of_real(
        self, seen: Seen, n: int, labels: Tensor | None = None, targets: Sequence[Target] = ()
    ) -> Report:
        """The same of images that were looked at already.

        The Frechet distance is the mean of as many draws of n as there are, at most `DRAWS`, all
        else is of the first draw; with fewer images than n all of them are one draw. labels:
        classes (N,) of the images. targets: of samples; each draw has as many of each class as
        these ask for, if there are enough.
        """
        parts = draws(len(seen.features), n, labels, targets)
        kinds = [None if labels is None else labels[part] for part in parts]
        sides = [SortedFeatures(seen.features[part], own) for part, own in zip(parts, kinds)]
        enough = [metric for metric in self._made if metric.is_told_of(len(parts[0]))]
        frechet = [metric for metric in enough if isinstance(metric, FrechetDistance)][:1]
        name = self.features.frechet
        each = tuple(self._compare(s, frechet, False)[name].value for s in sides if frechet)
        estimates = self._compare(sides[0], self._made)
        if len(each) >= FEWEST:
            error = stdev(each) / len(each) ** 0.5
            estimates[name] = about(mean(each), error, len(each) - 1, least=0.0)
        return replace(self._report(len(parts[0]), estimates), draws=each)

    @cached_property
    def _made(self) -> list[FeatureMetric]:
        """The metrics, which know the real images."""
        made = [make(self.known.width) for make in self.metrics if make is not InceptionScore]
        return ready_metrics([one for one in made if isinstance(one, FeatureMetric)], self.known)

    def _compare(
        self, side: SortedFeatures, metrics: Sequence[FeatureMetric], intervals: bool = True
    ) -> dict[str, Estimate]:
        values: dict[str, Estimate] = {}
        enough = [metric for metric in metrics if metric.is_told_of(len(side.features))]
        # If there is none, the one that wants least says what it wants.
        for metric in enough or sorted(metrics, key=lambda metric: metric.least)[:1]:
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
            score.update(SortedFeatures(seen.logits, kinds).features)
            values[self.features.score] = score.estimate()
        if self._memory is not None:
            values |= self._compare(SortedFeatures(seen.features, kinds), [self._memory])
        return values

    @cached_property
    def _memory(self) -> NearestTraining | None:
        return None if self.training is None else ready_memory(self.known, self.training)

    def by_class(
        self, seen: Seen, targets: Sequence[Target], judged: Seen | None = None
    ) -> dict[str, dict[str, float]]:
        """Numbers of every class that was asked for by itself; see `class_wise`."""
        return class_wise(self.features, self.known, seen, targets, self.judge, judged or seen)

    def _report(self, n: int, estimates: Mapping[str, Estimate]) -> Report:
        told, untold = told_of(estimates)
        return Report(
            n,
            self.known.n,
            self.features.name,
            told,
            notes=(
                *(metric.left_out(n) for metric in self._made if not metric.is_told_of(n)),
                *notes_of(n, self.known.n, told.keys(), self.features.frechet),
                *untold,
            ),
            features_hash=self.features.hash,
            reference_name=self.known.name,
            reference_hash=self.known.hash,
        )
