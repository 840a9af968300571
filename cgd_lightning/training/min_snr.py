"""The min-SNR weight of the loss: the squared error of x0, weighed by min(SNR, gamma).

    min(SNR, gamma) |x0 - x0~|^2 = min(SNR, gamma) (dx0 / dtarget)^2 |target - output|^2

Hang et al. 2023 (arXiv:2303.09556), section 3.4. Whatever the network predicts, it is the error of
x0 that is weighed.
"""

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoiser


def min_snr_weight(model: Denoiser, t: Tensor, gamma: float) -> Tensor:
    """The weight (B,) of the squared error of the network's target at timesteps `t` (B,)."""
    alpha, sigma = model.schedule.alpha_sigma(t)
    return (alpha / sigma).square().clamp(max=gamma) * x0_per_target(model, t).square()


def x0_per_target(model: Denoiser, t: Tensor) -> Tensor:
    """What an error of the network's target is in x0, (B,), at timesteps `t` (B,).

    It is x0 - x0~ over output - target.
    """
    alpha, sigma = model.schedule.alpha_sigma(t)
    if model.prediction == "x0":
        return -torch.ones_like(sigma)
    return sigma / alpha if model.prediction == "eps" else sigma / (alpha.square() + sigma.square())
