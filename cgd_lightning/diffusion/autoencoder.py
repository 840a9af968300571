"""An autoencoder: images <-> latents, with what normalises these.

Kingma and Welling 2014 (arXiv:1312.6114); as the first stage of latent diffusion, Rombach et al.
2022 (arXiv:2112.10752).
"""

from typing import Any

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.data_spec import DataSpec, Trained
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.diffusion.process import like_weights

MOMENTUM = 0.01
"""Share of a batch in the running moments of the latents, but for the first ones."""


class Autoencoder(Trained):
    """A network with `moments`, `decode` and `latent_shape`, and the data it was trained on.

    mean, variance: of its latents, by channel, as the last batches of its training had them. The
    latents of a diffusion model are normalised by them.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, network: nn.Module, data: DataSpec) -> None:
        super().__init__(network, data)
        channels = self.latent_shape[0]
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the latents."""
        shape: Any = self.network.latent_shape
        return tuple(shape)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), each (B, c, h, w), of images `x` (B, C, H, W)."""
        network: Any = self.network
        mean, log_variance = network.moments(like_weights(x, network))
        return mean.to(x.dtype), log_variance.to(x.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W), floats, of latents `z` (B, c, h, w)."""
        network: Any = self.network
        return network.decode(like_weights(z, network)).to(z.dtype)

    @torch.no_grad()
    def follow(self, mean: Tensor, step: int) -> None:
        """Move the running moments towards those of latents `mean` (B, c, h, w).

        step: how many batches came before; the first few count as much as their number says.
        """
        share = max(MOMENTUM, 1 / (step + 1))
        variance, center = torch.var_mean(mean.float(), dim=(0, 2, 3))
        self.mean.lerp_(center, share)
        self.variance.lerp_(variance, share)

    def _apply(self, fn: Any, recurse: bool = True) -> "Autoencoder":
        """Moments stay in float32 where the network does not: a share of 0.01 is lost in bf16."""
        super()._apply(fn, recurse)
        self.mean, self.variance = self.mean.float(), self.variance.float()
        return self

    def codec(self, name: str, hash: str) -> Latents:
        """Its latents as the space of a diffusion model.

        name: run or file where it lies. hash: of its weights.
        """
        scale = self.variance.clamp(min=1e-12).rsqrt()
        value = Latents(
            name, hash, self.latent_shape, tuple(self.mean.tolist()), tuple(scale.tolist())
        )
        return value.opened(self)
