"""Training with a learned variance: what the loss is, what it trains, and that the checkpoint
knows.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Clamp
from cgd_lightning.diffusion.process import NoisyBatch, add_noise
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine, NoiseSchedule, VarianceExploding
from cgd_lightning.diffusion.variational import variational_bound
from cgd_lightning.errors import InputError
from cgd_lightning.networks import MLP, UNet
from cgd_lightning.training.min_snr import min_snr_weight
from cgd_lightning.training.modules import DiffusionModule
from tests.command_line import TINY_DIFFUSION, inside, status
from tests.training.test_training import (
    NAMES,
    SMALL,
    Greys,
    adam,
    diffusion,
    fit,
    held_out,
    metrics,
    randomised,
)


def tall(prediction: PredictionType, schedule: NoiseSchedule) -> Denoiser:
    network = randomised(UNet(8, 1, 2, **SMALL))
    return Denoiser(network, schedule, prediction, DataSpec((1, 8, 8), NAMES), True)


@pytest.mark.parametrize(
    "schedule", [Cosine(), VarianceExploding()], ids=["Cosine", "VarianceExploding"]
)
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_loss_is_the_squared_error_and_a_thousandth_of_the_bound(
    prediction: PredictionType, schedule: NoiseSchedule
) -> None:
    model, batch = tall(prediction, schedule), held_out(Greys(schedule=schedule))
    measured = diffusion(prediction=prediction, learned_variance=True).measure(model, batch)
    for i, t in enumerate(batch.t.tolist()):
        one = slice(i, i + 1)
        seen = model(batch.x_t[one], schedule.level(t))
        assert seen.variance is not None
        bound = variational_bound(
            batch.x0[one], batch.x0[one] - seen.x0, seen.variance, batch.t[one], schedule
        ).item()
        assert measured["vlb"][i].item() == pytest.approx(bound, rel=1e-3, abs=1e-3)
        output = model.network(batch.x_t[one], batch.t[one])[:, :1]
        simple = (output - model.target(batch)[one]).square().mean().item()
        assert measured["loss"][i].item() == pytest.approx(
            simple + 0.001 * measured["vlb"][i].item(), rel=1e-5
        )


def test_the_bound_trains_the_variance_and_not_the_mean() -> None:
    model, batch = tall("v", Cosine()).requires_grad_(), held_out(Greys(schedule=Cosine()))
    [last] = [part for part in model.network.out if isinstance(part, nn.Conv2d)]
    assert last.bias is not None

    def slopes(name: str) -> tuple[float, float]:
        """Of the output channels of the mean and of the variance."""
        model.zero_grad()
        diffusion(prediction="v", learned_variance=True).measure(model, batch)[
            name
        ].mean().backward()
        assert isinstance(last.bias.grad, Tensor)
        mean, variance = last.bias.grad.tolist()
        return mean, variance

    assert slopes("vlb")[0] == 0
    assert abs(slopes("vlb")[1]) > 1e-2
    whole = slopes("loss")
    assert abs(whole[0]) > 1e-3
    assert whole[1] == pytest.approx(0.001 * slopes("vlb")[1], rel=1e-5)


def test_min_snr_weighs_the_squared_error_alone() -> None:
    model, batch = tall("v", Cosine()), held_out(Greys(schedule=Cosine()))
    plain, weighed = (
        diffusion(prediction="v", learned_variance=True, min_snr_gamma=gamma)
        for gamma in (None, 5.0)
    )
    (loss, vlb), (loss_weighed, vlb_weighed) = (
        module.measure(model, batch).values() for module in (plain, weighed)
    )
    assert torch.equal(vlb, vlb_weighed)
    ratio = (loss_weighed - 0.001 * vlb) / (loss - 0.001 * vlb)
    assert torch.allclose(ratio, min_snr_weight(model, batch.t, 5.0), rtol=1e-3)
    assert not torch.allclose(ratio, torch.ones_like(ratio), rtol=0.1)


class Gaussian(nn.Module):
    """For data N(0, 0.5^2): the exact eps, and a fraction of variance to be learned for each of a
    few timesteps.
    """

    def __init__(self, timesteps: list[int]) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.fractions = nn.Parameter(torch.zeros(len(timesteps)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (values[:, None, None, None] for values in Cosine().alpha_sigma(t))
        which = (t[:, None] == torch.tensor(self.timesteps)).float().argmax(dim=1)
        eps = sigma / (alpha**2 * 0.25 + sigma**2) * x
        return torch.cat([eps, self.fractions[which][:, None, None, None].expand_as(x)], dim=1)


def test_training_finds_the_variance_of_the_exact_reverse_step() -> None:
    timesteps, schedule, generator = [5, 100, 900], Cosine(), torch.Generator().manual_seed(0)
    network = Gaussian(timesteps)
    model = Denoiser(network, schedule, "eps", DataSpec((1, 4, 4), NAMES), True)
    module = DiffusionModule(partial(UNet, **SMALL), learned_variance=True)
    t = torch.tensor(timesteps).repeat(2000).float()
    x0, eps = (torch.randn(len(t), 1, 4, 4, generator=generator) for _ in range(2))
    x0 = 0.5 * x0
    batch = NoisyBatch(
        x0,
        add_noise(x0, t, eps, schedule),
        t,
        eps,
        torch.zeros(len(t)).long(),
        torch.arange(len(t)),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(80):
        optimiser.zero_grad()
        module.measure(model, batch)["loss"].mean().backward()
        optimiser.step()
    for timestep, fraction in zip(timesteps, network.fractions.tolist()):
        level, below = schedule.level(timestep), schedule.level(timestep - 1)
        step = level.sigma**2 - (level.alpha / below.alpha * below.sigma) ** 2
        marginal = (below.alpha * 0.5) ** 2 + below.sigma**2
        exact = 1 / (1 / marginal + (level.alpha / below.alpha) ** 2 / step)
        small = step * (below.sigma / level.sigma) ** 2
        assert small * (step / small) ** ((fraction + 1) / 2) == pytest.approx(exact, rel=0.01)


def test_a_network_without_so_many_channels_is_refused() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x

    module = DiffusionModule(lambda *sizes: Plain(), learned_variance=True)  # type: ignore[arg-type, return-value]
    model = module.build(module.network, Greys())
    with pytest.raises(
        InputError, match="Plain gives 1 channels for an image of 1, and 2 were wanted"
    ):
        model.output(torch.zeros(2, 1, 8, 8), torch.zeros(2))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mlp_adds_its_input_to_the_prediction_alone(channels: int) -> None:
    network = randomised(MLP(8, channels, 2 * channels, width=16, depth=1))
    x, t = torch.randn(3, channels, 8, 8), torch.tensor([0.0, 10.0, 999.0])
    plain = network(x, t)
    network.gain.bias.add_(2.0)
    assert torch.allclose(network(x, t) - plain, torch.cat([2 * x, 0 * x], dim=1), atol=1e-4)


@pytest.mark.parametrize(
    "factory", [partial(UNet, **SMALL), partial(MLP, width=16, depth=1)], ids=["UNet", "MLP"]
)
def test_it_trains_and_its_checkpoint_samples(factory: Any, tmp_path: Path) -> None:
    module = DiffusionModule(factory, learned_variance=True, optimizer=adam(1e-2))
    trainer = fit(module, max_steps=20, val_check_interval=20)
    shown = {name: value.item() for name, value in trainer.callback_metrics.items()}
    by_hand = module.measure(module.ema, held_out(Greys()))
    for name in ("loss", "vlb"):
        assert shown[f"val/{name}"] == pytest.approx(by_hand[name].mean().item(), rel=1e-4)
        assert f"val/{name}_q3" in shown
    assert "train/vlb" in shown
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = checkpoints.load(tmp_path / "model.ckpt")
    assert loaded.learned_variance
    assert loaded(torch.randn(2, 1, 8, 8), loaded.schedule.level(10)).variance.shape == (2, 1, 8, 8)
    [(_, images)] = generate(loaded, [0, 1], DDIM(3), Clamp())
    assert images.shape == (2, 1, 8, 8)


def test_the_command_line_trains_it(tmp_path: Path) -> None:
    with inside(tmp_path):
        assert status("fit", *TINY_DIFFUSION, "--model.learned_variance=true") == 0
    folder = tmp_path / "runs/diffusion/version_0"
    assert checkpoints.load(folder).learned_variance
    bounds = [float(row["val/vlb"]) for row in metrics(folder) if "val/vlb" in row]
    assert len(bounds) == 2
    assert bounds[1] < bounds[0]
