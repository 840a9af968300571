"""The autoencoder of the library diffusers, `AutoencoderKL`, as a network of ours.

It is the first stage of Stable Diffusion and its kin (Rombach et al. 2022, arXiv:2112.10752). It is
built by that library, which is an extra, and only imported when one is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.networks.diffusers_unet import (
    WORDS,
    build_model,
    check_levels,
    check_sizes,
    check_words,
)
from cgd_lightning.networks.network import Network

DOWN_BLOCKS = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
UP_BLOCKS = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")
"""The blocks that `AutoencoderKL` can be made of."""

SIZES = ("in_channels", "out_channels", "latent_channels", "layers_per_block", "norm_num_groups")
"""The settings that count something: 1 or more."""


class DiffusersAutoencoder(Network):
    """Images (B, in_channels, H, W) <-> latents (B, latent_channels, H / f, W / f).

    f is 2^(levels - 1). Arguments are those of `AutoencoderKL` under its own names, except for
    `image_size` (its sample_size). Needs the package diffusers.

    Args:
        image_size: height and width in pixels, given by the data; a multiple of f, otherwise
            InputError.
        out_channels: channels of a reconstruction, given by the data.
        down_block_types: the kind of each level downwards, from the full size on.
        up_block_types: the kind of each level upwards, from the smallest size on.
        block_out_channels: channels of the levels, from the full size downwards.
        layers_per_block: residual blocks per level downwards (one more upwards).
        act_fn: the non-linearity: silu, swish, mish, gelu or relu.
        latent_channels: channels of the latents.
        norm_num_groups: number of groups that channels are normalised in.
        use_quant_conv: whether a convolution of single pixels follows the encoder.
        use_post_quant_conv: whether a convolution of single pixels precedes the decoder.
        mid_block_add_attention: whether the middles of encoder and decoder have attention.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        down_block_types: Sequence[str] = ("DownEncoderBlock2D",),
        up_block_types: Sequence[str] = ("UpDecoderBlock2D",),
        block_out_channels: Sequence[int] = (64,),
        layers_per_block: int = 1,
        act_fn: str = "silu",
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        use_quant_conv: bool = True,
        use_post_quant_conv: bool = True,
        mid_block_add_attention: bool = True,
    ) -> None:
        given = dict(locals())
        settings = {name: given[name] for name in SETTINGS}
        super().__init__()
        check_settings(settings)
        side = latent_side(image_size, len(block_out_channels))
        self.latent_shape = (latent_channels, side, side)
        self.vae: Any = build_model("AutoencoderKL", {**settings, "sample_size": image_size})

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of q(z | x), each (B, *latent_shape), of images."""
        posterior = self.vae.encode(x, return_dict=False)[0]
        return posterior.mean, posterior.logvar

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, out_channels, H, W) of latents `z` (B, *latent_shape)."""
        images: Tensor = self.vae.decode(z, return_dict=False)[0]
        return images

    def forward(self, x: Tensor) -> Tensor:
        """The images `x` through the latents and back, without noise."""
        return self.decode(self.moments(x)[0])


SETTINGS = tuple(
    name
    for name in inspect.signature(DiffusersAutoencoder.__init__).parameters
    if name not in ("self", "image_size")
)
"""The arguments that `AutoencoderKL` has under the same names."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """InputError for settings that no `AutoencoderKL` has.

    settings: all of `SETTINGS`, each of the type of its argument.
    """
    check_levels(settings, DOWN_BLOCKS, UP_BLOCKS)
    check_words(settings, {"act_fn": WORDS["act_fn"]})
    check_sizes(settings, SIZES)


def latent_side(image_size: int, levels: int) -> int:
    """Height and width of the latents of square images. InputError if they are not whole."""
    factor = 2 ** (levels - 1)
    if image_size < 1 or image_size % factor:
        raise InputError(
            f"image_size {image_size}: {levels} levels of block_out_channels halve it "
            f"{levels - 1} times, which leaves no whole number; resize the images"
        )
    return image_size // factor
