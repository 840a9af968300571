"""The training of an autoencoder: each part of its loss, the moments of its latents, its judge."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.errors import InputError
from cgd_lightning.networks import ConvAutoencoder, ConvNet
from cgd_lightning.training.autoencoder import AutoencoderModule
from tests.training.test_training import NAMES, Greys, adam, fit

SMALL: dict[str, Any] = {"latent_channels": 3, "width": 8}


def module(**options: Any) -> AutoencoderModule:
    return AutoencoderModule(partial(ConvAutoencoder, **SMALL), **options)


def model(seed: int = 0) -> Autoencoder:
    torch.manual_seed(seed)
    built = ConvAutoencoder(8, 1, 1, **SMALL)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Autoencoder(built, DataSpec((1, 8, 8), NAMES))


def batch(count: int = 6) -> NoisyBatch:
    generator = torch.Generator().manual_seed(1)
    x0 = torch.rand(count, 1, 8, 8, generator=generator) * 2 - 1
    eps = torch.randn(x0.shape, generator=generator)
    zeros = torch.zeros(count)
    return NoisyBatch(x0, x0, zeros, eps, zeros.long(), zeros.long())


def measured(autoencoder: Autoencoder, **options: Any) -> dict[str, Tensor]:
    return module(**options).measure(autoencoder, batch())


def test_held_out_an_image_is_rebuilt_from_the_mean_of_its_latents() -> None:
    eyes, x0 = model().eval(), batch().x0
    found = measured(eyes, kl_weight=0.0, edge_weight=0.0)
    error = eyes.network(x0) - x0
    torch.testing.assert_close(found["loss"], error.abs().mean(dim=(1, 2, 3)))
    mse = error.square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found["psnr"], 10 * (2**2 / mse).log10())


def test_in_training_it_is_rebuilt_from_a_draw_that_the_batch_decides() -> None:
    student, noisy = model().train(), batch()
    found = measured(student, kl_weight=0.0, edge_weight=0.0)
    mean, log_variance = student.moments(noisy.x0)
    draw = Normal(mean, (log_variance / 2).exp())
    z = draw.mean + draw.stddev * noisy.eps.flatten(1)[:, :12].reshape(mean.shape)
    error = student.decode(z) - noisy.x0
    torch.testing.assert_close(found["loss"], error.abs().mean(dim=(1, 2, 3)))


def test_the_divergence_is_that_of_the_library() -> None:
    eyes = model().eval()
    mean, log_variance = eyes.moments(batch().x0)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    exact = kl_divergence(Normal(mean, (log_variance / 2).exp()), prior)
    per_number = exact.flatten(1).sum(1) / 64
    with_kl, without = (measured(eyes, kl_weight=w)["loss"] for w in (0.5, 0.0))
    torch.testing.assert_close(measured(eyes)["kl"], per_number)
    torch.testing.assert_close(with_kl - without, 0.5 * per_number)


def test_edges_count_by_how_neighbours_differ() -> None:
    eyes = model().eval()
    error = eyes.network(batch().x0) - batch().x0
    down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean(dim=(1, 2, 3))
    across = (error[..., 1:] - error[..., :-1]).abs().mean(dim=(1, 2, 3))
    with_edges, without = (measured(eyes, edge_weight=w)["loss"] for w in (2.0, 0.0))
    torch.testing.assert_close(with_edges - without, down + across)


def test_the_moments_of_the_latents_are_those_that_training_saw() -> None:
    trained = module(ema_decay=0.0, optimizer=adam(0.0))  # of a network that stands still
    fit(trained, max_steps=60, check_val_every_n_epoch=None, val_check_interval=60)
    autoencoder = trained.ema
    assert isinstance(autoencoder, Autoencoder)
    codec = checkpoints.latents_of(autoencoder, "here")
    x0 = codec.encode(Greys().split("train").images)
    assert x0.mean(dim=(0, 2, 3)).abs().max() < 0.1
    assert (x0.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1


def test_it_learns() -> None:
    trained = module()
    trainer = fit(trained, max_steps=200, check_val_every_n_epoch=None, val_check_interval=200)
    assert trainer.callback_metrics["val/psnr"] > 15
    assert {"val/loss", "val/psnr", "val/kl"} <= trainer.callback_metrics.keys()


@pytest.fixture
def stored_judge(tmp_path: Path) -> str:
    torch.manual_seed(3)
    judge = CleanClassifier(ConvNet(8, 1, 3, width=4), DataSpec((1, 8, 8), NAMES))
    checkpoints.save(judge, tmp_path / "judge.ckpt")
    return str(tmp_path / "judge.ckpt")


def test_features_of_a_judge_are_of_each_image_and_the_judge_is_no_part_of_the_model(
    stored_judge: str,
) -> None:
    with_judge = module(judge=stored_judge, feature_weight=1.0)
    trainer = fit(with_judge, max_steps=3, check_val_every_n_epoch=None, val_check_interval=3)
    assert trainer.callback_metrics["val/features"] > 0
    assert not any("judge" in name.lower() for name in with_judge.state_dict())
    (judge,) = with_judge._judges
    eyes = model().eval()
    found, noisy = with_judge.measure(eyes, batch()), batch()
    wanted = judge.features(noisy.x0)
    seen = judge.features(eyes.network(noisy.x0))
    mismatch = (seen - wanted).square().sum(1) / wanted.square().sum(1)
    torch.testing.assert_close(found["features"], mismatch)
    torch.testing.assert_close(found["loss"] - measured(eyes)["loss"], mismatch)
    alone = with_judge.measure(eyes, noisy.first(1))
    torch.testing.assert_close(alone["features"], mismatch[:1])


def test_a_judge_of_other_images_is_told(tmp_path: Path) -> None:
    judge = CleanClassifier(ConvNet(16, 1, 3, width=4), DataSpec((1, 16, 16), NAMES))
    checkpoints.save(judge, tmp_path / "judge.ckpt")
    with pytest.raises(InputError, match=r"of images \[1, 16, 16\], and these are \[1, 8, 8\]"):
        fit(module(judge=str(tmp_path / "judge.ckpt"), feature_weight=1.0), max_steps=1)


def test_moments_move_in_bfloat16_too() -> None:
    trained = module(ema_decay=0.0)
    fit(trained, max_steps=3, precision="bf16-true", val_check_interval=3)
    assert isinstance(trained.ema, Autoencoder)
    assert trained.ema.variance.dtype == torch.float32
    assert next(trained.ema.network.parameters()).dtype == torch.bfloat16
    assert (trained.ema.variance != 1).all()


def test_a_step_of_the_moments_is_a_share_of_what_the_batch_has() -> None:
    still = model()
    z = torch.randn(40, 3, 2, 2) * 3 + 1
    still.follow(z, 0)
    torch.testing.assert_close(still.mean, z.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(still.variance, z.var(dim=(0, 2, 3)))
    before = still.mean.clone()
    still.follow(z + 1, 1)
    torch.testing.assert_close(still.mean, before + 0.5)
    still.follow(z + 1.5, 10_000)
    torch.testing.assert_close(still.mean, before + 0.51)
