"""Ancestral sampling: Ho et al. 2020 (arXiv:2006.11239), algorithm 2.

    x_s = mean(x_t, x0~) + sqrt(variance) z,    q(x_s | x_t, x0) = N(mean, posterior variance)

with the posterior of Kingma et al. 2021 (arXiv:2107.00630), appendix A, between any two levels of any schedule.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler, posterior_variance, step_variance
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.errors import InputError


class DDPM(Sampler):
    """`variance` is the posterior's (fixed_small) or that of the forward step, beta_t (fixed_large): Ho et al., section 3.2."""

    def __init__(
        self,
        steps: int = 250,
        variance: Literal["fixed_small", "fixed_large"] = "fixed_small",
        spacing: str = "uniform",
    ) -> None:
        super().__init__(steps, spacing)
        if variance not in ("fixed_small", "fixed_large"):
            raise InputError(f"variance {variance!r}: DDPM knows fixed_small and fixed_large")
        self.variance = variance

    def walk(self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise) -> Iterator[Tensor]:
        for level, below in zip(levels, levels[1:]):
            x0 = denoise(x, level).x0
            step = step_variance(level, below)
            small = posterior_variance(level, below)
            x = (level.alpha / below.alpha * below.sigma**2 * x + below.alpha * step * x0) / level.sigma**2
            if below.sigma > 0:
                x = x + math.sqrt(small if self.variance == "fixed_small" else step) * noise()
            yield x
