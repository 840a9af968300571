"""The convolutional layers and the time embedding of ADM's networks.

Dhariwal & Nichol 2021 (arXiv:2105.05233), sec. 3.

A residual block reads an image h and an embedding of the timestep, which enters as an affine change
of the normalised features (FiLM; "adaptive group normalization" in sec. 3.1):

    h = skip(x) + conv(silu(norm(conv(silu(norm(x)))) * (1 + scale) + shift))
    (scale, shift) = linear(silu(emb))

The names of the parameters are those of openai/guided-diffusion, so its published checkpoints load
unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def sinusoid(t: Tensor, channels: int) -> Tensor:
    """Cosines, then sines, of `t` (B,) at frequencies from 1 down to 1/10000.

    They are (B, channels), float32. A channel left over by an odd number is zero. Vaswani et al.
    2017 (arXiv:1706.03762), sec. 3.5, cosines first.
    """
    half = channels // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(10_000) * exponents)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, channels % 2))


class TimeEmbedding(nn.Sequential):
    """Timesteps (B,) -> (B, out_channels), in the precision of the weights.

    Autocast is off in here: bfloat16 cannot tell t = 999 from 1000, and two small matrices cost
    nothing. The sinusoid is that of t times `scale`.
    """

    def __init__(self, channels: int, out_channels: int, scale: float = 1.0) -> None:
        super().__init__(
            nn.Linear(channels, out_channels), nn.SiLU(), nn.Linear(out_channels, out_channels)
        )
        self.channels, self.scale = channels, scale

    def forward(self, t: Tensor) -> Tensor:
        with torch.autocast(t.device.type, enabled=False):
            waves = sinusoid(t.float() * self.scale, self.channels)
            return super().forward(waves.to(next(self.parameters()).dtype))


def group_norm(channels: int, groups: int = 32) -> nn.GroupNorm:
    """Normalisation in `groups` groups, or in as many as divide `channels` where these do not."""
    groups = next(n for n in range(min(groups, channels), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps=1e-5)


def zero_init(module: M) -> M:
    """The same module with all parameters zero, so that its branch starts as no change."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def upsample(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2H, 2W), each pixel repeated."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H/2, W/2), the mean of each 2 x 2 pixels."""
    return F.avg_pool2d(x, 2)


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, C, 2H, 2W): nearest pixel, then a 3 x 3 convolution if `with_conv`."""

    def __init__(self, channels: int, with_conv: bool = True) -> None:
        super().__init__()
        self.conv: nn.Module = (
            nn.Conv2d(channels, channels, 3, padding=1) if with_conv else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(upsample(x))


class Downsample(nn.Module):
    """(B, C, H, W) -> (B, C, H/2, W/2).

    A 3 x 3 convolution of stride 2 if `with_conv`, else the mean of 2 x 2 pixels.
    """

    def __init__(self, channels: int, with_conv: bool = True) -> None:
        super().__init__()
        self.op: nn.Module = (
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) if with_conv else nn.AvgPool2d(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class ResBlock(nn.Module):
    """(B, in_channels, H, W) and an embedding (B, emb_channels) -> (B, out_channels, H', W').

    `resample` doubles ("up") or halves ("down") the size, between the first non-linearity and the
    first convolution. Without `use_scale_shift_norm` the embedding is added to the features instead
    of scaling and shifting them. The last convolution starts at zero: a fresh block is its skip
    connection.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        dropout: float = 0.0,
        use_scale_shift_norm: bool = True,
        resample: Literal["up", "down"] | None = None,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        self.use_scale_shift_norm = use_scale_shift_norm
        resamplers: dict[str | None, Callable[[Tensor], Tensor]] = {
            "up": upsample,
            "down": downsample,
            None: nn.Identity(),
        }
        self.resample = resamplers[resample]
        self.in_layers = nn.Sequential(
            group_norm(in_channels, norm_groups),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )
        emb_outputs = 2 * out_channels if use_scale_shift_norm else out_channels
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, emb_outputs))
        self.out_layers = nn.Sequential(
            group_norm(out_channels, norm_groups),
            nn.SiLU(),
            nn.Dropout(dropout),
            zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        in_norm, in_activation, in_conv = self.in_layers
        out_norm, out_activation, dropout, out_conv = self.out_layers

        h = in_conv(self.resample(in_activation(in_norm(x))))
        emb = self.emb_layers(emb)[:, :, None, None]
        if self.use_scale_shift_norm:
            scale, shift = emb.chunk(2, dim=1)
            h = out_norm(h) * (1 + scale) + shift
        else:
            h = out_norm(h + emb)
        h = out_conv(dropout(out_activation(h)))
        return self.skip_connection(self.resample(x)) + h
