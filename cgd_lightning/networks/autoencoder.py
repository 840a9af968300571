"""A small convolutional autoencoder, whose latents a diffusion model can live in.

Rombach et al. 2022 (arXiv:2112.10752), section 3.1, at the size of a laptop:

    h = h + conv(gelu(conv(norm(h))))

Downward, patches are folded into channels, and each level after the first halves the size; the
decoder mirrors the encoder.
"""

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.networks.layers import group_norm, zero_init
from cgd_lightning.networks.network import Network

GROUPS = 8
"""Of channels that are normalised together: few, so that a group still tells colours apart."""


class ConvAutoencoder(Network):
    """Images (B, in_channels, H, W) <-> latents (B, latent_channels, H / f, W / f).

    f is patch_size * 2^(levels - 1).

    Args:
        image_size: height and width in pixels, given by the data; a multiple of f, otherwise
            InputError.
        out_channels: channels of a reconstruction, given by the data.
        latent_channels: channels of the latents.
        width: channels of the first level.
        channel_mult: one factor per level, from the full size downwards; every level after the
            first is half as large.
        num_blocks: residual blocks per level, on the way down and again on the way up.
        patch_size: p folds p x p pixels into channels before the first convolution.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        latent_channels: int = 8,
        width: int = 64,
        channel_mult: Sequence[float] = (1, 2),
        num_blocks: int = 1,
        patch_size: int = 2,
    ) -> None:
        super().__init__()
        if min(latent_channels, width, num_blocks, patch_size) < 1:
            raise InputError(
                f"latent_channels {latent_channels}, width {width}, num_blocks {num_blocks}, "
                f"patch_size {patch_size}: wanted 1 or more"
            )
        if not channel_mult or int(min(channel_mult) * width) < 1:
            raise InputError(
                f"channel_mult {list(channel_mult)}: wanted a factor for each level, that makes "
                f"one channel or more of width {width}"
            )
        factor = patch_size * 2 ** (len(channel_mult) - 1)
        if image_size % factor:
            raise InputError(
                f"image_size {image_size}: patch_size {patch_size} and {len(channel_mult)} levels "
                f"of channel_mult need a multiple of {factor}; give fewer levels or a smaller "
                "patch_size, or resize the images"
            )
        widths = [int(mult * width) for mult in channel_mult]
        self.patch_size = patch_size
        self.latent_shape = (latent_channels, image_size // factor, image_size // factor)
        self.encoder = nn.Sequential(
            *_down(in_channels * patch_size**2, widths, num_blocks),
            group_norm(widths[-1], GROUPS),
            nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            *_up(latent_channels, widths[::-1], num_blocks),
            group_norm(widths[0], GROUPS),
            nn.Conv2d(widths[0], out_channels * patch_size**2, 3, padding=1),
        )

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of q(z | x), each (B, *latent_shape), of images."""
        mean, log_variance = self.encoder(F.pixel_unshuffle(x, self.patch_size)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, out_channels, H, W) of latents `z` (B, *latent_shape)."""
        return F.pixel_shuffle(self.decoder(z), self.patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """The images `x` through the latents and back, without noise."""
        return self.decode(self.moments(x)[0])


def _down(channels: int, widths: Sequence[int], num_blocks: int) -> Iterable[nn.Module]:
    """The way to smaller sizes, for images of so many channels."""
    yield nn.Conv2d(channels, widths[0], 3, padding=1)
    for level, width in enumerate(widths):
        if level:
            yield nn.PixelUnshuffle(2)
            yield nn.Conv2d(4 * widths[level - 1], width, 1)
        yield from (_Block(width) for _ in range(num_blocks))


def _up(channels: int, widths: Sequence[int], num_blocks: int) -> Iterable[nn.Module]:
    """The way to larger sizes, for latents of so many channels."""
    yield nn.Conv2d(channels, widths[0], 3, padding=1)
    for level, width in enumerate(widths):
        if level:
            yield nn.Conv2d(widths[level - 1], 4 * width, 1)
            yield nn.PixelShuffle(2)
        yield from (_Block(width) for _ in range(num_blocks))


class _Block(nn.Module):
    """A residual block of two convolutions, which starts as no change."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = group_norm(width, GROUPS)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zero_init(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(F.gelu(self.first(self.norm(h))))
