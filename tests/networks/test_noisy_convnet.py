import re
from typing import Any, Literal

import pytest
import torch

from cgd_lightning import (
    ClassifierGuidance,
    Denoiser,
    NoisyClassifier,
    NoisyConvNet,
    UNet,
)
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError

Pooling = Literal["mean", "flatten"]

poolings = pytest.mark.parametrize("pooling", ["mean", "flatten"])


def trained(size: int = 9, channels: int = 2, pooling: Pooling = "mean") -> NoisyConvNet:
    """A network whose statistics have moved and whose head is not zero, in evaluation."""
    torch.manual_seed(0)
    net = NoisyConvNet(
        size, channels, 5, width=8, channel_mult=(1, 1.5, 2), num_blocks=2, pooling=pooling
    )
    for _ in range(3):
        net(3 + 2 * torch.randn(4, channels, size, size), torch.rand(4) * 999)
    torch.nn.init.normal_(net.head.weight)
    return net.eval()


@poolings
@pytest.mark.parametrize(
    ("size", "channels", "patch"), [(9, 2, 1), (28, 1, 2), (32, 4, 4), (3, 1, 1)]
)
def test_any_size_and_number_of_channels(
    size: int, channels: int, patch: int, pooling: Pooling
) -> None:
    net = NoisyConvNet(size, channels, 7, width=8, patch_size=patch, pooling=pooling)
    assert net(torch.randn(2, channels, size, size), torch.zeros(2)).shape == (2, 7)


@poolings
def test_no_image_depends_on_the_others_of_its_batch(pooling: Pooling) -> None:
    net, x, t = trained(pooling=pooling), torch.randn(6, 2, 9, 9).double(), torch.rand(6) * 999
    net.double()

    def gradient(chosen: slice) -> torch.Tensor:
        part = x[chosen].clone().requires_grad_()
        net(part, t[chosen])[:, 3].sum().backward()
        assert part.grad is not None
        return part.grad

    whole = gradient(slice(None))
    for i in range(6):
        torch.testing.assert_close(gradient(slice(i, i + 1)), whole[i : i + 1], rtol=1e-9, atol=0)
    assert whole.abs().min(dim=0).values.max() > 0


@poolings
def test_its_gradient_is_smooth(pooling: Pooling) -> None:
    # Twice differentiable: the second difference of the logits halves fourfold with the step.
    net = trained(pooling=pooling).double()
    x, t = torch.randn(1, 2, 9, 9).double(), torch.tensor([500.0])
    way = torch.randn_like(x)

    def bend(step: float) -> float:
        ends = net(x + step * way, t) + net(x - step * way, t) - 2 * net(x, t)
        return ends[0, 0].item() / step**2

    wanted = bend(1e-3)
    assert bend(4e-3) == pytest.approx(wanted, rel=1e-2)
    assert abs(wanted) > 1e-6


def test_only_flattened_it_knows_where_a_thing_stands() -> None:
    x = torch.zeros(2, 1, 16, 16)
    x[0, 0, 6, 6] = x[1, 0, 6, 8] = 1.0
    for pooling, same in (("mean", True), ("flatten", False)):
        torch.manual_seed(0)
        net = NoisyConvNet(16, 1, 3, width=8, channel_mult=(1, 1), pooling=pooling).eval()
        torch.nn.init.normal_(net.head.weight)
        here, there = net(x, torch.zeros(2))
        assert torch.allclose(here, there, atol=1e-5) == same


def test_it_knows_the_timestep() -> None:
    net, x = trained(), torch.randn(1, 2, 9, 9)
    logits = [net(x, torch.tensor([t])) for t in (10.0, 900.0)]
    assert not torch.allclose(*logits)


def test_a_patch_that_does_not_divide_is_told() -> None:
    with pytest.raises(InputError, match="image_size 9: wanted a multiple of patch_size 2"):
        NoisyConvNet(9, 1, 2, patch_size=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"num_blocks": 0},
        {"patch_size": 0},
        {"channel_mult": ()},
        {"channel_mult": (1, 0.01)},
        {"channel_mult": (1, 1, 1, 1, 1)},
        {"dropout": 1.0},
        {"pooling": "max"},
    ],
)
def test_settings_that_make_no_network_are_told(wrong: dict[str, Any]) -> None:
    [(name, value)] = wrong.items()
    said = list(value) if isinstance(value, tuple) else value
    said = repr(said) if isinstance(said, str) else said
    with pytest.raises(InputError, match=re.escape(f"{name} {said}")):
        NoisyConvNet(8, 1, 3, **wrong)


def test_an_image_is_halved_until_one_pixel_is_left() -> None:
    net = NoisyConvNet(5, 1, 3, width=4, channel_mult=(1, 1, 1, 1))
    assert net(torch.randn(2, 1, 5, 5), torch.zeros(2)).shape == (2, 3)


def test_it_does_not_guide_while_it_trains() -> None:
    net = NoisyClassifier(trained(8, 1), Cosine(), DataSpec((1, 8, 8), ("a", "b", "c", "d", "e")))
    denoiser = Denoiser(UNet(8, 1, 1, model_channels=8, channel_mult=(1,), norm_groups=2), Cosine())
    rule, labels = ClassifierGuidance(scale=1.0), torch.zeros(1, dtype=torch.int64)
    rule.bind(denoiser, net, labels)
    with pytest.raises(InputError, match=r"training mode, and its network.levels.*call eval"):
        rule.bind(denoiser, net.train(), labels)
