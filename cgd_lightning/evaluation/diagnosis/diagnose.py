"""Is a classifier good enough to guide, where in the noise range, and with which scale?

diagnosis = diagnose(classifier, test_images, test_labels, denoiser)
print("\\n".join(diagnosis.verdict))
"""

from collections.abc import Callable

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.diagnosis.baseline import ClassMeans
from cgd_lightning.evaluation.diagnosis.evidence import Evidence, entropy
from cgd_lightning.evaluation.diagnosis.faults import find_faults
from cgd_lightning.evaluation.diagnosis.gradients import (
    STEPS,
    along_paths,
    finite_difference_error,
)
from cgd_lightning.evaluation.diagnosis.levels import HeldOut, level_grid
from cgd_lightning.evaluation.diagnosis.measure import Seen, Step, see_levels, see_tellings
from cgd_lightning.evaluation.diagnosis.report import Diagnosis
from cgd_lightning.evaluation.diagnosis.tellings import tellings
from cgd_lightning.evaluation.diagnosis.verdict import advise

FEWEST = 100
"""Images for a diagnosis."""

MOST_TOLD = 500
"""Images for which other timesteps are told, as there are many ways."""

PATHS = 64
"""Walks of guided sampling, along which the gradient is measured."""

Progress = Callable[[int], Step]
"""Number of steps to come -> what is called after each."""


def diagnose(
    classifier: NoisyClassifier,
    images: Tensor,
    labels: Tensor,
    denoiser: Denoiser | None = None,
    *,
    training: tuple[Tensor, Tensor] | None = None,
    levels: int = 12,
    scale: float = 3.0,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Diagnosis:
    """What is to be known of `classifier` as a guide, from images that it was not trained on.

    Raises InputError for images, labels or a diffusion model that do not go with it, and for a
    classifier whose probabilities or gradients are not finite.

    Args:
        classifier: The classifier of noisy images; it and the diffusion model are on one device.
        images: Data, as the codec takes them: mostly uint8 (N, C, H, W), N at least 100.
        labels: Their classes (N,) int64.
        denoiser: The diffusion model to be guided. Without one it cannot be told whether the
            gradient fits the data, and there are no paths.
        training: Training images and their labels, for the class means; by default the means of
            `images` are taken, each image left out of its own.
        levels: Number of noise levels, at least 4.
        scale: Of the guidance on the paths along which the gradient is measured.
        seed: Of the noise.
        batch_size: Images at a time.
        progress: Is told how many batches there are, and gives what is called after each.
    """
    data = HeldOut(images, labels, classifier.data.codec, batch_size, seed)
    names = classifier.class_names or tuple(map(str, range(int(labels.max()) + 1)))
    _check(classifier, data, names, denoiser, levels)
    notes = _notes(denoiser)
    told_by = None if denoiser is None or _knows_labels(denoiser) else denoiser
    device, grid = next(classifier.parameters()).device, level_grid(classifier.schedule, levels)
    ways, some = tellings(classifier), data.first(MOST_TOLD)
    step = (progress or _unseen)(
        data.steps(grid) + some.steps(grid[:1]) * len(ways) + STEPS * (denoiser is not None)
    )
    baseline = _class_means(data, training, len(names), device)
    seen = see_levels(classifier, told_by, baseline, data, grid, step)
    _check_seen(seen, names)
    told = see_tellings(ways, device, some, grid, step)
    differences = tuple(finite_difference_error(classifier, data, level) for level in grid)
    evidence = Evidence(seen, labels.cpu(), told, differences, classifier.network, names)
    findings = find_faults(evidence)
    path = along_paths(classifier, denoiser, scale, PATHS, seed, step) if denoiser else []
    chosen = evidence.without(findings.unseen)
    return Diagnosis(
        tuple(evidence.reports()),
        differences,
        tuple(path),
        findings.faults,
        advise(evidence.reports(findings.unseen), findings.usable, entropy(labels.cpu()[chosen])),
        notes,
        names,
        len(data),
        entropy(labels.cpu()),
    )


def _unseen(total: int) -> Step:
    return lambda: None


def _class_means(
    data: HeldOut, training: tuple[Tensor, Tensor] | None, classes: int, device: torch.device
) -> ClassMeans:
    images, labels = (data.images, data.labels) if training is None else training
    parts = zip(images.split(data.batch_size), labels.split(data.batch_size))
    batches = ((data.codec.encode(x.to(device)), y.to(device)) for x, y in parts)
    return ClassMeans.of(batches, classes, leave_out=training is None)


def _knows_labels(denoiser: Denoiser) -> bool:
    return denoiser.conditional and denoiser.null_label is None


def _notes(denoiser: Denoiser | None) -> tuple[str, ...]:
    untold = "whether its gradient fits the data's score could not be told: "
    if denoiser is None:
        return (f"{untold}no diffusion model was given; nor how it behaves along sampling paths",)
    if _knows_labels(denoiser):
        return (f"{untold}the diffusion model is told the class itself, and always",)
    return ()


def _check(
    classifier: NoisyClassifier,
    data: HeldOut,
    names: tuple[str, ...],
    denoiser: Denoiser | None,
    levels: int,
) -> None:
    if not 4 <= levels <= classifier.schedule.timesteps:
        raise InputError(
            f"{levels} levels: wanted 4 to {classifier.schedule.timesteps}, the timesteps of the "
            "classifier"
        )
    if data.batch_size < 1:
        raise InputError(f"batch_size {data.batch_size}: wanted at least 1")
    if len(data.images) != len(data) or len(data) < FEWEST:
        raise InputError(
            f"{len(data.images)} images and {len(data)} labels: a diagnosis needs as many of each, "
            f"and {FEWEST} at least"
        )
    shape = tuple(data.images.shape[1:])
    for model, what in ((classifier, "classifier"), (denoiser, "diffusion model")):
        if model is not None and model.data.shape and shape != model.data.shape:
            raise InputError(
                f"images of shape {list(shape)}: the {what} was trained on {list(model.data.shape)}"
            )
    low, high = int(data.labels.min()), int(data.labels.max())
    if low < 0 or high >= len(names):
        raise InputError(
            f"labels {low} to {high}: this classifier knows labels 0 to {len(names) - 1}"
        )
    if len(data.labels.unique()) < 2:
        raise InputError("images of one class: a diagnosis needs some of at least 2")


def _check_seen(seen: list[Seen], names: tuple[str, ...]) -> None:
    for found in seen:
        if found.log_p.shape[1] != len(names):
            raise InputError(
                f"the classifier gives {found.log_p.shape[1]} logits for {len(names)} classes"
            )
        if not found.finite:
            raise InputError(
                f"the classifier's probabilities or gradients at t = {found.level.t:.0f} are not "
                "finite: its weights are damaged, or its numbers overflow"
            )
