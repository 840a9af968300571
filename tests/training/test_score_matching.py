"""The loss of a classifier's gradient, on a mixture whose exact classifier is known."""

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.training.classifier_losses import read_with_gradient
from cgd_lightning.training.score_matching import score_error
from tests.conftest import NAMES, SHAPE, Changed, Mixture, drawn
from tests.diffusion.closed_form import closed_form

SCHEDULE = Cosine()


def mismatch(classifier: NoisyClassifier, denoiser: Denoiser, batch: NoisyBatch) -> Tensor:
    return score_error(read_with_gradient(classifier, batch).gradient, denoiser, batch)


def mean_error(factor: float, bias: float, prediction: PredictionType, batch: NoisyBatch) -> float:
    network = Changed(SCHEDULE).requires_grad_(False)
    network.factor, network.bias = factor, bias
    classifier = NoisyClassifier(network, SCHEDULE, DataSpec(SHAPE, NAMES))
    denoiser = closed_form(SCHEDULE, prediction=prediction)
    return mismatch(classifier, denoiser, batch).mean().item()


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
        loss = mismatch(classifier, denoiser, batch).mean()
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
