"""Euler and Heun on the probability-flow ODE: Karras et al. 2022 (arXiv:2206.00364), algorithm 1.

    dx~ / dr = eps(x_t),    x~ = x / alpha,  r = sigma / alpha

Since x~ = x0 + r eps, Euler's step x~ + (r_s - r_t) eps is x0 + r_s eps, which is finite where
alpha = 0 and r is not. Heun's adds (r_s - r_t) (eps_s - eps) / 2 to it, with eps_s found at the end
of Euler's step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler


@dataclass(frozen=True)
class Euler(Sampler):
    """First order, one evaluation a step. On the same levels it is DDIM with eta = 0."""

    steps: int = 50
    spacing: str = "uniform"

    @property
    def one_step(self) -> bool:
        return True

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        for level, below in zip(levels, levels[1:]):
            prediction = denoise(x, level)
            x = below.alpha * prediction.x0 + below.sigma * prediction.eps
            yield x


@dataclass(frozen=True)
class Heun(Sampler):
    """Second order, two evaluations a step.

    The last step, to sigma = 0 where there is nothing to ask, is Euler's; so is the first where
    alpha = 0 and r is infinite. Its steps are those of r: where r is large at the noisiest level
    (2e4 in `Cosine`), `uniform` spacing is too coarse there.
    """

    steps: int = 18
    spacing: str = "log_snr"

    @property
    def one_step(self) -> bool:
        return True

    @property
    def evaluations(self) -> int:
        """2 steps - 1; one fewer from a level of zero signal."""
        return 2 * self.steps - 1

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        for level, below in zip(levels, levels[1:]):
            prediction = denoise(x, level)
            x = below.alpha * prediction.x0 + below.sigma * prediction.eps
            if level.alpha > 0 and below.sigma > 0:
                stride = below.sigma - below.alpha * level.sigma / level.alpha
                x = x + stride / 2 * (denoise(x, below).eps - prediction.eps)
            yield x
