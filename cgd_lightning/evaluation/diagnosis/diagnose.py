"""Is a classifier good enough to guide, where in the noise range, and with which scale?

    diagnosis = diagnose(classifier, test_images, test_labels, denoiser)
    print("\\n".join(diagnosis.verdict))

The verdict is in sentences, as `cgd diagnose` prints them.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.evaluation.diagnosis.checks import check_input
from cgd_lightning.evaluation.diagnosis.evidence import Evidence, entropy
from cgd_lightning.evaluation.diagnosis.faults import find_faults
from cgd_lightning.evaluation.diagnosis.gather import (
    class_names,
    count_steps,
    gather,
    knows_labels,
)
from cgd_lightning.evaluation.diagnosis.gradients import PathGradient, along_paths
from cgd_lightning.evaluation.diagnosis.levels import HeldOut, level_grid
from cgd_lightning.evaluation.diagnosis.measure import Step
from cgd_lightning.evaluation.diagnosis.report import Diagnosis
from cgd_lightning.evaluation.diagnosis.verdict import advise

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
    progress: Progress = lambda total: lambda: None,
) -> Diagnosis:
    """What is to be known of `classifier` as a guide, from images that it was not trained on.

    Raises InputError for what does not go together, or for numbers that are not finite.

    Args:
        classifier: The classifier of noisy images; it and the diffusion model are on one device.
        images: Data, as the codec takes them: mostly uint8 (N, C, H, W), N at least 100.
        labels: Their classes (N,) int64.
        denoiser: The diffusion model to be guided; without one nothing tells the data's score.
        training: Training images and labels for the class means. Default: `images`, each left out.
        levels: Number of noise levels, at least 4.
        scale: Of the guidance on the paths along which the gradient is measured.
        seed: Of the noise.
        batch_size: Images at a time.
        progress: Is told how many batches there are, and gives what is called after each.
    """
    data = HeldOut(images, labels, classifier.data.codec, batch_size, seed)
    classes = len(class_names(classifier, data))
    check_input(classifier, denoiser, data, classes, levels)
    grid = level_grid(classifier.schedule, levels)
    step = progress(count_steps(classifier, denoiser, data, grid))
    evidence = gather(classifier, denoiser, training, data, grid, step)
    path = []
    if denoiser is not None:
        path = along_paths(classifier, denoiser, scale, PATHS, seed, step, classes)
    return _conclude(evidence, path, _notes(denoiser))


def _conclude(
    evidence: Evidence, path: Sequence[PathGradient], notes: tuple[str, ...]
) -> Diagnosis:
    findings = find_faults(evidence)
    nothing = entropy(evidence.labels[evidence.without(findings.unseen)])
    return Diagnosis(
        tuple(evidence.reports()),
        tuple(evidence.differences),
        tuple(path),
        findings.faults,
        advise(evidence.reports(findings.unseen), findings.usable, nothing),
        notes,
        evidence.class_names,
        len(evidence.labels),
        entropy(evidence.labels),
    )


def _notes(denoiser: Denoiser | None) -> tuple[str, ...]:
    untold = "whether its gradient fits the data's score could not be told: "
    if denoiser is None:
        return (f"{untold}no diffusion model was given; nor how it behaves along sampling paths",)
    if knows_labels(denoiser):
        return (f"{untold}the diffusion model is told the class itself, and always",)
    return ()
