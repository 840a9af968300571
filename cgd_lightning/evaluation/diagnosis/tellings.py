"""What a classifier says where it is told another timestep than its schedule has there.

A classifier that was trained on another schedule than its card says knows every image at another
timestep. Told that one, it does better than told its own. So each schedule of this package, and a
few shifts of log SNR, is tried at every level.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.schedules import (
    Cosine,
    Linear,
    NoiseSchedule,
    Sigmoid,
    VarianceExploding,
)

SHIFTS = (-4.0, -2.0, 2.0, 4.0)
"""Of log SNR."""


@dataclass(frozen=True)
class Telling:
    """A way to tell the level: (x_t at a level) -> log p(y | x_t). name: as in words."""

    name: str
    log_prob: Callable[[Tensor, Level], Tensor]


def tellings(classifier: NoisyClassifier) -> list[Telling]:
    """The classifier's own way first, then the others."""
    own = classifier.schedule
    others = [
        make(timesteps=own.timesteps) for make in (Linear, Cosine, Sigmoid, VarianceExploding)
    ]
    return [
        Telling("", classifier.log_prob_at),
        *(
            Telling(type(other).__name__, _as_if(classifier, other))
            for other in others
            if other != own
        ),
        *(Telling(f"log SNR {shift:+g}", _shifted(classifier, shift)) for shift in SHIFTS),
    ]


def _as_if(classifier: NoisyClassifier, schedule: NoiseSchedule) -> Callable[..., Tensor]:
    return NoisyClassifier(classifier.network, schedule, classifier.data).log_prob_at


def _shifted(classifier: NoisyClassifier, shift: float) -> Callable[..., Tensor]:
    def log_prob(x_t: Tensor, level: Level) -> Tensor:
        t = classifier.schedule.timestep(level.log_snr + shift)
        return classifier.log_prob(x_t, torch.full((len(x_t),), t, device=x_t.device))

    return log_prob
