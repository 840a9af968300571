"""Deterministic sampling, or partly so: Song et al. 2021 (arXiv:2010.02502), eq. 12.

x_s = alpha_s x0~ + sqrt(sigma_s^2 - variance) eps~ + sqrt(variance) z,    variance = eta^2 *
posterior variance
"""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler, posterior_variance
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.errors import InputError


class DDIM(Sampler):
    """`eta` is the share of DDPM's noise: 0 is deterministic, 1 is ancestral sampling with the
    posterior's variance.
    """

    def __init__(self, steps: int = 50, eta: float = 0.0, spacing: str = "uniform") -> None:
        super().__init__(steps, spacing)
        if not 0 <= eta <= 1:
            raise InputError(f"eta {eta}: DDIM takes 0 (deterministic) to 1 (ancestral)")
        self.eta = eta

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
