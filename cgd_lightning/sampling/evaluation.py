"""Samples of any origin, measured in full: what `cgd evaluate` tells, as values.

    evaluation = evaluate(features, reference, samples, training)
    evaluation.report["kid"], evaluation.real["kid"], evaluation.nearest

Networks look once at every image, with a bar of how many are done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.data.images import ChosenImages, ImageBatch
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.draws import DRAWS, draws, draws_like
from cgd_lightning.evaluation.features import Bar, FeatureNetwork, Seen
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.measure import ALL_METRICS, Measure, MetricFactory
from cgd_lightning.evaluation.memorisation import closest
from cgd_lightning.evaluation.neighbours import nearest
from cgd_lightning.evaluation.reference import Reference, reference_of
from cgd_lightning.evaluation.report import Report
from cgd_lightning.sampling.sources import Samples
from cgd_lightning.streams import Images

PAIRS = 10
"""Of a sample and the training image nearest to it that are kept."""

NO_LABELS = "nobody says what the samples were asked to show, so that there is no accuracy"

Bars = Callable[[str], Bar]
"""What is looked at -> a bar of its batches."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of samples.

    report: of the samples. real: of as many real images, if there are any, and `real_name` says
    which. against_others: of the samples, against the same real images as `real`, where these are
    the others of the reference and not all of it. recognised: share of the reference that the judge
    recognises, if that is known. nearest: (distance, sample, training image), the closest pairs,
    images uint8 (C, H, W).
    """

    report: Report
    real: Report | None
    real_name: str
    recognised: float | None
    against_others: Report | None = None
    nearest: tuple[tuple[float, Tensor, Tensor], ...] = ()


@dataclass(frozen=True, eq=False)
class Training:
    """The images that a model was trained on, as far as they are looked at.

    drawn: those that are measured in place of samples, DRAWS times as many. compared: those that
    samples may be copies of; None if nobody asks.
    """

    drawn: ChosenImages
    compared: ChosenImages | None

    @classmethod
    def of(cls, data: Dataset[ImageBatch], n: int, compared: int) -> "Training":
        """Random ones of `data`, always the same, for `n` samples; at most so many `compared`."""
        drawn = ChosenImages(data, DRAWS * n)
        return cls(drawn, ChosenImages(data, compared) if compared else None)


def evaluate(
    features: FeatureNetwork,
    reference: Reference,
    samples: Samples[Images],
    training: Training | None = None,
    metrics: Sequence[MetricFactory] = (),
    judge: FeatureNetwork | None = None,
    keep: Path | None = None,
    bars: Bars = lambda what: iter,
) -> Evaluation:
    """All that is told of `samples` beside `reference`, both as `features` sees them.

    metrics: further ones. judge: says which class an image shows, if `features` does not. keep: the
    folder where features of training images are kept. Raises InputError for too few images, for
    features that are not finite, and for further metrics where only moments are known.
    """
    if metrics and reference.features is None:
        raise InputError(
            f"{reference.name}: mean and covariance alone, which do for the Frechet distance and "
            "for no other --metrics; give images"
        )
    known = None if training is None else _compared(training, features, keep, bars)
    measure = Measure(
        features,
        reference,
        metrics=(*ALL_METRICS, InceptionScore, *metrics),
        judge=judge,
        training=None if known is None else known.features,
    )
    seen = features(samples.images, bars("samples"), "samples")
    asks_judge = judge is not None and judge is not features and samples.targets is not None
    judged = (
        judge(samples.images, bars("judge"), "samples")
        if judge is not None and asks_judge
        else None
    )
    told = samples.targets if measure.judge.class_names else None
    report = measure.of_seen(seen, told, judged)
    if told is not None:
        report = replace(report, by_class=measure.by_class(seen, told, judged))
    unknown = (NO_LABELS,) if judge is not None and samples.targets is None else ()
    report = replace(report, notes=(*report.notes, *unknown, *_shared(seen, reference)))
    name, real, others = _beside(measure, samples, seen, training, bars)
    pairs = _pairs(samples, seen, training, known)
    return Evaluation(report, real, name, measure.recognised, others, pairs)


def _shared(seen: Seen, reference: Reference) -> tuple[str, ...]:
    """A note of samples that the reference has as well."""
    if reference.features is None:
        return ()
    size = reference.features.double().norm(dim=1).mean().item()
    apart, _ = nearest(seen.features.double(), reference.features.double())
    count = int((apart <= 1e-5 * size).sum())
    if not count:
        return ()
    return (f"{count} of the samples are images of the reference: what is measured is no distance",)


def _beside(
    measure: Measure, samples: Samples[Images], seen: Seen, training: Training | None, bars: Bars
) -> tuple[str, Report | None, Report | None]:
    """(which real images, what as many of them score as there are samples, and the samples beside).

    The last one where both are held against a part of the reference.
    """
    n, targets = len(samples.images), samples.targets or ()
    if training is not None:
        labels = training.drawn.labels
        what = "real training images"
        drawn = measure.features(training.drawn, bars(what), what)
        alike = "the same classes" if draws_like(labels, targets) else "any classes"
        name = f"real training images of {alike}"
        return name, measure.of_real(drawn, n, labels, targets), None
    known = measure.known
    if known.features is None or known.n < 2 * n:
        return "", None, None
    held = draws(known.n, n, known.labels, targets)[0]
    other = torch.ones(known.n, dtype=torch.bool)
    other[held] = False
    kinds = known.labels
    rest = replace(
        known,
        name=f"{known.n - n} of the {known.name}",
        n=known.n - n,
        features=known.features[other],
        logits=None,
        labels=None if kinds is None else kinds[other],
    )
    others = Measure(measure.features, rest, metrics=measure.metrics)
    real = others.of_real(
        Seen(known.features[held], known.features[held, :0]),
        n,
        None if kinds is None else kinds[held],
        targets,
    )
    return "real images", replace(real, draws=()), others.of_seen(seen)


def _compared(
    training: Training, features: FeatureNetwork, keep: Path | None, bars: Bars
) -> Reference | None:
    if training.compared is None:
        return None
    name = "training images"
    return reference_of(features, training.compared, None, name, keep, bars(name))


def _pairs(
    samples: Samples[Images], seen: Seen, training: Training | None, known: Reference | None
) -> tuple[tuple[float, Tensor, Tensor], ...]:
    if training is None or training.compared is None or known is None or known.features is None:
        return ()
    if training.compared.shape[1:] != samples.images.shape[1:]:
        return ()
    distances, own, theirs = closest(seen.features, known.features, PAIRS)
    return tuple(
        (distance, samples.images[i], training.compared[j])
        for distance, i, j in zip(distances.tolist(), own.tolist(), theirs.tolist())
    )
