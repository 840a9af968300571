"""What is not finite in a training is named where it arises, before a checkpoint is overwritten."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn

from cgd_lightning.diffusion.codec import Codec
from cgd_lightning.networks import UNet
from cgd_lightning.training.finite import FiniteLoss
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.modules import DiffusionModule
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from tests.training.test_training import SMALL, Greys, fit


class Light(Codec):
    """Images of which those with a pixel of 249 are spoilt; it is no dataclass of settings."""

    def encode(self, data: Tensor) -> Tensor:
        spoilt = (data == 249).flatten(1).any(dim=1)[:, None, None, None]
        return torch.where(spoilt, math.nan, data.float() / 127.5 - 1)

    def decode(self, x0: Tensor) -> Tensor:
        return ((x0 + 1) * 127.5).to(torch.uint8)


class Spoilt(Greys):
    codec = Light()


class Kinked(UNet):
    """A network whose output is as it was, and one of whose gradients is infinite times 0."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kink = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, t: Tensor, *told: Tensor) -> Tensor:
        return super().forward(x, t, *told) + (self.kink * 0).sqrt()


class Overflows(UNet):
    """A network that overflows at the noisiest timesteps."""

    def forward(self, x: Tensor, t: Tensor, *told: Tensor) -> Tensor:
        loud = (t > 900)[:, None, None, None]
        return torch.where(loud, math.inf, 1.0) * super().forward(x, t, *told)


def module(network: type[nn.Module] = UNet, **settings: float) -> TrainingModule:
    optimizer = partial(torch.optim.SGD, **{"lr": 1e-2, **settings})
    return DiffusionModule(partial(network, **SMALL), optimizer=optimizer)


def said(trained: TrainingModule, folder: Path, data: Any = None, **options: Any) -> str:
    checkpoint = RunCheckpoint(dirpath=folder)
    options = {"enable_checkpointing": True, "log_every_n_steps": 1, **options}
    with pytest.raises(FloatingPointError) as caught:
        fit(trained, FiniteLoss(), checkpoint, data=data, **options)
    assert not list(folder.rglob("*.ckpt"))
    assert "no checkpoint was written" in str(caught.value)
    return str(caught.value)


def test_images_that_are_not_finite_are_named(tmp_path: Path) -> None:
    images = Greys().split("train").images
    bad = (images == 249).flatten(1).any(1).nonzero().flatten().tolist()
    assert bad
    text = said(module(), tmp_path, Spoilt(batch_size=40))
    assert text.startswith(f"the data is not finite at step 1, in {len(bad)} images of its batch")
    assert int(text.split("first image ")[1].split()[0]) in bad
    assert "Mend these images, or the codec" in text


def test_a_loss_is_named_with_its_network_and_the_timesteps(tmp_path: Path) -> None:
    text = said(module(Overflows), tmp_path, Greys(batch_size=40))
    assert text.startswith("the loss is not finite at step 1, of the network Overflows of the diff")
    low, high = (int(word.rstrip(";.")) for word in text.split("at t from ")[1].split()[0:3:2])
    assert 900 < low <= high <= 999
    assert ", in 4 images of its batch" in text  # timesteps are spread evenly: a tenth of 40


def test_a_gradient_is_named_at_its_step_and_not_at_the_next_ones_loss(tmp_path: Path) -> None:
    text = said(module(Kinked), tmp_path)
    assert text.startswith("the gradient is not finite at step 1, by model.network.kink of the net")


def test_weights_that_the_last_step_spoilt_are_not_saved(tmp_path: Path) -> None:
    """Their loss was never taken."""
    text = said(module(lr=1e20, weight_decay=1e30), tmp_path, max_steps=1)
    assert text.startswith("the weights are not finite after step 1, beginning with model.network.")


def test_gradients_that_a_scaler_of_float16_skips_stop_nothing(tmp_path: Path) -> None:
    trained = module(Kinked)
    scaled = MixedPrecision("16-mixed", "cpu")
    trainer = fit(trained, FiniteLoss(), plugins=[scaled], max_steps=2, val_check_interval=2)
    assert trainer.global_step == 2
    assert trained.model is not None
    assert trained.model.network.kink.item() == 0  # both steps were skipped
    assert scaled.scaler is not None
    assert scaled.scaler.get_scale() == 2.0**14  # of 2^16, halved twice
