"""One optimiser of Muon and AdamW, against torch's own two and against exact numbers."""

import re
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.training.muon import QUINTIC, MuonAdamW, orthogonal

# MuonAdamW needs no such torch; only what it is compared with does.
with_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")

SETTINGS = {"lr": 0.02, "weight_decay": 0.1}


def network(layout: torch.memory_format = torch.contiguous_format) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(128, 5)]
    return nn.Sequential(*layers).to(memory_format=layout)


def learn(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        optimizer.zero_grad()
        net(torch.randn(4, 3, 6, 6, generator=generator)).square().mean().backward()
        optimizer.step()


class Matrices(nn.Module):
    """A network whose kernel is kept as the matrix that Muon takes."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.kernel = nn.Parameter(net[0].weight.detach().flatten(1).clone())
        self.rest = net

    def forward(self, x: Tensor) -> Tensor:
        conv, *others = self.rest
        x = nn.functional.conv2d(x, self.kernel.view(8, 3, 3, 3), conv.bias)
        for layer in others:
            x = layer(x)
        return x


def rounds(matrix: Tensor) -> Tensor:
    """Five rounds of Newton and Schulz's iteration as published, in float64."""
    x, (a, b, c) = matrix.double() / matrix.double().norm(), QUINTIC
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x


@pytest.mark.parametrize("shape", [(3, 8, 40), (3, 40, 8), (2, 16, 16), (1, 1, 5), (2, 5, 1)])
@pytest.mark.parametrize("spread", [0, 3, 30])
def test_matrices_become_orthogonal(shape: tuple[int, ...], spread: int) -> None:
    """Also where some rows and columns are a thousandth, or nothing, beside the others."""
    torch.manual_seed(1)
    matrices = torch.randn(shape) * torch.logspace(0, -spread, shape[2])
    for result, matrix in zip(orthogonal(matrices), matrices, strict=True):
        torch.testing.assert_close(result.double(), rounds(matrix), rtol=0.0, atol=1e-3)


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


@with_muon
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_muon_for_matrices_and_adamw_for_the_rest(layout: torch.memory_format) -> None:
    mine, theirs = network(layout), Matrices(network())
    learn(mine, MuonAdamW(mine.parameters(), **SETTINGS), 5)
    flat = [theirs.kernel, theirs.rest[3].weight]
    rest = [p for p in theirs.rest.parameters() if p.ndim == 1]
    muon = torch.optim.Muon(flat, **SETTINGS, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(rest, **SETTINGS, betas=(0.9, 0.99))
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        theirs.zero_grad()
        theirs(torch.randn(4, 3, 6, 6, generator=generator)).square().mean().backward()
        muon.step()
        adamw.step()
    # Torch makes the orthogonal matrix in bfloat16.
    close = {"rtol": 0.0, "atol": 4e-3}
    torch.testing.assert_close(mine[0].weight.flatten(1), theirs.kernel, **close)
    for name, value in theirs.rest.state_dict().items():
        if name != "0.weight":
            torch.testing.assert_close(mine.state_dict()[name], value, **close)
    assert not torch.allclose(mine[0].weight, network()[0].weight, atol=0.02)


def test_a_step_is_the_formula() -> None:
    """Twice, in float64, with a decay that shows."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 10))
    optimizer = MuonAdamW([weight], lr=0.02, momentum=0.9, weight_decay=5.0)
    wanted, momentum = weight.detach().double(), torch.zeros(6, 10, dtype=torch.float64)
    for _ in range(2):
        gradient = torch.randn(6, 10)
        weight.grad = gradient.clone()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        direction = rounds(0.1 * gradient + 0.9 * momentum)
        wanted = wanted * (1 - 0.02 * 5) - 0.02 * 0.2 * 10**0.5 * direction
    torch.testing.assert_close(weight.detach().double(), wanted, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": -1.0},
        {"lr": float("nan")},
        {"weight_decay": -1.0},
        {"momentum": 1.0},
        {"momentum": -0.1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=f"{name} {value}: wanted"):
        MuonAdamW(network().parameters(), **wrong)


def test_parameters_that_it_cannot_move_are_refused() -> None:
    for parameters, says in (
        ([nn.Parameter(torch.randn(4, 3, 5).transpose(0, 1))], "shape [3, 4, 5] and strides"),
        ([nn.Parameter(torch.randn(3, 4, dtype=torch.complex64))], "real numbers alone"),
        ([{"params": [nn.Parameter(torch.randn(3, 4))]}], "a dict: wanted"),
    ):
        with pytest.raises(ValueError, match=re.escape(says)):
            MuonAdamW(parameters)


def test_a_copy_goes_on_alike() -> None:
    net = network()
    optimizer = MuonAdamW(net.parameters(), **SETTINGS)
    learn(net, optimizer, 2)
    twin, again = deepcopy((net, optimizer))
    learn(net, optimizer, 2)
    learn(twin, again, 2)
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_moves_a_kernel_in_all_directions_alike() -> None:
    net = nn.Conv2d(4, 8, 3, bias=False).to(memory_format=torch.channels_last)
    before = net.weight.detach().clone()
    optimizer = MuonAdamW(net.parameters(), lr=0.1, weight_decay=0.0)
    (net(torch.randn(2, 4, 6, 6)) * torch.randn(2, 8, 4, 4)).sum().backward()
    optimizer.step()
    moved = (net.weight.detach() - before).flatten(1) / (0.1 * 0.2 * 36**0.5)
    # The iteration of five steps brings singular values near 1, not to it.
    values = torch.linalg.svdvals(moved)
    assert values.min() > 0.5
    assert values.max() < 1.4


def in_rows(state: dict[str, Any]) -> dict[str, Any]:
    """The same state, its tensors in the order that a file may have them in."""
    for own in state["state"].values():
        for name, value in own.items():
            own[name] = value.contiguous() if isinstance(value, Tensor) else value
    return state


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_goes_on_from_its_state(layout: torch.memory_format) -> None:
    whole, first = network(layout), network(layout)
    learn(whole, MuonAdamW(whole.parameters(), **SETTINGS), 6)
    optimizer = MuonAdamW(first.parameters(), **SETTINGS)
    learn(first, optimizer, 3)
    second = network(layout)
    second.load_state_dict(first.state_dict())
    again = MuonAdamW(second.parameters(), **SETTINGS)
    again.load_state_dict(in_rows(deepcopy(optimizer.state_dict())))
    learn(second, again, 3, first=3)
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_learning_rate_moves_both() -> None:
    net = network()
    optimizer = MuonAdamW(net.parameters(), **SETTINGS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before = deepcopy(net.state_dict())
    learn(net, optimizer, 1)
    schedule.step()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_either_kind_of_parameters_may_be_missing() -> None:
    for net in (nn.Linear(3, 4, bias=False), nn.LayerNorm(4)):
        optimizer = MuonAdamW(net.parameters())
        before = net.weight.detach().clone()
        net(torch.randn(2, net.weight.shape[-1])).pow(3).sum().backward()
        optimizer.step()
        assert not torch.equal(net.weight, before)
