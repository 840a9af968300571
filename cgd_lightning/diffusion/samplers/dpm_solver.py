"""DPM-Solver++(2M): Lu et al. 2022 (arXiv:2211.01095), algorithm 2. One evaluation a step, second order in the step's length.

    x_s = sigma_s / sigma_t x_t - alpha_s (e^-h - 1) D,    D = x0 + (x0 - x0 before) / (2 r)

with lambda = log(alpha / sigma), h = lambda_s - lambda_t, and r the length of the step before in units of h. The first step, and the last
one to the clean level, where h is infinite, take D = x0.
"""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler
from cgd_lightning.diffusion.schedules import Level


class DPMSolver(Sampler):
    """The probability-flow ODE in few steps: 10 to 25 do where DDIM wants 50 to 100."""

    def __init__(self, steps: int = 20, spacing: str = "uniform") -> None:
        super().__init__(steps, spacing)

    def walk(self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise) -> Iterator[Tensor]:
        before: Tensor | None = None
        h_before = math.inf
        for level, below in zip(levels, levels[1:]):
            x0 = denoise(x, level).x0
            h = (below.log_snr - level.log_snr) / 2
            data = x0 if before is None or below.sigma == 0 else x0 + h / (2 * h_before) * (x0 - before)
            x = below.sigma / level.sigma * x - below.alpha * math.expm1(-h) * data
            before, h_before = x0, h
            yield x
