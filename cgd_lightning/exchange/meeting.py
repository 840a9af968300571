"""How a classifier of another schedule meets the levels of a denoiser, as inputs of a step.

At equal noise angle x_t, times the ratio of the radii hypot(alpha, sigma), has the distribution
that the classifier knows; outside what it was trained on nothing is guided.
"""

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError

CLOSE = 1e-6
"""Of a timestep: what finding it by its level may add to a whole one."""


def meeting(level: Level, classifier: NoisyClassifier) -> tuple[float, float]:
    """(the classifier's timestep at `level`, by what x_t is multiplied for it)."""
    t = classifier.schedule.timestep(level.log_snr)
    return t, classifier.schedule.level(t).radius / level.radius


def covered(denoiser: Denoiser, classifier: NoisyClassifier) -> tuple[float, float]:
    """The denoiser's timesteps between which the classifier was trained, as it guides there.

    Whole ones are exact, for programs that compare. Raises InputError if it was trained on none of
    them.
    """
    theirs = classifier.schedule
    ends = (theirs.level(0), theirs.level(theirs.timesteps - 1))
    low, high = (denoiser.schedule.timestep(level.log_snr) for level in ends)
    if low == high:
        raise InputError(
            "the classifier was trained on none of the noise levels of the diffusion model: it "
            f"knows {theirs}, and samples walk along {denoiser.schedule}"
        )
    return _snapped(low), _snapped(high)


def _snapped(t: float) -> float:
    """The whole timestep that `t` nearly is, else `t`."""
    return float(round(t)) if abs(t - round(t)) < CLOSE else t


def guides(classifier: NoisyClassifier, level: Level) -> bool:
    """Whether `classifier` guides at `level`, as `ClassifierGuidance` asks it."""
    return level.alpha > 0 and classifier.covers(level)


def meet(
    x: Tensor,
    level: Level,
    weights: Tensor,
    scale: float,
    denoiser: Denoiser,
    classifier: NoisyClassifier,
) -> list[Tensor]:
    """The inputs of a step of these two, in order, for `x` (B, C, H, W) and weights (B, K)."""
    strength = scale if guides(classifier, level) else 0.0
    numbers = [level.t, level.alpha, level.sigma]
    inputs = [x, *map(torch.tensor, numbers), weights, torch.tensor(strength)]
    if denoiser.schedule != classifier.schedule:
        inputs += map(torch.tensor, meeting(level, classifier))
    return inputs
