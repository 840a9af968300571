"""Ancestral sampling: Ho et al. 2020 (arXiv:2006.11239), algorithm 2.

    x_s = mean(x_t, x0~) + sqrt(variance) z,    q(x_s | x_t, x0) = N(mean, posterior variance)

with the posterior of Kingma et al. 2021 (arXiv:2107.00630), appendix A, between any two levels of
any schedule.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Prediction
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers.sampler import (
    Noise,
    Sampler,
    posterior_mean,
    posterior_variance,
    step_variance,
)
from cgd_lightning.errors import InputError

VARIANCES = ("fixed_small", "fixed_large", "learned")


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling, with a variance that is fixed or learned.

    Ho et al., section 3.2; Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 15. With `mean_shift`
    it guides as ADM does, Dhariwal and Nichol 2021 (arXiv:2105.05233), algorithm 1: the mean that
    the prediction before guidance gives is moved by variance * s grad log p(y | x_t). It is the one
    place where a sampler knows of guidance, since the variance is the step's, which no rule sees.
    Limiters outside the guidance do not reach that mean: clamp inside it, as ADM does. Without
    `mean_shift`, the mean is that of the guided prediction: it moves by
    (alpha_s / alpha_t) beta_t s grad log p.

    Args:
        variance: the posterior's (fixed_small), that of the forward step, beta_t (fixed_large), or
            between them as the network learned it (learned).
        mean_shift: guide as ADM does, by a shift of the mean.
    """

    steps: int = 250
    variance: Literal["fixed_small", "fixed_large", "learned"] = "fixed_small"
    spacing: str = "uniform"
    mean_shift: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance not in VARIANCES:
            raise InputError(f"variance {self.variance!r}: DDPM knows {', '.join(VARIANCES)}")

    def check(
        self, denoiser: Denoiser, limited: bool = False, called: str = "this network"
    ) -> None:
        if self.variance == "learned" and not denoiser.learned_variance:
            raise InputError(_not_learned(called))
        if self.mean_shift and limited:
            raise InputError(
                "mean_shift: starts from the prediction before guidance, which clamp=outside "
                "leaves as it is; add clamp=inside"
            )

    @property
    def one_step(self) -> bool:
        """Not with `mean_shift`, whose last step has the variance of the one before."""
        return not self.mean_shift

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        small = 0.0
        for level, below in zip(levels, levels[1:]):
            prediction = denoise(x, level)
            # The posterior of the step to the clean level has no variance; like ADM, keep that of
            # the step before.
            small = posterior_variance(level, below) or small
            variance = self._variance(prediction, small, level, below)
            base = prediction.base if self.mean_shift else None
            x = posterior_mean(x, (base or prediction).x0, level, below)
            if base is not None:
                x = x + variance * (base.eps - prediction.eps) / level.sigma
            if below.sigma > 0:
                x = x + variance**0.5 * noise()
            yield x

    def _variance(
        self, prediction: Prediction, small: float, level: Level, below: Level
    ) -> float | Tensor:
        """The step's variance, (B, C, H, W) if learned.

        In the step to the clean level, which adds no noise, it shifts the mean alone.
        """
        if self.variance == "fixed_small":
            return posterior_variance(level, below)
        if self.variance == "fixed_large":
            return step_variance(level, below) if below.sigma > 0 else small
        if prediction.variance is None:
            raise InputError(
                "variance learned: this network did not learn any; sample with fixed_small or "
                "fixed_large"
            )
        if small == 0:
            return 0.0
        part = (prediction.variance + 1) / 2
        return (part * math.log(step_variance(level, below)) + (1 - part) * math.log(small)).exp()


def _not_learned(called: str) -> str:
    return f"variance learned: {called} did not learn any; sample with fixed_small or fixed_large"
