"""The exact mixture's clean image in closed form: differentiable, fast, and finite where alpha is
0.
"""

import torch
from torch import Tensor

from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Prediction, PredictionType
from cgd_lightning.diffusion.schedules import Level, NoiseSchedule
from tests.conftest import SHAPE, Mixture


class Exact(Mixture):
    """x0 = E[x0 | x_t], and what of it a network of `prediction` gives."""

    def __init__(
        self, schedule: NoiseSchedule, classes: list[int] | None, prediction: PredictionType
    ) -> None:
        super().__init__(schedule, classes)
        self.prediction = prediction

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        alpha, sigma = (values[:, None, None] for values in self.schedule.alpha_sigma(t.double()))
        gain = alpha * self.variances / (alpha**2 * self.variances + sigma**2)
        each = self.means + gain * (x_t.flatten(1)[:, None] - alpha * self.means)
        x0 = (self.joint(x_t, t).softmax(-1)[..., None] * each).sum(1).reshape(x_t.shape)
        alpha, sigma = (values[..., None] for values in (alpha, sigma))
        eps = (x_t - alpha * x0) / sigma
        return {"x0": x0, "eps": eps, "v": alpha * eps - sigma * x0}[self.prediction]


def closed_form(
    schedule: NoiseSchedule, classes: list[int] | None = None, prediction: PredictionType = "x0"
) -> Denoiser:
    return Denoiser(
        Exact(schedule, classes, prediction).requires_grad_(False),
        schedule,
        prediction,
        DataSpec(SHAPE, ("a", "b", "c")),
    )


def with_variance(denoise: Denoise) -> Denoise:
    """As if the network had learned some variance, different in every pixel."""

    def varied(x_t: Tensor, level: Level) -> Prediction:
        return denoise(x_t, level)._replace(variance=torch.tanh(x_t))

    return varied
