"""DPM-Solver++(2M): one evaluation a step, second order in the step's length.

Lu et al. 2022 (arXiv:2211.01095), algorithm 2.

    ODE:  x_s = sigma_s / sigma_t x_t + alpha_s (1 - e^-h) D
    SDE:  x_s = sigma_s / sigma_t e^-h x_t + alpha_s (1 - e^-2h) D + sigma_s sqrt(1 - e^-2h) z
    D = x0 + (x0 - x0 before) / (2 r)

with lambda = log(alpha / sigma), h = lambda_s - lambda_t, and r the length of the step before in
units of h. The first step, and the last one to the clean level, where h is infinite, take D = x0.
So does the second where the first level is noise alone and r infinite.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler


@dataclass(frozen=True)
class DPMSolver(Sampler):
    """The probability-flow ODE in few steps: 10 to 25 do where DDIM wants 50 to 100."""

    steps: int = 20
    spacing: str = "log_snr"

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        history = _History()
        for level, below in zip(levels, levels[1:]):
            h = (below.log_snr - level.log_snr) / 2
            data = history.extrapolate(denoise(x, level).x0, h)
            x = below.sigma / level.sigma * x - below.alpha * math.expm1(-h) * data
            yield x


@dataclass(frozen=True)
class DPMSolverSDE(Sampler):
    """The reverse SDE in few steps, fresh noise in each of them: SDE-DPM-Solver++(2M).

    Lu et al. 2022, eq. 19 and its 2M form.
    """

    steps: int = 25
    spacing: str = "log_snr"

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        history = _History()
        for level, below in zip(levels, levels[1:]):
            h = (below.log_snr - level.log_snr) / 2
            data = history.extrapolate(denoise(x, level).x0, h)
            fresh = -math.expm1(-2 * h)
            x = below.sigma / level.sigma * math.exp(-h) * x + below.alpha * fresh * data
            if below.sigma > 0:
                x = x + below.sigma * math.sqrt(fresh) * noise()
            yield x


class _History:
    """The clean image of the step before, and that step's length."""

    def __init__(self) -> None:
        self.x0: Tensor | None = None
        self.h = math.inf

    def extrapolate(self, x0: Tensor, h: float) -> Tensor:
        """D of a step of length `h`, and remember `x0`."""
        data = x0 if self.x0 is None or h == math.inf else x0 + h / (2 * self.h) * (x0 - self.x0)
        self.x0, self.h = x0, h
        return data
