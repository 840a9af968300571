"""Langevin dynamics: steps along the score, each with fresh noise.

They keep x_t distributed as p(x_t).

    x + epsilon score + sqrt(2 epsilon) z,    score = grad log p(x_t) = -eps / sigma_t

`LangevinCorrector` puts such steps between those of a predictor, `AnnealedLangevin` takes no
others.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.process import expand
from cgd_lightning.diffusion.samplers.sampler import (
    Noise,
    Sampler,
    posterior_mean,
    posterior_variance,
    step_variance,
)
from cgd_lightning.errors import InputError

MOST_ROUNDS = 10_000

PREDICTORS = ("ancestral", "reverse_diffusion")


@dataclass(frozen=True)
class LangevinCorrector(Sampler):
    """Predictor-corrector sampling: Song et al. 2021 (arXiv:2011.13456), algorithms 2 to 5.

    After every step of the predictor come `corrections` steps of Langevin dynamics at the level
    reached, of

        epsilon = 2 a^2 (snr |z| / |score|)^2

    with a = alpha_t / alpha_s, the signal kept by one forward step. The paper averages the norms
    over the batch; here each image has its own, so that a picture does not depend on its batch.
    Either way the steps keep p(x_t) only where the norm of the score hardly varies, as in images of
    hundreds of pixels and not in a few dimensions.

    Args:
        steps: number of steps of the predictor.
        corrections: steps of Langevin dynamics at each level.
        snr: signal-to-noise ratio of the corrector's step, above 0.
        predictor: ancestral draws from the posterior, as DDPM does; reverse_diffusion is the
            paper's discretisation of the reverse SDE, for levels that lie close together.
    """

    steps: int = 250
    corrections: int = 1
    snr: float = 0.16
    predictor: Literal["ancestral", "reverse_diffusion"] = "ancestral"
    spacing: str = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.corrections <= MOST_ROUNDS:
            raise InputError(
                f"corrections {self.corrections}: wanted 0 to {MOST_ROUNDS:,} steps of the "
                "corrector at each level"
            )
        if not 0 < self.snr < math.inf:
            raise InputError(
                f"snr {self.snr}: the corrector's signal-to-noise ratio is above 0; the paper "
                "takes 0.16"
            )
        if self.predictor not in PREDICTORS:
            raise InputError(
                f"predictor {self.predictor!r}: known predictors are {', '.join(PREDICTORS)}"
            )

    @property
    def evaluations(self) -> int:
        """One a step, and the corrections at every level between the first and the clean one."""
        return self.steps + self.corrections * (self.steps - 1)

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        if self.predictor == "reverse_diffusion" and levels[0].alpha == 0:
            raise InputError(
                "predictor reverse_diffusion from a level of zero signal: its step has no small "
                "length; take ancestral"
            )
        predict = {"ancestral": _ancestral, "reverse_diffusion": _reverse_diffusion}[self.predictor]
        for i, (level, below) in enumerate(zip(levels, levels[1:])):
            for _ in range(self.corrections if i else 0):
                x = self._correct(denoise, x, level, below, noise())
            x = predict(denoise, x, level, below, noise)
            yield x

    def _correct(
        self, denoise: Denoise, x: Tensor, level: Level, below: Level, z: Tensor
    ) -> Tensor:
        score = -denoise(x, level).eps / level.sigma
        ratio = z.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)
        epsilon = expand(2 * (level.alpha / below.alpha * self.snr * ratio) ** 2, x)
        return x + epsilon * score + (2 * epsilon).sqrt() * z


def _ancestral(denoise: Denoise, x: Tensor, level: Level, below: Level, noise: Noise) -> Tensor:
    x = posterior_mean(x, denoise(x, level).x0, level, below)
    return x + math.sqrt(posterior_variance(level, below)) * noise() if below.sigma > 0 else x


def _reverse_diffusion(
    denoise: Denoise, x: Tensor, level: Level, below: Level, noise: Noise
) -> Tensor:
    """One step of the reverse SDE: (2 - a) x + beta score + sqrt(beta) z.

    a is the signal that the forward step keeps and beta its variance; the last step has no noise.
    """
    beta = step_variance(level, below)
    x = (2 - level.alpha / below.alpha) * x - beta / level.sigma * denoise(x, level).eps
    return x + math.sqrt(beta) * noise() if below.sigma > 0 else x


@dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """Langevin dynamics at every level, each starting where the one before ended.

    Song and Ermon 2020 (arXiv:2006.09011), algorithm 1. In x / alpha, where the noise is
    r = sigma / alpha, a step is (epsilon r^2) score, so in x it is
    -epsilon sigma eps + sqrt(2 epsilon) sigma z. `epsilon` is in units of the smallest r^2: the
    paper's 6.2e-6 with noise down to 0.01 is 0.062. The last level's prediction of the clean image
    ends the walk. Levels must be close: the paper has 232, from r = 50 to 0.01 in equal ratios, as
    `VarianceExploding` has them at equal distances of t.

    Args:
        steps: number of levels.
        rounds: steps of Langevin dynamics at each level.
        epsilon: length of a step in units of r^2, above 0 and below 2.
    """

    steps: int = 232
    rounds: int = 5
    epsilon: float = 0.062
    spacing: str = "trailing"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.rounds <= MOST_ROUNDS:
            raise InputError(
                f"rounds {self.rounds}: wanted 1 to {MOST_ROUNDS:,} steps of Langevin dynamics at "
                "each level"
            )
        if not 0 < self.epsilon < 2:
            raise InputError(
                f"epsilon {self.epsilon}: wanted above 0 and below 2, where the dynamics diverge; "
                "the paper takes 0.062"
            )

    @property
    def evaluations(self) -> int:
        """`rounds` at every level, and the last prediction."""
        return self.steps * self.rounds + 1

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        if levels[0].alpha == 0:
            raise InputError(
                "annealed Langevin dynamics from a level of zero signal: x / alpha is infinite "
                "there; take another sampler"
            )
        for level, below in zip(levels, levels[1:]):
            for _ in range(self.rounds):
                x = x + level.sigma * (
                    math.sqrt(2 * self.epsilon) * noise() - self.epsilon * denoise(x, level).eps
                )
            x = below.alpha / level.alpha * x if below.sigma > 0 else denoise(x, level).x0
            yield x
