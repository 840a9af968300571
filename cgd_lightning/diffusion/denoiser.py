"""From a network's output to a prediction of the clean image and of the noise.

    x_t = alpha x0 + sigma eps,    v = alpha eps - sigma x0

A network may be trained to predict eps (Ho et al. 2020, arXiv:2006.11239), x0, or v (Salimans and Ho 2022, arXiv:2202.00512); each
gives the others, for any alpha and sigma. Samplers call a `Denoise` and guidance rules wrap one; they never see which.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.process import NoisyBatch, expand, like_weights
from cgd_lightning.diffusion.schedules import Level, NoiseSchedule
from cgd_lightning.errors import InputError

PredictionType = Literal["eps", "x0", "v"]


class Prediction(NamedTuple):
    """The clean image and the noise in x_t, both (B, C, H, W), with x_t = alpha x0 + sigma eps.

    variance: the raw learned fraction in [-1, 1], (B, C, H, W), where the network has one. gradient: what a rule adds to the score but left
    out of x0 and eps, (B, C, H, W), for the one sampler that moves the posterior's mean by it.
    """

    x0: Tensor
    eps: Tensor
    variance: Tensor | None = None
    gradient: Tensor | None = None

    @classmethod
    def from_eps(cls, x_t: Tensor, level: Level, eps: Tensor) -> "Prediction":
        """x0 = (x_t - sigma eps) / alpha."""
        return cls((x_t - level.sigma * eps) / level.alpha, eps)

    @classmethod
    def from_x0(cls, x_t: Tensor, level: Level, x0: Tensor) -> "Prediction":
        """eps = (x_t - alpha x0) / sigma."""
        return cls(x0, (x_t - level.alpha * x0) / level.sigma)

    @classmethod
    def from_v(cls, x_t: Tensor, level: Level, v: Tensor) -> "Prediction":
        """x0 = (alpha x_t - sigma v) / (alpha^2 + sigma^2), eps = (sigma x_t + alpha v) / (alpha^2 + sigma^2)."""
        power = level.alpha**2 + level.sigma**2
        return cls((level.alpha * x_t - level.sigma * v) / power, (level.sigma * x_t + level.alpha * v) / power)


Denoise = Callable[[Tensor, Level], Prediction]
"""(x_t (B, C, H, W), the level at which the whole batch stands) -> Prediction."""

_TO_PREDICTION = {"eps": Prediction.from_eps, "x0": Prediction.from_x0, "v": Prediction.from_v}


class Denoiser(nn.Module):
    """A network, the schedule it was trained on and what it predicts. A `Denoise`; a class-conditional one once `bind` gave it labels."""

    def __init__(
        self,
        network: nn.Module,
        schedule: NoiseSchedule,
        prediction: PredictionType = "eps",
        image_shape: Sequence[int] = (),
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if prediction not in _TO_PREDICTION:
            raise InputError(f"prediction {prediction!r}: a network predicts one of {', '.join(_TO_PREDICTION)}")
        self.network = network
        self.schedule = schedule
        self.prediction: PredictionType = prediction
        self.image_shape = tuple(image_shape)
        self.class_names = tuple(class_names)

    @property
    def conditional(self) -> bool:
        """Whether the network itself is told the class."""
        return getattr(self.network, "num_classes", None) is not None

    def forward(self, x_t: Tensor, level: Level, labels: Tensor | None = None) -> Prediction:
        """The prediction for `x_t` (B, C, H, W) at one level, in the dtype of `x_t`; `labels` (B,) where the network takes them."""
        if level.t is None:
            raise InputError("the clean level: there is nothing to denoise, and no timestep to tell the network")
        t = torch.full((len(x_t),), level.t, device=x_t.device, dtype=torch.float32)
        return _TO_PREDICTION[self.prediction](x_t, level, self.output(x_t, t, labels))

    def bind(self, labels: Tensor) -> Denoise:
        """This denoiser with its labels (B,) fixed; an unconditional one ignores them."""
        if not self.conditional:
            return self
        return lambda x_t, level: self(x_t, level, labels)

    def output(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's raw output (B, C, H, W) at timesteps `t` (B,) float32, in the dtype of `x_t`."""
        x = like_weights(x_t, self.network)
        out = self.network(x, t, labels) if self.conditional else self.network(x, t)
        return out.to(x_t.dtype)

    def target(self, batch: NoisyBatch) -> Tensor:
        """What the network should answer for a training batch: eps, x0 or v, (B, C, H, W)."""
        if self.prediction == "eps":
            return batch.eps
        if self.prediction == "x0":
            return batch.x0
        alpha, sigma = (expand(values, batch.x0) for values in self.schedule.alpha_sigma(batch.t))
        return alpha * batch.eps - sigma * batch.x0
