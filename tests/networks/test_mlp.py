"""The tutorial's networks."""

import pytest
import torch

from cgd_lightning.networks import MLP, MLPClassifier


@pytest.mark.parametrize("channels", [1, 3])
def test_images_go_in_and_images_or_logits_come_out(channels: int) -> None:
    x, t = torch.randn(5, channels, 8, 8), torch.tensor([0.0, 1, 500, 998, 999])
    assert MLP(8, channels, channels, width=32)(x, t).shape == x.shape
    assert MLPClassifier(8, channels, 7, width=32)(x, t).shape == (5, 7)


@pytest.mark.parametrize("network", [MLP, MLPClassifier])
def test_the_timestep_counts_and_other_images_do_not(network: type) -> None:
    torch.manual_seed(0)
    net = network(8, 1, 1, width=32).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(4, 1, 8, 8)
    first, later = net(x, torch.zeros(4)), net(x, torch.full((4,), 700.0))
    assert (first - later).abs().min() > 1e-4
    torch.testing.assert_close(net(x[:2], torch.zeros(2)), first[:2])


def test_the_noise_predictor_can_pass_noise_on() -> None:
    """A narrow hidden layer cannot; the gain on the input can, whatever the width."""
    torch.manual_seed(0)
    net = MLP(8, 1, 1, width=8, depth=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(300):
        eps = torch.randn(64, 1, 8, 8)
        loss = (net(eps, torch.full((64,), 999.0)) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
