"""Steps taken again: up by fresh noise, and down once more.

    x_t = alpha_t / alpha_s x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2) z

RePaint, Lugmayr et al. 2022 (arXiv:2201.09865), algorithm 1 with jumps of one step. What is kept of
an image is put in at every step; what is made beside it has seen it only after some.
"""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers.sampler import Noise, Sampler, step_variance


def resampled(
    sampler: Sampler,
    resamplings: int,
    denoise: Denoise,
    x: Tensor,
    levels: Sequence[Level],
    noise: Noise,
) -> Iterator[Tensor]:
    """x after every step of `sampler.walk`, each undone and taken again `resamplings` times.

    The last one, to the clean level, is taken once. A sampler must be `one_step` if there are any.
    """
    if resamplings == 0:
        yield from sampler.walk(denoise, x, levels, noise)
        return
    for level, below in zip(levels, levels[1:]):
        (x,) = sampler.walk(denoise, x, [level, below], noise)
        for _ in range(resamplings if below.sigma > 0 else 0):
            deviation = math.sqrt(step_variance(level, below))
            x = level.alpha / below.alpha * x + deviation * noise()
            (x,) = sampler.walk(denoise, x, [level, below], noise)
        yield x
