"""A classifier of noisy images made to guide: smooth, and cheap to go back through.

    h = block(pool(h), t) at every level, then  h = h + block(h, t)
    block(h, t) = gelu(norm(conv(h)) * (1 + scale) + shift),   (scale, shift) = linear(silu(emb(t)))

norm is batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167). Its statistics move in training
alone: while guiding, no image's output or gradient depends on the others of its batch. Activations
are GELU and pool is the mean of 2 x 2, so that the gradient has no edges.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.networks.layers import TimeEmbedding, zero_init
from cgd_lightning.networks.network import Network


class NoisyConvNet(Network):
    """Noisy images (B, in_channels, H, W) -> logits (B, out_channels) of `out_channels` classes.

    Args:
        image_size: height and width in pixels, given by the data; a multiple of patch_size,
            otherwise InputError.
        out_channels: number of classes, given by the data.
        width: channels of the first level.
        channel_mult: one factor per level, from the full size downwards; every level after the
            first is half as large.
        num_blocks: blocks per level.
        patch_size: p folds p x p pixels into channels before the first convolution.
        pooling: what the last layer reads of the last level: the mean of each channel, wherever
            things stand, or all of it (flatten), where the place in the image tells the class.
        dropout: probability that a feature before the last layer is dropped, in training.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        channel_mult: Sequence[float] = (1, 2, 4),
        num_blocks: int = 2,
        patch_size: int = 1,
        pooling: Literal["mean", "flatten"] = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(width, num_blocks, patch_size) < 1:
            raise InputError(
                f"width {width}, num_blocks {num_blocks}, patch_size {patch_size}: wanted 1 or more"
            )
        if not channel_mult or int(min(channel_mult) * width) < 1:
            raise InputError(
                f"channel_mult {list(channel_mult)}: wanted a factor for each level, that makes "
                f"one channel or more of width {width}"
            )
        if not 0 <= dropout < 1:
            raise InputError(f"dropout {dropout}: wanted at least 0 and less than 1")
        if image_size % patch_size:
            raise InputError(
                f"image_size {image_size}: wanted a multiple of patch_size {patch_size}; give "
                "another patch_size, or resize the images"
            )
        if 2 ** (len(channel_mult) - 2) >= image_size // patch_size > 1:
            raise InputError(
                f"channel_mult {list(channel_mult)}: {len(channel_mult)} levels, and an image of "
                f"{image_size} pixels cannot be halved so often; give fewer"
            )
        widths = [int(mult * width) for mult in channel_mult]
        if pooling not in ("mean", "flatten"):
            raise InputError(f"pooling {pooling!r}: wanted mean or flatten")
        self.patch_size, self.pooling, embedding = patch_size, pooling, 4 * width
        self.time_embed = TimeEmbedding(width, embedding)
        self.levels = nn.ModuleList()
        before, size = in_channels * patch_size**2, image_size // patch_size
        for after in widths:
            self.levels.append(_Level(before, after, embedding, num_blocks))
            before = after
        for _ in widths[1:]:
            size = math.ceil(size / 2)
        self.dropout = nn.Dropout(dropout)
        read = before * size**2 if pooling == "flatten" else before
        self.head = zero_init(nn.Linear(read, out_channels))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits (B, out_channels) of images `x` (B, in_channels, H, W).

        t: timesteps (B,), float32.
        """
        emb = F.silu(self.time_embed(t))
        h = F.pixel_unshuffle(x.to(emb.dtype), self.patch_size)
        for number, level in enumerate(self.levels):
            if number:
                h = F.avg_pool2d(h, 2, ceil_mode=True, count_include_pad=False)
            h = level(h, emb)
        h = h.flatten(1) if self.pooling == "flatten" else h.mean(dim=(2, 3))
        return self.head(self.dropout(h))


class _Level(nn.ModuleList):
    """A block that changes the number of channels, and others whose output is added."""

    def __init__(self, before: int, after: int, embedding: int, num_blocks: int) -> None:
        others = [_Block(after, after, embedding) for _ in range(num_blocks - 1)]
        super().__init__([_Block(before, after, embedding), *others])

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        first, *others = self
        h = first(h, emb)
        for block in others:
            h = h + block(h, emb)
        return h


class _Block(nn.Module):
    """A convolution, batch norm, and what the timestep makes of it."""

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after, affine=False)
        self.film = nn.Linear(embedding, 2 * after)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        return F.gelu(self.norm(self.conv(h)) * (1 + scale) + shift)
