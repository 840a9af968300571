"""How well a classifier's gradient fits the data: denoising likelihood score matching.

    target = -eps / sigma - score(x_t),    E[target | x_t, y] = grad log p(y | x_t)

Chao et al. 2022 (arXiv:2203.14206): the score of the noising of one image, less that of all
images, which a diffusion model gives as -eps_theta / sigma, is on average over the images the
gradient that guidance wants, whatever the truth is. With g the classifier's gradient,

    loss        = E |g - target|^2 / 2                      the DLSM loss
    skill       = E |target|^2 - E |target - g|^2           above 0: better than no guidance
    multiplier  = E g.target / E |g|^2                      the best factor on g

The multiplier of a perfect classifier is 1, of one whose logits are five times too large a little
less than 1/5, and of gradients that have nothing to do with the data 0. All are given times
sigma^2, so that levels compare.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.level import Level


@dataclass(frozen=True)
class ScoreFit:
    """Of the images at one noise level; an `_error` is a standard error over the images.

    power: E |g|^2, so that multiplier^2 power is the skill at the best multiplier.
    noise_error: the mean square of eps_theta - eps, over all dimensions.
    """

    loss: float
    skill: float
    skill_error: float
    multiplier: float
    multiplier_error: float
    power: float
    noise_error: float

    @property
    def significance(self) -> float:
        """The multiplier in standard errors."""
        return self.multiplier / self.multiplier_error if self.multiplier_error > 0 else 0.0


def covers(denoiser: Denoiser, level: Level) -> bool:
    """Whether the diffusion model knows noise as at `level`, of any schedule, and tells its eps."""
    return level.alpha > 0 and denoiser.schedule.covers(level)


def noise_in(denoiser: Denoiser, x_t: Tensor, level: Level) -> Tensor:
    """eps_theta, (B, C, H, W), in `x_t` at a level of any schedule that the model covers.

    Both schedules meet at equal noise angle. A model that was trained with and without labels is
    asked without.
    """
    own = denoiser.schedule.level(denoiser.schedule.timestep(level.log_snr))
    null = denoiser.null_label
    labels = None if null is None else torch.full((len(x_t),), null, device=x_t.device)
    with torch.no_grad():
        return denoiser(x_t * (own.radius / level.radius), own, labels).eps


def products(gradient: Tensor, eps: Tensor, found: Tensor, sigma: float) -> Tensor:
    """(g.target, |g|^2, |target|^2) of each image, (B, 3), all times sigma^2.

    gradient, eps, found: g, the noise in x_t and eps_theta, each (B, C, H, W).
    """
    g, target = sigma * gradient.flatten(1), (found - eps).flatten(1)
    pairs = ((g, target), (g, g), (target, target))
    return torch.stack([(a * b).sum(dim=1) for a, b in pairs], dim=1)


def score_fit(values: Tensor, dimensions: int) -> ScoreFit:
    """Of the `products` (N, 3) of all images at a level, on the host."""
    along, length, target = values.double().unbind(1)
    skill = 2 * along - length
    power = length.mean().item()
    multiplier = along.mean().item() / power if power > 0 else 0.0
    return ScoreFit(
        loss=(target - skill).mean().item() / 2,
        skill=skill.mean().item(),
        skill_error=_standard_error(skill),
        multiplier=multiplier,
        multiplier_error=_standard_error(along - multiplier * length) / power if power > 0 else 0.0,
        power=power,
        noise_error=target.mean().item() / dimensions,
    )


def _standard_error(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))
