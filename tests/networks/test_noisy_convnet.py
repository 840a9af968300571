import pytest
import torch

from cgd_lightning import NoisyConvNet
from cgd_lightning.errors import InputError


def trained(size: int = 9, channels: int = 2) -> NoisyConvNet:
    """A network whose statistics have moved and whose head is not zero, in evaluation."""
    torch.manual_seed(0)
    net = NoisyConvNet(size, channels, 5, width=8, channel_mult=(1, 1.5, 2), num_blocks=2)
    for _ in range(3):
        net(3 + 2 * torch.randn(4, channels, size, size), torch.rand(4) * 999)
    torch.nn.init.normal_(net.head.weight)
    return net.eval()


@pytest.mark.parametrize(
    ("size", "channels", "patch"), [(9, 2, 1), (28, 1, 2), (32, 4, 4), (3, 1, 1)]
)
def test_any_size_and_number_of_channels(size: int, channels: int, patch: int) -> None:
    net = NoisyConvNet(size, channels, 7, width=8, patch_size=patch)
    assert net(torch.randn(2, channels, size, size), torch.zeros(2)).shape == (2, 7)


def test_no_image_depends_on_the_others_of_its_batch() -> None:
    net, x, t = trained(), torch.randn(6, 2, 9, 9).double(), torch.rand(6) * 999
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


def test_its_gradient_is_smooth() -> None:
    # Twice differentiable: the second difference of the logits halves fourfold with the step.
    net = trained().double()
    x, t = torch.randn(1, 2, 9, 9).double(), torch.tensor([500.0])
    way = torch.randn_like(x)

    def bend(step: float) -> float:
        ends = net(x + step * way, t) + net(x - step * way, t) - 2 * net(x, t)
        return ends[0, 0].item() / step**2

    wanted = bend(1e-3)
    assert bend(4e-3) == pytest.approx(wanted, rel=1e-2)
    assert abs(wanted) > 1e-6


def test_it_knows_the_timestep() -> None:
    net, x = trained(), torch.randn(1, 2, 9, 9)
    logits = [net(x, torch.tensor([t])) for t in (10.0, 900.0)]
    assert not torch.allclose(*logits)


def test_a_patch_that_does_not_divide_is_told() -> None:
    with pytest.raises(InputError, match="image_size 9: wanted a multiple of patch_size 2"):
        NoisyConvNet(9, 1, 2, patch_size=2)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"num_blocks": 0}, {"patch_size": 0}])
def test_sizes_below_one_are_told(wrong: dict[str, int]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(InputError, match=f"{name} {value}.*wanted 1 or more"):
        NoisyConvNet(8, 1, 3, **wrong)
