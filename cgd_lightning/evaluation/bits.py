"""Bits per dimension of held-out images under a diffusion model."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.likelihood import Likelihood, bits_per_dimension
from cgd_lightning.diffusion.noise import SeededNoise


def held_out_bits(
    denoiser: Denoiser,
    likelihood: Likelihood,
    data: Any,
    count: int,
    *,
    batch_size: int,
    seed: int = 0,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Tensor:
    """Bits per dimension, (count,) float64 on the host, of the first images of the set `data`.

    They are measured at the noise of timestep 0. An image's value depends on `seed` and its place
    alone. progress: wraps the places of the batches' first images. Raises FloatingPointError, which
    names the images of the batch, where the likelihood is not finite.
    """
    device, start = next(denoiser.parameters()).device, denoiser.schedule.level(0)
    bits = []
    for first in progress(range(0, count, batch_size)):
        batch = data.__getitems__(list(range(first, min(first + batch_size, count))))
        noise = SeededNoise(seed, batch.indices.to(device), denoiser.image_shape)
        x0 = denoiser.data.codec.encode(batch.images.to(device))
        x = start.alpha * x0 + start.sigma * noise()
        denoise = denoiser.bind(batch.labels.to(device))
        try:
            log_p = likelihood(denoise, x, denoiser.schedule, noise)
        except FloatingPointError as error:
            raise FloatingPointError(f"images {first} to {first + len(x) - 1}: {error}") from error
        bits.append(bits_per_dimension(log_p, x[0].numel()))
    return torch.cat(bits).cpu().double()
