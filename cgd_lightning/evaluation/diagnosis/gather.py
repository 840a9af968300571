"""All that a diagnosis measures, from one pass over the images and one over other timesteps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.level import Level
from cgd_lightning.evaluation.diagnosis.baseline import ClassMeans
from cgd_lightning.evaluation.diagnosis.checks import check_seen
from cgd_lightning.evaluation.diagnosis.evidence import Evidence
from cgd_lightning.evaluation.diagnosis.gradients import STEPS, finite_difference_error
from cgd_lightning.evaluation.diagnosis.levels import HeldOut
from cgd_lightning.evaluation.diagnosis.measure import Step, see_levels, see_tellings
from cgd_lightning.evaluation.diagnosis.tellings import tellings

MOST_TOLD = 500
"""Images for which other timesteps are told, as there are many ways."""


def count_steps(
    classifier: NoisyClassifier, denoiser: Denoiser | None, data: HeldOut, grid: Sequence[Level]
) -> int:
    """How often `progress` is called in `gather` and along the paths together."""
    ways, some = tellings(classifier), data.first(MOST_TOLD)
    return data.steps(grid) + some.steps(grid[:1]) * len(ways) + STEPS * (denoiser is not None)


def gather(
    classifier: NoisyClassifier,
    denoiser: Denoiser | None,
    training: tuple[Tensor, Tensor] | None,
    data: HeldOut,
    grid: Sequence[Level],
    progress: Step,
) -> Evidence:
    """What faults are told from, of `data` at the levels `grid`.

    training: the images and labels that the class means are taken of; `data` if it is None. Raises
    InputError if the classifier's numbers are not finite.
    """
    device = next(classifier.parameters()).device
    names = class_names(classifier, data)
    told_by = None if denoiser is None or knows_labels(denoiser) else denoiser
    baseline = _class_means(data, training, len(names), device)
    seen = see_levels(classifier, told_by, baseline, data, grid, progress)
    check_seen(seen, len(names))
    told = see_tellings(tellings(classifier), device, data.first(MOST_TOLD), grid, progress)
    differences = tuple(finite_difference_error(classifier, data, level) for level in grid)
    return Evidence(seen, data.labels.cpu(), told, differences, classifier.network, names)


def class_names(classifier: NoisyClassifier, data: HeldOut) -> tuple[str, ...]:
    """The classifier's, or those of the labels by their number if it has none."""
    return classifier.class_names or tuple(map(str, range(int(data.labels.max()) + 1)))


def knows_labels(denoiser: Denoiser) -> bool:
    """Whether the diffusion model is told the class always, so that it tells no score of x_t."""
    return denoiser.conditional and denoiser.null_label is None


def _class_means(
    data: HeldOut, training: tuple[Tensor, Tensor] | None, classes: int, device: torch.device
) -> ClassMeans:
    images, labels = (data.images, data.labels) if training is None else training
    parts = zip(images.split(data.batch_size), labels.split(data.batch_size))
    batches = ((data.codec.encode(x.to(device)), y.to(device)) for x, y in parts)
    return ClassMeans.of(batches, classes, leave_out=training is None)
