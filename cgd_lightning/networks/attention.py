"""Self-attention over the pixels of a feature map, in ADM's two layouts.

Dhariwal & Nichol 2021 (arXiv:2105.05233). One matrix makes queries, keys and values, 3 C features
per pixel. With H heads of d = C / H channels these are read as

    legacy order  (H, 3, d): the heads lie side by side, each with its own q, k, v
    new order     (3, H, d): q, k and v lie side by side, each with its heads

The weights of both have the same names and shapes, so weights of one order load into the other and
give wrong images. Only ADM's 64 px noise predictor and the attention pool of its classifiers are of
the new order.

Pixels are tokens (B, T, C) in here, which is how a channels_last image lies in memory anyway:
nothing is copied, and the fused kernels apply, which need the channels of a head side by side.
These kernels have no second derivative; whoever differentiates a gradient through attention does so
under `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.networks.layers import group_norm, zero_init

PLAIN_ON_CPU = 256
"""Up to so many tokens a CPU trains faster without the fused kernel."""


class TokenLinear(nn.Conv1d):
    """Tokens (B, T, in_channels) -> (B, T, out_channels).

    The arithmetic of a Linear, on the weights (out, in, 1) of ADM.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.squeeze(2), self.bias)


class AttentionBlock(nn.Module):
    """(B, C, H, W) -> (B, C, H, W): the input plus what each pixel reads from all.

    A fresh block changes nothing.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 1,
        use_new_attention_order: bool = False,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.use_new_attention_order = use_new_attention_order
        self.norm = group_norm(channels, norm_groups)
        self.qkv = TokenLinear(channels, 3 * channels)
        self.proj_out = zero_init(TokenLinear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(_tokens(self.norm(x)))
        split = split_qkv_then_heads if self.use_new_attention_order else split_heads_then_qkv
        h = self.proj_out(_attend(*split(qkv, self.num_heads)))
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


def split_heads_then_qkv(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (B, heads, T, d), of `qkv` (B, T, 3 C) in the legacy order."""
    return qkv.unflatten(2, (num_heads, 3, -1)).permute(3, 0, 2, 1, 4).unbind()


def split_qkv_then_heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (B, heads, T, d), of `qkv` (B, T, 3 C) in the new order."""
    return qkv.unflatten(2, (3, num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()


class AttentionPool2d(nn.Module):
    """(B, C, size, size) -> (B, out_channels): what the mean of all pixels reads.

    It reads from itself and from the pixels. Radford et al. 2021 (CLIP, arXiv:2103.00020), sec.
    2.4.
    """

    def __init__(self, size: int, channels: int, out_channels: int, num_heads: int = 1) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.positional_embedding = nn.Parameter(torch.randn(channels, size**2 + 1) / channels**0.5)
        self.qkv_proj = TokenLinear(channels, 3 * channels)
        self.c_proj = TokenLinear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = _tokens(x)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding.t()
        q, k, v = split_qkv_then_heads(self.qkv_proj(x), self.num_heads)
        # Only the first token is returned, so only the first one asks.
        return self.c_proj(_attend(q[:, :, :1], k, v)).squeeze(1)


def _tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v of all heads side by side.

    (B, heads, T, d) each -> (B, T, heads * d).
    """
    # On a CPU the backward pass of the fused kernel takes up to nine times as long as that of the
    # formula, which keeps all weights.
    if q.device.type == "cpu" and q.requires_grad and k.shape[2] <= PLAIN_ON_CPU:
        out = (q @ k.mT / math.sqrt(q.shape[3])).softmax(dim=-1).to(v.dtype) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)
