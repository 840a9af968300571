"""The density of images under a diffusion model, by its probability-flow ODE.

Song et al. 2021 (arXiv:2011.13456), section 4.3.

    dx/dphi = cos(phi) eps - sin(phi) x0 = v,    log p_0(x) = log p_T(x_T) + integral of div v dphi

in the noise angle phi = atan2(sigma, alpha) and x = x_t / hypot(alpha, sigma), in which everything
stays finite, at zero terminal SNR too. The walk goes from t = 0, the least noisy trained level, up
to T-1, where x_t is taken for noise of N(0, sigma^2). The divergence is the trace of v's Jacobian:
exactly, or by the estimator of Hutchinson 1989, the mean of u.(J u) over probes u of random signs.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.faults import Faults, Networks
from cgd_lightning.diffusion.guidance.rule import Chain
from cgd_lightning.diffusion.schedules import Level, NoiseSchedule
from cgd_lightning.errors import InputError

Trace = Callable[[Tensor, Tensor], Tensor]
"""(v, x), both (B, C, H, W) and v a function of x -> sum_i dv_i / dx_i of every image, (B,)."""


class Likelihood:
    """log p of images, by Heun's method: 2 evaluations and gradients a step.

    Args:
        steps: number of steps, at least 1.
        spacing: how the levels lie: uniform, log_snr or karras.
        probes: random directions at every evaluation, at least 1; each draw is fresh, so that their
            errors average out over the steps.
        exact: the whole trace instead, with a gradient per dimension of an image, for small ones.
    """

    def __init__(
        self, steps: int = 100, spacing: str = "log_snr", probes: int = 1, exact: bool = False
    ) -> None:
        if steps < 1:
            raise InputError(f"{steps} steps: wanted at least 1")
        if probes < 1:
            raise InputError(f"probes {probes}: wanted at least 1; for the exact trace say exact")
        if spacing not in ("uniform", "log_snr", "karras"):
            raise InputError(
                f"spacing {spacing!r}: the likelihood needs both ends, timesteps 0 and T-1; take "
                "uniform, log_snr or karras"
            )
        self.steps, self.spacing, self.probes, self.exact = steps, spacing, probes, exact

    def __call__(
        self,
        denoise: Denoise,
        x: Tensor,
        schedule: NoiseSchedule,
        noise: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """log p(x) in nats, (B,), for `x` (B, C, H, W) at the level of timestep 0.

        It is in the dtype of `x`. denoise: any, guided ones too: its predictions define the ODE.
        noise: standard normal draws like `x`, for the probes; a `SeededNoise` makes an image's
        value independent of its batch. Works in any gradient mode; the result has no gradient.
        Raises InputError if the schedule has fewer timesteps than `steps` + 1, and
        FloatingPointError, with the first step at which it was so, for what is not finite.
        """
        levels = schedule.levels(self.steps + 1, self.spacing)[-2::-1]
        trace = exact_trace if self.exact else hutchinson(self.probes, noise)
        quietest, loudest = levels[0], levels[-1]
        with torch.inference_mode(False):
            faults = Faults(x.device, "likelihood")
            flow = _Flow(faults.watched(denoise), trace)
            x = x.detach().clone() / quietest.radius
            integral = x.new_zeros(len(x))
            for level, above in zip(levels, levels[1:]):
                stride = above.angle - level.angle
                v, divergence = flow(x, level)
                v_above, divergence_above = flow(x + stride * v, above)
                x = x + stride / 2 * (v + v_above)
                integral = integral + stride / 2 * (divergence + divergence_above)
                faults.step(x, integral)
            # x has variance 1 where x_t has the radius squared: the densities differ by its power.
            dimensions = x[0].numel()
            prior = _log_normal(x, loudest.sigma / loudest.radius)
            log_p = prior + integral - dimensions * math.log(quietest.radius)
            if faults.found():
                labels = torch.zeros(len(x), dtype=torch.int64, device=x.device)
                raise faults.error(Networks(denoise, Chain(()), None, labels))
            if not bool(log_p.isfinite().all()):
                raise FloatingPointError(
                    f"the likelihood is not finite: after the last of {self.steps} steps the "
                    f"largest |x| is {x.abs().max().item():.0e}; try more steps"
                )
            return log_p


def bits_per_dimension(log_p: Tensor, dimensions: int) -> Tensor:
    """Bits per dimension of 8-bit images, (B,), from their log p (B,) in nats as x0 of `Pixels`.

    -log2(p) / dimensions + log2(g) with g grey levels in a unit of x0: the density per grey level,
    as the literature reports it for uniformly dequantised images.
    """
    return -log_p / (dimensions * math.log(2)) + math.log2(PIXELS.greys_per_unit)


def exact_trace(v: Tensor, x: Tensor) -> Tensor:
    """The trace of dv/dx, (B,), with one gradient per dimension."""
    trace = x.new_zeros(len(x))
    for i in range(x[0].numel()):
        (row,) = torch.autograd.grad(v.flatten(1)[:, i].sum(), x, retain_graph=True)
        trace = trace + row.flatten(1)[:, i]
    return trace


def hutchinson(probes: int, noise: Callable[[], Tensor] | None = None) -> Trace:
    """The estimate of the trace by `probes` random signs u: the mean of u.(J u), (B,).

    noise: gives the draws whose signs they are.
    """

    def trace(v: Tensor, x: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        for _ in range(probes):
            draw = torch.randn_like(x) if noise is None else noise().to(x)
            signs = torch.where(draw < 0, -1.0, 1.0).to(x)
            (product,) = torch.autograd.grad(v, x, signs, retain_graph=True)
            total = total + (product * signs).flatten(1).sum(1)
        return total / probes

    return trace


class _Flow:
    """(x of unit radius, level) -> (v, its divergence), without a graph behind them."""

    def __init__(self, denoise: Denoise, trace: Trace) -> None:
        self.denoise, self.trace = denoise, trace

    def __call__(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            prediction = self.denoise(level.radius * x, level)
            v = (level.alpha * prediction.eps - level.sigma * prediction.x0) / level.radius
            return v.detach(), self.trace(v, x).detach()


def _log_normal(x: Tensor, deviation: float) -> Tensor:
    """log N(x; 0, deviation^2) of every image, (B,)."""
    squares = (x.flatten(1) / deviation).square().sum(1)
    return -squares / 2 - x[0].numel() * math.log(deviation * math.sqrt(2 * math.pi))
