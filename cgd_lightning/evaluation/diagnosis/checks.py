"""What a diagnosis refuses: images that do not go with the models, numbers that are not finite."""

from collections.abc import Sequence

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.diagnosis.levels import HeldOut
from cgd_lightning.evaluation.diagnosis.measure import Seen

FEWEST = 100
"""Images for a diagnosis."""


def check_input(
    classifier: NoisyClassifier,
    denoiser: Denoiser | None,
    data: HeldOut,
    classes: int,
    levels: int,
) -> None:
    """Raises InputError for what cannot be diagnosed, before anything is computed.

    classes: how many the classifier knows. levels: how many noise levels are asked for.
    """
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
    _check_labels(data, classes)


def _check_labels(data: HeldOut, classes: int) -> None:
    low, high = int(data.labels.min()), int(data.labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"labels {low} to {high}: this classifier knows labels 0 to {classes - 1}")
    if len(data.labels.unique()) < 2:
        raise InputError("images of one class: a diagnosis needs some of at least 2")


def check_seen(seen: Sequence[Seen], classes: int) -> None:
    """Raises InputError for another number of logits than classes, or numbers not finite."""
    for found in seen:
        if found.log_p.shape[1] != classes:
            raise InputError(
                f"the classifier gives {found.log_p.shape[1]} logits for {classes} classes"
            )
        if not found.finite:
            raise InputError(
                f"the classifier's probabilities or gradients at t = {found.level.t:.0f} are not "
                "finite: its weights are damaged, or its numbers overflow"
            )
