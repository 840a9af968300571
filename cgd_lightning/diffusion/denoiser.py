"""From a network's output to a prediction of the clean image and of the noise.

    x_t = alpha x0 + sigma eps,    v = alpha eps - sigma x0

A network may be trained to predict eps (Ho et al. 2020, arXiv:2006.11239), x0, or v (Salimans and
Ho 2022, arXiv:2202.00512); each gives the others, for any alpha and sigma. Samplers call a
`Denoise` and guidance rules wrap one; they never see which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.data_spec import ANY_DATA, DataSpec, Trained
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.process import NoisyBatch, expand, like_weights
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

PredictionType = Literal["eps", "x0", "v"]


class Prediction(NamedTuple):
    """The clean image and the noise in x_t, both (B, C, H, W), with x_t = alpha x0 + sigma eps.

    variance: the raw learned fraction, (B, C, H, W), where the network has one; -1 is the smallest
    posterior variance, 1 the largest. base: the prediction before guidance, where there was any;
    limiters and ADM's shift of the mean compare with it.
    """

    x0: Tensor
    eps: Tensor
    variance: Tensor | None = None
    base: Prediction | None = None

    @classmethod
    def from_eps(cls, x_t: Tensor, level: Level, eps: Tensor) -> Prediction:
        """x0 = (x_t - sigma eps) / alpha."""
        return cls((x_t - level.sigma * eps) / level.alpha, eps)

    @classmethod
    def from_x0(cls, x_t: Tensor, level: Level, x0: Tensor) -> Prediction:
        """eps = (x_t - alpha x0) / sigma."""
        return cls(x0, (x_t - level.alpha * x0) / level.sigma)

    @classmethod
    def from_v(cls, x_t: Tensor, level: Level, v: Tensor) -> Prediction:
        """x0 = (alpha x_t - sigma v) / p and eps = (sigma x_t + alpha v) / p.

        p is alpha^2 + sigma^2.
        """
        power = level.alpha**2 + level.sigma**2
        return cls(
            (level.alpha * x_t - level.sigma * v) / power,
            (level.sigma * x_t + level.alpha * v) / power,
        )

    def guided_to(self, other: Prediction) -> Prediction:
        """`other`, what guidance made of this prediction, with this one's variance.

        What stood before all guidance is its `base`.
        """
        return other._replace(variance=self.variance, base=self if self.base is None else self.base)

    def limited_to(self, other: Prediction) -> Prediction:
        """`other`, what a limiter made of this prediction: with this one's variance and base."""
        return other._replace(variance=self.variance, base=self.base)


Denoise = Callable[[Tensor, Level], Prediction]
"""(x_t (B, C, H, W), the level at which the whole batch stands) -> Prediction."""

_TO_PREDICTION = {"eps": Prediction.from_eps, "x0": Prediction.from_x0, "v": Prediction.from_v}


