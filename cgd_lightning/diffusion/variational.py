"""The variational bound one step at a time, which trains a learned variance.

    L_t = KL( q(x_s | x_t, x0) || N(mean(x_t, x0~), variance) )  for s = t - 1
        = 1/2 (g - 1 + e^-g (1 + (SNR_s - SNR_t) (x0 - x0~)^2)),  g = f log(sigma_t^2 / sigma_s^2)
    L_0 = -log p(x0 | x_0)

Nichol and Dhariwal 2021 (arXiv:2102.09672), section 2.1, with their learned range, eq. 15: the
fraction f places log variance between that of the posterior (small, f = 0) and that of the forward
step (large, f = 1), whose ratio is sigma_t^2 / sigma_s^2 in any process; g is what it lies above
small. The squared error of the mean over small is that of x0 times SNR_s - SNR_t: Kingma et al.
2021 (arXiv:2107.00630), section 4. Networks give 2 f - 1.
"""

import math

import torch
from torch import Tensor

from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.process import expand
from cgd_lightning.diffusion.schedules import NoiseSchedule

VARIATIONAL_WEIGHT = 0.001
"""lambda in L_simple + lambda L_vlb: Nichol and Dhariwal 2021, eq. 16."""

HALF_GREY = 0.5 / PIXELS.greys_per_unit
"""Half the distance between two grey values of x0."""


def variational_bound(
    x0: Tensor, error: Tensor, fraction: Tensor, t: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """T L_t in bits per dimension, (B,).

    Its mean over t is the bound on -log p(x0), but for what the last level still tells of x0. x0:
    images of 256 grey values, as `Pixels` has them, (B, C, H, W). error: x0 - x0~ of the
    prediction. fraction: what the network says of the variance, -1 is small and 1 large. t: whole
    timesteps, (B,) float32.
    """
    exact = t if t.device.type == "mps" else t.double()
    later = exact.clamp(min=1)
    (alpha, sigma), (alpha_s, sigma_s) = (
        schedule.alpha_sigma(later),
        schedule.alpha_sigma(later - 1),
    )
    snr_s = (alpha_s / sigma_s).square()
    fall = snr_s - (alpha / sigma).square()
    f = (fraction + 1) / 2
    step = step_kl(expand(fall, x0) * error.square(), f * expand(2 * (sigma / sigma_s).log(), x0))

    # At t = 0 the posterior's variance is 0, and that of t = 1 is taken instead, sigma_0^2 (1 -
    # SNR_1 / SNR_0), as in ADM.
    first = expand(t, x0) == 0
    log_variance = expand(2 * sigma_s.log(), x0) + (1 - f) * expand((fall / snr_s).log(), x0)
    decoder = decoder_nll(x0, x0 - torch.where(first, error, 0.0), log_variance)
    nats = torch.where(first, decoder, step).mean(dim=(1, 2, 3))
    return nats * (schedule.timesteps / math.log(2))


def step_kl(square: Tensor, g: Tensor) -> Tensor:
    """KL of two Gaussians in nats, of any shape.

    square: squared distance of their means over the variance of the first. g: logarithm of the
    variance of the second over that of the first.
    """
    return (g + torch.expm1(-g) + (-g).exp() * square) / 2


def decoder_nll(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the probability, in nats, that a Gaussian rounds to the grey value `x0`.

    Grey values are those of `Pixels`; the outermost take the Gaussian's tails. Ho et al. 2020
    (arXiv:2006.11239), eq. 13. Intervals are mirrored to lie below the mean, where differences of
    the logarithm are exact.
    """
    narrowness = (-log_variance / 2).exp()
    black, white = PIXELS.bounds
    lowest, highest = x0 < black + HALF_GREY, x0 > white - HALF_GREY
    distance = torch.where(highest, mean - x0, torch.where(lowest, x0 - mean, -(x0 - mean).abs()))
    upper = torch.special.log_ndtr((distance + HALF_GREY) * narrowness)
    lower = torch.special.log_ndtr((distance - HALF_GREY) * narrowness)
    lower = torch.where(lowest | highest, -torch.inf, lower)
    return -upper - (-torch.expm1(lower - upper)).log()
