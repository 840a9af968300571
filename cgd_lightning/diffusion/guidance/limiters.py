"""Limiters keep a prediction within bounds.

All but the clamps compare it with the prediction before guidance. Where nothing was guided, at a
level without guidance or at scale 0, those change nothing.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.process import expand
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class Clamp(Rule):
    """x0 clamped to the range of the data, and eps = (x_t - alpha x0) / sigma derived again.

    Ho et al. 2020 (arXiv:2006.11239), section 3.2. ADM clamps inside the guidance, and what
    guidance adds is bounded by nothing: at the noisiest levels sigma^2 / alpha multiplies the error
    of the classifier's gradient. Outside, it is bounded too.

    Args:
        low: lower end of the range.
        high: upper end of the range.
    """

    limits = True
    reads_labels = False

    low: float = -1.0
    high: float = 1.0

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        def clamped(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            x0 = prediction.x0.clamp(self.low, self.high)
            return prediction.limited_to(Prediction.from_x0(x_t, level, x0))

        return clamped


@dataclass(frozen=True)
class DynamicThreshold(Rule):
    """x0 clamped to [-q, q] and divided by q, a quantile of |x0| in each image, where q is above 1.

    Saharia et al. 2022, Imagen (arXiv:2205.11487), section 2.3.

    Args:
        quantile: share of the pixels that lie within, above 0 and below 1.
    """

    limits = True
    reads_labels = False

    quantile: float = 0.995

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise InputError(
                f"quantile {self.quantile}: wanted a share of the pixels between 0 and 1, as 0.995"
            )

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
    """The quantile (B,) of the rows of `values` (B, N), interpolated linearly.

    It looks at the few largest of each row alone.
    """
    place = quantile * (values.shape[1] - 1)
    below = math.floor(place)
    largest = values.topk(values.shape[1] - below, dim=1).values
    return torch.lerp(largest[:, -1], largest[:, max(-2, -largest.shape[1])], place - below)


@dataclass(frozen=True)
class Rescale(Rule):
    """v brought back to the spread that it had before guidance, by the share `phi`.

        v~ (phi std(v) / std(v~) + 1 - phi)    in each image

    Lin et al. 2023 (arXiv:2305.08891), section 3.4, whose network predicts
    v = alpha eps - sigma x0.

    Args:
        phi: share that is brought back, from 0 (off) to 1.
    """

    limits = True
    reads_labels = False

    phi: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.phi <= 1:
            raise InputError(f"phi {self.phi}: wanted a share from 0 (off) to 1")

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


@dataclass(frozen=True)
class Projection(Rule):
    """What guidance adds to x0, without the part along x0 itself, which saturates colours.

        d = x0~ - x0,   d <- d + momentum * d before,   d <- d min(1, norm / |d|)
        x0~ <- x0 + d_orthogonal + eta d_parallel

    Adaptive projected guidance: Sadat et al. 2024 (arXiv:2410.02416), algorithm 1; with a
    classifier, x0 is the prediction before guidance, and `norm` bounds what is added at the scale
    given.

    Args:
        eta: share of the parallel part that is kept; 1 keeps all.
        norm: largest length of d in each image; none where it is not given.
        momentum: momentum of d from one evaluation to the next, between -1 and 1, negative to push
            back; it begins anew with every batch.
    """

    limits = True
    reads_labels = False

    eta: float = 0.0
    norm: float | None = None
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if self.norm is not None and self.norm <= 0:
            raise InputError(f"norm {self.norm}: wanted a length above 0, or none")
        if not -1 < self.momentum < 1:
            raise InputError(f"momentum {self.momentum}: wanted a number between -1 and 1, as -0.5")

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
