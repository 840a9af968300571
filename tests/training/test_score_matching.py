"""The loss of a classifier's gradient, on a mixture whose exact classifier is known."""

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import PredictionType
from cgd_lightning.diffusion.process import NoisyBatch, add_noise
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.training.score_matching import score_error
from tests.conftest import NAMES, SHAPE, ExactLogits, Mixture
from tests.diffusion.closed_form import closed_form

SCHEDULE = Cosine()


def drawn(n: int, t: float | None = None) -> NoisyBatch:
    generator = torch.Generator().manual_seed(3)
    exact = Mixture(SCHEDULE)
    y = torch.multinomial(exact.weights.detach(), n, replacement=True, generator=generator)
    draw = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    x0 = (exact.means[y] + exact.variances[y].sqrt() * draw).detach().reshape(n, *SHAPE)
    timestep = 999 * torch.rand(n, generator=generator) if t is None else torch.full((n,), t)
    eps = torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    x_t = add_noise(x0, timestep, eps, SCHEDULE)
    return NoisyBatch(x0, x_t, timestep, eps, y, torch.arange(n))


class Changed(ExactLogits):
    """The exact classifier, its logits times `factor` and off by a field of x_t times `bias`."""

    factor, bias = 1.0, 0.0

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        wave = torch.sin(3 * x_t.flatten(1)[:, :3])
        return self.factor * super().forward(x_t, t) + self.bias * wave


def mean_error(factor: float, bias: float, prediction: PredictionType, batch: NoisyBatch) -> float:
    network = Changed(SCHEDULE).requires_grad_(False)
    network.factor, network.bias = factor, bias
    classifier = NoisyClassifier(network, SCHEDULE, DataSpec(SHAPE, NAMES))
    denoiser = closed_form(SCHEDULE, prediction=prediction)
    return score_error(classifier, denoiser, batch).mean().item()


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("t", [200.0, 600.0])
def test_the_exact_classifier_has_the_least(t: float, prediction: PredictionType) -> None:
    batch = drawn(40_000, t)
    least = mean_error(1.0, 0.0, prediction, batch)
    for factor, bias in ((0.8, 0.0), (1.2, 0.0), (1.0, 0.2), (1.0, -0.2)):
        assert mean_error(factor, bias, prediction, batch) > least
    # A quadratic in the factor, whose lowest point is at 1.
    low, high = (mean_error(factor, 0.0, prediction, batch) for factor in (0.5, 1.5))
    lowest = 1 + 0.5 * (low - high) / (2 * (low + high - 2 * least))
    assert lowest == pytest.approx(1, abs=0.02)


class Free(nn.Module):
    """Logits of each class of a Gaussian with means of its own, at one timestep."""

    def __init__(self, exact: Mixture) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.exact = exact.requires_grad_(False)
        self.shift = nn.Parameter(0.3 * torch.randn_like(exact.means))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (values[:, None, None] for values in SCHEDULE.alpha_sigma(t.double()))
        variance = alpha**2 * self.exact.variances + sigma**2
        apart = x_t.flatten(1)[:, None] - alpha * (self.exact.means + self.shift)
        own = self.exact.weights.log() - 0.5 * (apart**2 / variance + variance.log()).sum(-1)
        return own


def test_training_by_it_finds_the_exact_classifier() -> None:
    network = Free(Mixture(SCHEDULE))
    classifier = NoisyClassifier(network, SCHEDULE, DataSpec(SHAPE, NAMES))
    denoiser, batch = closed_form(SCHEDULE), drawn(20_000, 400.0)
    optimizer = torch.optim.LBFGS([network.shift], max_iter=40, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = score_error(classifier, denoiser, batch).mean()
        loss.backward()
        return loss

    def apart() -> float:
        # A move that all means make changes hardly anything.
        moved = network.shift.detach()
        return (moved - moved.mean(dim=0)).abs().mean().item()

    before = apart()
    optimizer.step(closure)
    assert before > 0.15
    assert apart() < 0.02


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_is_the_same_where_nothing_is_trained(mode: type) -> None:
    batch = drawn(50)
    network = ExactLogits(SCHEDULE)
    classifier = NoisyClassifier(network, SCHEDULE, DataSpec(SHAPE, NAMES))
    denoiser = closed_form(SCHEDULE)
    trained = score_error(classifier, denoiser, batch)
    assert trained.requires_grad
    with mode():
        held_out = score_error(classifier, denoiser, batch)
    assert not held_out.requires_grad
    torch.testing.assert_close(held_out, trained.detach())
