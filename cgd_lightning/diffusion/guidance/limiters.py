"""Limiters keep a prediction within bounds; all but the clamps compare it with the prediction
before guidance.

Where nothing was guided, at a level without guidance or at scale 0, those change nothing.
"""

import math

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.process import expand
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.errors import InputError


class Clamp(Rule):
    """x0 clamped to the range of the data, and eps = (x_t - alpha x0) / sigma derived again.

    Ho et al. 2020 (arXiv:2006.11239), section 3.2. ADM clamps inside the guidance, and what
    guidance adds is bounded by nothing: at the noisiest levels sigma^2 / alpha multiplies the error
    of the classifier's gradient. Outside, it is bounded too.
    """

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low, self.high = low, high

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        def clamped(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            x0 = prediction.x0.clamp(self.low, self.high)
            return prediction.limited_to(Prediction.from_x0(x_t, level, x0))

        return clamped


class DynamicThreshold(Rule):
    """x0 clamped to [-q, q] and divided by q, the `quantile` of |x0| in each image, where that is
    above 1.

    Saharia et al. 2022, Imagen (arXiv:2205.11487), section 2.3. quantile: share of the pixels that
    lie within, above 0 and below 1.
    """

    def __init__(self, quantile: float = 0.995) -> None:
        if not 0 < quantile < 1:
            raise InputError(
                f"quantile {quantile}: wanted a share of the pixels between 0 and 1, as 0.995"
            )
        self.quantile = quantile

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        def thresholded(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            bound = expand(
                upper_quantile(prediction.x0.abs().flatten(1), self.quantile).clamp(min=1), x_t
            )
            return prediction.limited_to(
                Prediction.from_x0(x_t, level, prediction.x0.clamp(-bound, bound) / bound)
            )

        return thresholded


def upper_quantile(values: Tensor, quantile: float) -> Tensor:
    """The quantile (B,) of the rows of `values` (B, N), interpolated linearly, from the few largest
    of each.
    """
    place = quantile * (values.shape[1] - 1)
    below = math.floor(place)
    largest = values.topk(values.shape[1] - below, dim=1).values
    return torch.lerp(largest[:, -1], largest[:, max(-2, -largest.shape[1])], place - below)


class Rescale(Rule):
    """v brought back to the spread that it had before guidance, by the share `phi`: v~ (phi std(v)
    / std(v~) + 1 - phi), in each image.

    Lin et al. 2023 (arXiv:2305.08891), section 3.4, whose network predicts v = alpha eps - sigma
    x0.
    """

    def __init__(self, phi: float = 0.7) -> None:
        if not 0 <= phi <= 1:
            raise InputError(f"phi {phi}: wanted a share from 0 (off) to 1")
        self.phi = phi

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if self.phi == 0:
            return denoise

        def rescaled(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            if prediction.base is None:
                return prediction
            v, before = (
                level.alpha * p.eps - level.sigma * p.x0 for p in (prediction, prediction.base)
            )
            ratio = before.flatten(1).std(dim=1) / v.flatten(1).std(dim=1)
            return prediction.limited_to(
                Prediction.from_v(x_t, level, v * expand(self.phi * ratio + 1 - self.phi, v))
            )

        return rescaled


class Projection(Rule):
    """What guidance adds to x0, without the part along x0 itself, which saturates colours: adaptive
    projected guidance.

        d = x0~ - x0,   d <- d + momentum * d before,   d <- d min(1, norm / |d|),   x0~ <- x0 + d_orthogonal + eta d_parallel

    Sadat et al. 2024 (arXiv:2410.02416), algorithm 1; with a classifier, x0 is the prediction
    before guidance, and `norm` bounds what is added at the scale given. eta: share of the parallel
    part that is kept, 1 keeps all. norm: largest length of d per image; none where it is not given.
    momentum: of d from one evaluation to the next, negative to push back; begins anew with every
    batch.
    """

    def __init__(self, eta: float = 0.0, norm: float | None = None, momentum: float = 0.0) -> None:
        if norm is not None and norm <= 0:
            raise InputError(f"norm {norm}: wanted a length above 0, or none")
        if not -1 < momentum < 1:
            raise InputError(f"momentum {momentum}: wanted a number between -1 and 1, as -0.5")
        self.eta, self.norm, self.momentum = eta, norm, momentum

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        running: Tensor | None = None

        def projected(x_t: Tensor, level: Level) -> Prediction:
            nonlocal running
            prediction = denoise(x_t, level)
            if prediction.base is None:
                return prediction
            before = prediction.base.x0.flatten(1)
            d = prediction.x0.flatten(1) - before
            if self.momentum:
                d = d if running is None else d + self.momentum * running
                running = d.detach()
            if self.norm is not None:
                d = d * (self.norm / d.norm(dim=1, keepdim=True)).clamp(max=1)
            unit = before / before.norm(dim=1, keepdim=True)
            parallel = (d * unit).sum(dim=1, keepdim=True) * unit
            x0 = (before + d - (1 - self.eta) * parallel).reshape(x_t.shape)
            return prediction.limited_to(Prediction.from_x0(x_t, level, x0))

        return projected
