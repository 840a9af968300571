"""The network of diffusers' `AutoencoderKL` is trained like one of ours."""

from typing import Any

import pytest
import torch

from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from cgd_lightning.networks import DiffusersAutoencoder
from cgd_lightning.training.autoencoder import AutoencoderModule

pytest.importorskip("diffusers")

SMALL: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "layers_per_block": 1,
}


def module(latent_channels: int) -> tuple[AutoencoderModule, Digits]:
    def network(*sizes: int) -> DiffusersAutoencoder:
        torch.manual_seed(0)
        return DiffusersAutoencoder(*sizes, **SMALL, latent_channels=latent_channels)

    return AutoencoderModule(network), Digits(image_size=16, schedule=Cosine())


def test_all_of_it_learns() -> None:
    training, data = module(2)
    data.setup("fit")
    model = training.build(training.network, data).train()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = training.measure(model, batch)["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert (model.variance != 1).all()


def test_latents_of_more_numbers_than_the_image_are_refused_in_a_line() -> None:
    training, data = module(5)
    data.setup("fit")
    said = r"latents \[5, 8, 8\] are more numbers than images \[1, 16, 16\]; give fewer"
    with pytest.raises(InputError, match=said):
        training.build(training.network, data)
