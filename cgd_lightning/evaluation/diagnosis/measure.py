"""The measurements of a diagnosis: every noise level, from one pass over the images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance.classifier import class_gradient
from cgd_lightning.diffusion.level import Level
from cgd_lightning.evaluation.diagnosis.baseline import ClassMeans
from cgd_lightning.evaluation.diagnosis.calibration import Calibration, calibration
from cgd_lightning.evaluation.diagnosis.levels import HeldOut
from cgd_lightning.evaluation.diagnosis.score_fit import (
    ScoreFit,
    covers,
    noise_in,
    products,
    score_fit,
)
from cgd_lightning.evaluation.diagnosis.tellings import Telling

Step = Callable[[], None]
"""Called after every noisy batch."""


@dataclass(frozen=True)
class Seen:
    """What was seen of all images at one level, on the host.

    log_p, baseline: log p of every class (N, K), the classifier's and the class means'. products:
    (N, 3), as `score_fit` takes them, of so many dimensions. told: whether a diffusion model told
    the noise for them.
    """

    level: Level
    log_p: Tensor = field(repr=False)
    baseline: Tensor = field(repr=False)
    products: Tensor = field(repr=False)
    told: bool
    dimensions: int

    @property
    def finite(self) -> bool:
        """Whether all probabilities and gradients are."""
        return bool(self.log_p.isfinite().all() & self.products.isfinite().all())


@dataclass(frozen=True)
class LevelReport:
    """The numbers of one noise level.

    found, baseline: of the classifier and of the class means. gradient: the mean over the images of
    sigma |grad log p(y | x_t)|. score: None where no diffusion model told the noise.
    """

    level: Level
    found: Calibration
    baseline: Calibration
    gradient: float
    score: ScoreFit | None


def see_levels(
    classifier: NoisyClassifier,
    denoiser: Denoiser | None,
    baseline: ClassMeans,
    data: HeldOut,
    levels: Sequence[Level],
    progress: Step,
) -> list[Seen]:
    """What is seen at each of `levels`."""
    device = next(classifier.parameters()).device
    told = [denoiser is not None and covers(denoiser, level) for level in levels]
    rows: list[list[tuple[Tensor, ...]]] = [[] for _ in levels]
    for x0, eps, labels in data.batches(device):
        for level, knows, row in zip(levels, told, rows):
            x_t = level.alpha * x0 + level.sigma * eps
            gradient, log_p = class_gradient(classifier, x_t, level, labels)
            found = noise_in(denoiser, x_t, level) if denoiser is not None and knows else eps
            means = baseline.log_prob(x_t, x0, level, labels)
            row.append((log_p, means, products(gradient, eps, found, level.sigma)))
            progress()
    reports = []
    for level, row, knows in zip(levels, rows, told):
        log_p, means, values = (torch.cat(parts).cpu() for parts in zip(*row))
        reports.append(Seen(level, log_p, means, values, knows, x0[0].numel()))
    return reports


@torch.no_grad()
def see_tellings(
    ways: Sequence[Telling],
    device: torch.device,
    data: HeldOut,
    levels: Sequence[Level],
    progress: Step,
) -> dict[str, Tensor]:
    """log p of every class, (levels, N, K) on the host, for each way to tell the level."""
    rows: dict[str, list[Tensor]] = {way.name: [] for way in ways}
    for x0, eps, _ in data.batches(device):
        noisy = [level.alpha * x0 + level.sigma * eps for level in levels]
        for way in ways:
            seen = [way.log_prob(x_t, level) for x_t, level in zip(noisy, levels)]
            rows[way.name].append(torch.stack(seen))
            progress()
    return {name: torch.cat(parts, dim=1).cpu().double() for name, parts in rows.items()}


def report(seen: Seen, labels: Tensor, chosen: Tensor | None = None) -> LevelReport:
    """The numbers of what was seen; `chosen`, (N,) booleans, are the images that count."""
    if chosen is None:
        chosen = torch.ones_like(labels, dtype=torch.bool)
    values, y = seen.products[chosen], labels[chosen]
    return LevelReport(
        seen.level,
        calibration(seen.log_p[chosen], y),
        calibration(seen.baseline[chosen], y),
        values[:, 1].sqrt().mean().item(),
        score_fit(values, seen.dimensions) if seen.told else None,
    )
