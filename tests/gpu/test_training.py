"""Training on a device: the data is noised there, in any precision, without waiting."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.process import add_noise
from cgd_lightning.networks import EncoderUNet, UNet
from cgd_lightning.training.finite import FiniteLoss
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.modules import ClassifierModule, DiffusionModule
from tests.gpu.waits import NoWaits, waits
from tests.training.test_training import SMALL, Greys


def fit(module: TrainingModule, device: torch.device, *callbacks: Callback, **options: Any) -> None:
    seed_everything(0)
    usual: dict[str, Any] = {
        "accelerator": "cuda" if device.type == "cuda" else "cpu",
        "devices": [device.index or 0] if device.type == "cuda" else 1,
        "max_steps": 6,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "log_every_n_steps": 1000,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "gradient_clip_val": 1.0,
    }
    trainer = Trainer(callbacks=[FiniteLoss(), *callbacks], **{**usual, **options})
    trainer.fit(module, datamodule=Greys(batch_size=8))


def module(kind: str = "diffusion", **options: Any) -> TrainingModule:
    optimizer = partial(torch.optim.AdamW, lr=1e-3)
    if kind == "diffusion":
        return DiffusionModule(partial(UNet, **SMALL), optimizer=optimizer, **options)
    return ClassifierModule(partial(EncoderUNet, **SMALL), optimizer=optimizer, **options)


class Losses(Callback):
    """Keeps the loss of every step, on the device."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.kept.append(outputs["loss"].detach())

    @property
    def values(self) -> torch.Tensor:
        return torch.stack(self.kept).float().cpu()


def test_held_out_images_are_noised_on_the_device_as_on_the_cpu(device: torch.device) -> None:
    data = Greys(batch_size=8)
    batch = data.split("val").__getitems__(list(range(8)))
    here = data.on_after_batch_transfer(ImageBatch(*(each.to(device) for each in batch)), 0)
    there = data.on_after_batch_transfer(batch, 0)
    assert here.x_t.device.type == device.type
    for name in ("x0", "t", "y", "index"):
        assert torch.equal(getattr(here, name).cpu(), getattr(there, name)), name
    torch.testing.assert_close(here.x_t.cpu(), there.x_t, rtol=1e-5, atol=1e-5)
    again = add_noise(here.x0, here.t, here.eps, data.schedule)
    assert torch.equal(here.x_t, again)


@pytest.mark.parametrize("kind", ["diffusion", "classifier"])
def test_the_first_loss_of_a_held_out_batch_agrees_with_the_cpu(
    kind: str, device: torch.device
) -> None:
    losses = []
    for where in (device, torch.device("cpu")):
        trained = module(kind)
        seed_everything(0)
        trained.model = trained.build(trained.network, Greys(batch_size=8)).to(where).eval()
        data = Greys(batch_size=8)
        batch = data.split("val").__getitems__(list(range(8)))
        noisy = data.on_after_batch_transfer(ImageBatch(*(each.to(where) for each in batch)), 0)
        with torch.no_grad():
            losses.append(trained.measure(trained.model, noisy)["loss"].cpu())
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_training_learns_in_every_precision(precision: str, device: torch.device) -> None:
    losses = Losses()
    fit(module(), device, losses, precision=precision, max_steps=30)
    values = losses.values
    assert values.isfinite().all()
    assert values[-5:].mean() < values[:5].mean()


def test_a_training_is_the_same_twice(device: torch.device) -> None:
    first, second = Losses(), Losses()
    for losses in (first, second):
        fit(module(), device, losses)
    torch.testing.assert_close(first.values, second.values, rtol=1e-4, atol=1e-5)


def test_a_compiled_training_is_that_of_the_network_itself(device: torch.device) -> None:
    plain, compiled = Losses(), Losses()
    fit(module(), device, plain, max_steps=3)
    fit(module(compile=True), device, compiled, max_steps=3)
    torch.testing.assert_close(plain.values, compiled.values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["diffusion", "classifier"])
def test_a_training_step_waits_for_nothing(kind: str, device: torch.device) -> None:
    """The host waits as often in 5 steps, an epoch, as in 3."""
    fit(module(kind), device)  # warm
    few, many = (waits(lambda n=n: fit(module(kind), device, max_steps=n), device) for n in (3, 5))
    assert few == many


class Guarded(Callback):
    """Lets CUDA raise an error where the host waits, in all steps but the first two."""

    def __init__(self, device: torch.device) -> None:
        self.guard, self.steps = NoWaits(device), 0

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 2:
            self.guard.begin()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.steps += 1
        if trainer.global_step == 5:
            self.guard.end()


def test_cuda_itself_finds_no_wait_in_a_training_step(device: torch.device) -> None:
    guarded = Guarded(device)
    try:
        fit(module(), device, guarded, max_steps=5)
    finally:
        guarded.guard.end()
    assert guarded.steps == 5
