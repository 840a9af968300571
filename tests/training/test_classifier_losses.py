"""Losses of a classifier's gradient and certainty, on a mixture whose exact classifier is known."""

from copy import deepcopy
from dataclasses import astuple
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from cgd_lightning.networks import EncoderUNet, NoisyConvNet
from cgd_lightning.training.classifier_losses import certainty, gradient_size, read_with_gradient
from cgd_lightning.training.modules import ClassifierModule
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


def noisy_images(size: int, count: int) -> NoisyBatch:
    torch.manual_seed(0)
    x, y = torch.randn(count, 1, size, size), torch.arange(count) % 3
    return NoisyBatch(x, x, 999 * torch.rand(count), torch.randn_like(x), y, torch.arange(count))


def images(network: nn.Module) -> NoisyClassifier:
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return NoisyClassifier(network, SCHEDULE, DataSpec((1, 8, 8), NAMES))


def test_with_batch_norm_the_gradient_is_one_that_guides() -> None:
    """Of a network with the batch's statistics fixed, whatever else is in the batch."""
    guide = images(NoisyConvNet(8, 1, 3, width=8, channel_mult=(1, 2))).train()
    batch, count = noisy_images(8, 16), {}
    fixed = deepcopy(guide)
    for layer in fixed.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            layer.register_forward_pre_hook(
                lambda own, inputs: count.update({own: inputs[0][:, 0].numel()})
            )
    learning = fixed.logits(batch.x_t, batch.t)
    for layer, pixels in count.items():
        layer.running_var *= (pixels - 1) / pixels
    wanted, found = read_with_gradient(fixed.eval(), batch), read_with_gradient(guide, batch)
    torch.testing.assert_close(found.gradient, wanted.gradient, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.logits, learning, rtol=1e-3, atol=1e-4)
    assert all(layer.training for layer in guide.modules())
    assert {int(layer.num_batches_tracked) for layer in norms(guide)} == {1}
    for one in range(4):
        single = NoisyBatch(*(value[one : one + 1] for value in astuple(batch)[:6]))
        alone = read_with_gradient(fixed, single).gradient[0]
        torch.testing.assert_close(alone, wanted.gradient[one], rtol=1e-3, atol=1e-5)


def norms(guide: nn.Module) -> list[nn.Module]:
    return [layer for layer in guide.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_statistics_move_with_the_weights() -> None:
    """Twice the kernel is the same network where the statistics are the batch's."""
    guide, batch = images(NoisyConvNet(8, 1, 3, width=8)).train(), noisy_images(8, 16)
    gradient_size(read_with_gradient(guide, batch).gradient).mean().backward()
    kernel = guide.network.levels[0][0].conv.weight
    along = (kernel * kernel.grad).sum() / (kernel.norm() * kernel.grad.norm())
    assert kernel.grad.norm() > 0
    assert along.abs() < 1e-3


def test_attention_of_many_pixels_can_be_differentiated_twice() -> None:
    guide = images(
        EncoderUNet(
            *(32, 1, 3),
            model_channels=8,
            channel_mult=(1,),
            num_res_blocks=1,
            attention_resolutions=(1,),
            norm_groups=2,
        )
    )
    guide.data = DataSpec((1, 32, 32), NAMES)
    batch = noisy_images(32, 2)
    size = gradient_size(read_with_gradient(guide, batch).gradient).mean()
    size.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in guide.parameters())


OPTIONS = {
    "nothing": {},
    "smoothing": {"label_smoothing": 0.3},
    "gradient": {"gradient_penalty": 0.5},
    "certainty": {"entropy_weight": 0.7},
    "all": {"label_smoothing": 0.3, "gradient_penalty": 0.5, "entropy_weight": 0.7},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_loss_is_the_sum_of_what_was_asked_for(options: dict[str, float]) -> None:
    guide, batch = images(NoisyConvNet(8, 1, 3, width=8)).eval(), noisy_images(8, 16)
    module = ClassifierModule(partial(NoisyConvNet, width=8), **options)
    measures = module.measure(guide, batch)
    log_p = guide.log_prob(batch.x_t, batch.t)
    share = options.get("label_smoothing", 0.0)
    target = (1 - share) * F.one_hot(batch.y, 3) + share / 3
    wanted = -(target * log_p).sum(dim=1)
    wanted = wanted + options.get("gradient_penalty", 0.0) * gradient_size(
        read_with_gradient(guide, batch).gradient
    )
    wanted = wanted + options.get("entropy_weight", 0.0) * certainty(log_p)
    torch.testing.assert_close(measures["loss"], wanted)
    assert measures.keys() == set(module.measures)
    if options:
        own = F.cross_entropy(log_p, batch.y, reduction="none")
        torch.testing.assert_close(measures["cross_entropy"], own.detach())


@pytest.mark.parametrize("norm", [True, False], ids=["batch norm", "none"])
def test_a_gradient_is_looked_at_in_a_few_images_of_a_training_batch(norm: bool) -> None:
    """With the statistics of all of them, and weighed as if it stood for all."""
    net = (
        NoisyConvNet(8, 1, 3, width=8)
        if norm
        else EncoderUNet(8, 1, 3, model_channels=8, norm_groups=2, attention_resolutions=())
    )
    guide, batch = images(net).train(), noisy_images(8, 16)
    module = ClassifierModule(
        partial(NoisyConvNet, width=8), gradient_penalty=0.5, gradient_images=5
    )
    whole, few = read_with_gradient(guide, batch), read_with_gradient(guide, batch, 5)
    torch.testing.assert_close(few.logits, whole.logits)
    torch.testing.assert_close(few.gradient, whole.gradient[:5])
    measures = module.measure(guide, batch)
    own = F.cross_entropy(whole.logits, batch.y)
    torch.testing.assert_close(measures["cross_entropy"].mean(), own.detach())
    size = gradient_size(few.gradient).mean()
    torch.testing.assert_close(measures["gradient"].mean(), size.detach())
    torch.testing.assert_close(measures["loss"].mean(), own + 0.5 * size)
    guide.eval()
    held_out = module.measure(guide, batch)["gradient"]
    torch.testing.assert_close(
        held_out, gradient_size(read_with_gradient(guide, batch).gradient).detach()
    )


def test_a_few_images_are_more_than_a_batch_may_have() -> None:
    guide, batch = images(NoisyConvNet(8, 1, 3, width=8)).train(), noisy_images(8, 4)
    assert len(read_with_gradient(guide, batch, 100).gradient) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gradient_images": 4}, "gradient_images 4: no loss looks at a gradient"),
        ({"gradient_penalty": 0.1, "gradient_images": 0}, "gradient_images 0: wanted 1 or more"),
    ],
)
def test_images_that_no_loss_looks_at_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ClassifierModule(NoisyConvNet, **options)


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
