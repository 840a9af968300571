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

from cgd_lightning.data.images import ImageBatch, sample_images
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.draws import DRAWS, draws
from cgd_lightning.evaluation.features import Bar, FeatureNetwork, Seen
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.measure import ALL_METRICS, Measure, MetricFactory
from cgd_lightning.evaluation.memorisation import closest
from cgd_lightning.evaluation.reference import Reference, check_finite, reference_of
from cgd_lightning.evaluation.report import Report
from cgd_lightning.sampling.sources import Samples

PAIRS = 10
"""Of a sample and the training image nearest to it that are kept."""

Bars = Callable[[str], Bar]
"""What is looked at -> a bar of its batches."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of samples.

    report: of the samples. real: of as many real images, if there are any, and `real_name` says
    which. recognised: share of the reference that the judge recognises, if that is known. nearest:
    (distance, sample, training image), the closest pairs, images uint8 (C, H, W).
    """

    report: Report
    real: Report | None
    real_name: str
    recognised: float | None
    nearest: tuple[tuple[float, Tensor, Tensor], ...] = ()


@dataclass(frozen=True, eq=False)
class Training:
    """The images that a model was trained on, as far as they are looked at.

    drawn: those that are measured in place of samples, DRAWS times as many. compared: those that
    samples may be copies of; None if nobody asks.
    """

    drawn: ImageBatch
    compared: Tensor | None

    @classmethod
    def of(cls, data: Dataset[ImageBatch], n: int, compared: int) -> "Training":
        """Random ones of `data`, always the same, for `n` samples; at most so many `compared`."""
        drawn = sample_images(data, DRAWS * n)
        return cls(drawn, sample_images(data, compared).images if compared else None)


def evaluate(
    features: FeatureNetwork,
    reference: Reference,
    samples: Samples,
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
    seen = _look(features, samples.images, "samples", bars)
    asks_judge = judge is not None and judge is not features and samples.targets is not None
    judged = judge(samples.images, bars("judge")) if judge is not None and asks_judge else None
    told = samples.targets if measure.judge.class_names else None
    report = measure.of_seen(seen, told, judged)
    if told is not None:
        report = replace(report, by_class=measure.by_class(seen, told, judged))
    name, real = _beside(measure, samples, training, bars)
    return Evaluation(
        report, real, name, measure.recognised, _pairs(samples, seen, training, known)
    )


def _beside(
    measure: Measure, samples: Samples, training: Training | None, bars: Bars
) -> tuple[str, Report | None]:
    """(which real images, their report): what as many real images score as there are samples."""
    if training is not None:
        name, targets = "real training images", samples.targets or ()
        drawn = _look(measure.features, training.drawn.images, name, bars)
        n = len(samples.images)
        return name, measure.of_real(drawn, n, training.drawn.labels, targets)
    held = _held_out(measure, samples)
    return ("", None) if held is None else ("real images of the reference against the others", held)


def _held_out(measure: Measure, samples: Samples) -> Report | None:
    """The report of as many images of the reference as there are samples, against its others.

    None if there are not as many others.
    """
    known, n = measure.known, len(samples.images)
    if known.features is None or known.n < 2 * n:
        return None
    held = draws(known.n, n, known.labels, samples.targets or ())[0]
    other = torch.ones(known.n, dtype=torch.bool)
    other[held] = False
    labels = known.labels
    rest = replace(
        known,
        n=known.n - len(held),
        features=known.features[other],
        logits=None,
        labels=None if labels is None else labels[other],
    )
    own = Seen(known.features[held], known.features[held, :0])
    return Measure(measure.features, rest, metrics=measure.metrics).of_real(
        own, n, None if labels is None else labels[held], samples.targets or ()
    )


def _look(features: FeatureNetwork, images: Tensor, what: str, bars: Bars) -> Seen:
    seen = features(images, bars(what))
    check_finite(seen, what)
    return seen


def _compared(
    training: Training, features: FeatureNetwork, keep: Path | None, bars: Bars
) -> Reference | None:
    if training.compared is None:
        return None
    name = "training images"
    return reference_of(features, training.compared, None, name, keep, bars(name))


def _pairs(
    samples: Samples, seen: Seen, training: Training | None, known: Reference | None
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
