"""Deterministic sampling, or partly so.

    x_s = alpha_s x0~ + sqrt(sigma_s^2 - variance) eps~ + sqrt(variance) z
    variance = eta^2 * posterior variance

Song et al. 2021 (arXiv:2010.02502), eq. 12.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler, posterior_variance
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class DDIM(Sampler):
    """One evaluation a step, deterministic at eta = 0.

    Args:
        eta: share of DDPM's noise; 1 is ancestral sampling with the posterior's variance.
    """

    steps: int = 50
    eta: float = 0.0
    spacing: str = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise InputError(f"eta {self.eta}: DDIM takes 0 (deterministic) to 1 (ancestral)")

    @property
    def one_step(self) -> bool:
        return True

    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        for level, below in zip(levels, levels[1:]):
            prediction = denoise(x, level)
            variance = self.eta**2 * posterior_variance(level, below)
            x = below.alpha * prediction.x0 + math.sqrt(below.sigma**2 - variance) * prediction.eps
            if variance > 0:
                x = x + math.sqrt(variance) * noise()
            yield x
