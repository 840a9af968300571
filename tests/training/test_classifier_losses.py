"""Losses of a classifier's gradient and certainty, on a mixture whose exact classifier is known."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.training.classifier_losses import certainty, gradient_size, read_with_gradient
from tests.conftest import NAMES, SHAPE, Changed, ExactLogits, Mixture, drawn

SCHEDULE = Cosine()
DATA = DataSpec(SHAPE, NAMES)


def classifier(factor: float = 1.0) -> NoisyClassifier:
    network = Changed(SCHEDULE).requires_grad_(False)
    network.factor = factor
    return NoisyClassifier(network, SCHEDULE, DATA)


def test_the_gradient_is_that_of_finite_differences_times_sigma() -> None:
    batch, guide = drawn(20), classifier()
    read = read_with_gradient(guide, batch)
    torch.testing.assert_close(read.logits, guide.logits(batch.x_t, batch.t))
    direction, step = torch.randn_like(batch.x_t), 1e-5

    def log_p(x: Tensor) -> Tensor:
        return guide.log_prob(x, batch.t).gather(1, batch.y[:, None])[:, 0]

    slope = log_p(batch.x_t + step * direction) - log_p(batch.x_t - step * direction)
    sigma = SCHEDULE.alpha_sigma(batch.t.double())[1]
    wanted = sigma * slope / (2 * step)
    found = (read.gradient * direction).flatten(1).sum(1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_is_the_same_where_nothing_is_trained(mode: type) -> None:
    batch, guide = drawn(20), NoisyClassifier(ExactLogits(SCHEDULE), SCHEDULE, DATA)
    trained = read_with_gradient(guide, batch)
    assert trained.gradient.requires_grad
    with mode():
        held_out = read_with_gradient(guide, batch)
    for one, other in zip(held_out, trained, strict=True):
        assert not one.requires_grad
        torch.testing.assert_close(one, other.detach())


FACTORS = torch.linspace(0.5, 1.2, 15).tolist()


def test_a_penalty_shortens_the_gradient_and_none_leaves_the_exact_one() -> None:
    """Of the exact logits times a factor, the best ones."""
    batch = drawn(10_000, 400.0)
    reads = [read_with_gradient(classifier(factor), batch) for factor in FACTORS]
    entropy = torch.stack([F.cross_entropy(read.logits, batch.y) for read in reads])
    size = torch.stack([gradient_size(read.gradient).mean() for read in reads])
    without, little, much = (FACTORS[(entropy + w * size).argmin()] for w in (0.0, 0.02, 0.2))
    assert without == pytest.approx(1, abs=0.06)
    assert much < little <= without


def test_the_size_of_a_gradient_is_half_its_square() -> None:
    gradient = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    assert gradient_size(gradient).tolist() == [12.5, 2.0]


def test_certainty_goes_from_nothing_to_log_k() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [100.0, 0.0, 0.0], [0.0, 0.0, -100.0]])
    three = torch.tensor(3.0)
    wanted = torch.stack([torch.tensor(0.0), three.log(), three.log() - torch.tensor(2.0).log()])
    torch.testing.assert_close(certainty(logits), wanted)


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5])
def test_the_best_classifier_under_an_entropy_constraint_is_the_one_of_the_formula(
    weight: float,
) -> None:
    """Found by minimising the expected loss of free logits, at many points of the mixture."""
    batch = drawn(200)
    exact = Mixture(SCHEDULE).joint(batch.x_t, batch.t).softmax(dim=1).detach()
    logits = torch.zeros_like(exact, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (-(exact * logits.log_softmax(1)).sum(1) + weight * certainty(logits)).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    p = logits.detach().softmax(dim=1)
    entropy = -(p * p.log()).sum(dim=1, keepdim=True)
    formula = p * (1 + weight * (p.log() + entropy))
    torch.testing.assert_close(formula, exact, rtol=0.0, atol=1e-4)
    if weight:
        assert (p.amax(1) <= exact.amax(1) + 1e-4).all()
        assert p.amax(1).mean() < exact.amax(1).mean() - 0.01