class Denoiser(Trained):
    """A network, what it predicts, and the schedule and data it was trained on.

    It is a `Denoise`: a class-conditional one once `bind` gave it labels, one that enlarges images
    once `bind` gave it these.

    learned_variance: whether the network gives a fraction of variance beside its prediction, in as
    many further channels.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: NoiseSchedule,
        prediction: PredictionType = "eps",
        data: DataSpec = ANY_DATA,
        learned_variance: bool = False,
    ) -> None:
        super().__init__(network, data)
        if prediction not in _TO_PREDICTION:
            raise InputError(
                f"prediction {prediction!r}: a network predicts one of {', '.join(_TO_PREDICTION)}"
            )
        if prediction == "eps" and schedule.level(schedule.timesteps - 1).alpha == 0:
            raise InputError(
                f"prediction eps on {schedule}: its last level is noise alone, from which eps "
                "tells nothing of the image; predict v or x0"
            )
        self.schedule = schedule
        self.prediction: PredictionType = prediction
        self.learned_variance = learned_variance

    @property
    def conditional(self) -> bool:
        """Whether the network itself is told the class."""
        return getattr(self.network, "num_classes", None) is not None

    @property
    def null_label(self) -> int | None:
        """The label that tells a network trained with label dropout nothing.

        It is one past the classes; None if there is none.
        """
        classes = getattr(self.network, "num_classes", None)
        return len(self.class_names) if classes == len(self.class_names) + 1 else None

    @property
    def low_res_shape(self) -> tuple[int, ...] | None:
        """The shape (C, h, w) of the images that the network enlarges; None if it does not."""
        return getattr(self.network, "low_res_shape", None)

    def forward(
        self,
        x_t: Tensor,
        level: Level,
        labels: Tensor | None = None,
        low_res: Tensor | None = None,
    ) -> Prediction:
        """The prediction for `x_t` (B, C, H, W) at one level, in the dtype of `x_t`.

        labels: (B,), where the network takes them. low_res: (B, C, h, w), in the range of x0, where
        it enlarges images.
        """
        if level.t is None:
            raise InputError(
                "the clean level: there is nothing to denoise, and no timestep to tell the network"
            )
        t = torch.full((len(x_t),), level.t, device=x_t.device, dtype=torch.float32)
        output, variance = self.output(x_t, t, labels, low_res)
        return self.told_by(x_t, level, output)._replace(variance=variance)

    def told_by(self, x_t: Tensor, level: Level, output: Tensor) -> Prediction:
        """What the network's `output` for `x_t`, both (B, C, H, W), tells of x0 and eps."""
        return _TO_PREDICTION[self.prediction](x_t, level, output)

    def bind(self, labels: Tensor, low_res: Tensor | None = None) -> Denoise:
        """This denoiser with its labels (B,) int64 fixed; an unconditional one ignores them.

        low_res: the images (B, C, h, w), in the range of x0, that it is to enlarge. Raises
        InputError for weights of classes, (B, K), if the network itself is told the class, and for
        images to enlarge where it wants none, other ones, or any and there are none.
        """
        self._check_low_res(low_res)
        if not self.conditional:
            return self if low_res is None else Labelled(self, None, low_res)
        if labels.is_floating_point():
            raise InputError(
                "labels of several classes: this diffusion model is told one class itself; give "
                "plain classes, or another model"
            )
        return Labelled(self, labels, low_res)

    def _check_low_res(self, low_res: Tensor | None) -> None:
        wanted = self.low_res_shape
        shape = None if low_res is None else tuple(low_res.shape[1:])
        if shape == wanted:
            return
        if wanted is None:
            raise InputError(
                "low_res: this diffusion model enlarges no images; leave them out, or take one of "
                "SuperRes"
            )
        got = "there are none" if shape is None else f"these are of shape {list(shape)}"
        raise InputError(
            f"low_res: this diffusion model enlarges images of shape {list(wanted)}, and {got}"
        )

    def output(
        self,
        x_t: Tensor,
        t: Tensor,
        labels: Tensor | None = None,
        low_res: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The network's raw output, and its fraction of variance if it learned one.

        Both are (B, C, H, W), in the dtype of `x_t`. t: timesteps (B,) float32. low_res: as for
        `forward`. Raises InputError if the network gives another number of channels than a learned
        variance wants.
        """
        x = like_weights(x_t, self.network)
        told = (labels,) if self.conditional else ()
        small = {} if self.low_res_shape is None else {"low_res": low_res}
        out = self.network(x, t, *told, **small).to(x_t.dtype)
        self._check_size(out, x_t)
        if not self.learned_variance:
            return out, None
        if out.shape[1] != 2 * x_t.shape[1]:
            raise InputError(
                f"learned_variance: {type(self.network).__name__} gives {out.shape[1]} channels "
                f"for an image of {x_t.shape[1]}, and {2 * x_t.shape[1]} were wanted"
            )
        prediction, variance = out.chunk(2, dim=1)
        return prediction, variance

    def _check_size(self, out: Tensor, x_t: Tensor) -> None:
        channels = out.shape[1] if self.learned_variance and out.ndim == 4 else x_t.shape[1]
        wanted = (x_t.shape[0], channels, *x_t.shape[2:])
        if tuple(out.shape) != wanted:
            raise InputError(
                f"{type(self.network).__name__} gives {tuple(out.shape)} for x_t of "
                f"{tuple(x_t.shape)}; wanted {wanted}"
            )

    def target(self, batch: NoisyBatch) -> Tensor:
        """What the network should answer for a training batch: eps, x0 or v, (B, C, H, W)."""
        if self.prediction == "eps":
            return batch.eps
        if self.prediction == "x0":
            return batch.x0
        alpha, sigma = (expand(values, batch.x0) for values in self.schedule.alpha_sigma(batch.t))
        return alpha * batch.eps - sigma * batch.x0


class Labelled:
    """A denoiser with what it is told: labels (B,) int64, images to enlarge (B, C, h, w), or both.

    It is a `Denoise` that classifier-free guidance can ask without the labels too.
    """

    def __init__(
        self, denoiser: Denoiser, labels: Tensor | None, low_res: Tensor | None = None
    ) -> None:
        self.denoiser, self.labels, self.low_res = denoiser, labels, low_res

    def __call__(self, x_t: Tensor, level: Level) -> Prediction:
        return self.told(x_t, level, self.labels)

    def told(self, x_t: Tensor, level: Level, labels: Tensor | None) -> Prediction:
        """The prediction for other labels.

        `x_t` and `labels` may be those of the batch several times over.
        """
        low_res = self.low_res
        if low_res is not None:
            low_res = low_res.repeat(len(x_t) // len(low_res), 1, 1, 1)
        return self.denoiser(x_t, level, labels, low_res)
