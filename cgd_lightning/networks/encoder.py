"""ADM's classifier: the U-Net's downward half with a pool.

Dhariwal & Nichol 2021 (arXiv:2105.05233), sec. 4.

    h_0 = conv(x),  h_i = input_block_i(h_{i-1}, emb),  h = middle_block(h_n, emb)

    adaptive             logits = conv(mean(silu(norm(h))))
    attention            logits = attend(silu(norm(h))), the mean of the pixels being the query
    spatial, spatial_v2  logits = perceptron(cat(mean(h_0), ..., mean(h_n), mean(h))),
                         without and with normalisation
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.networks.attention import AttentionPool2d
from cgd_lightning.networks.blocks import BlockRecipe, check_image_size, input_blocks, middle_block
from cgd_lightning.networks.layers import TimeEmbedding, group_norm, zero_init
from cgd_lightning.networks.network import Network

Pool = Literal["adaptive", "attention", "spatial", "spatial_v2"]


class EncoderUNet(Network):
    """Noisy images (B, in_channels, H, W) -> logits (B, out_channels) of `out_channels` classes.

    No layer mixes the images of a batch, so the gradient of a sum over the batch is each image's
    own.

    Names, order and shapes of the parameters are those of openai/guided-diffusion for `patch_size`
    1. The arguments are those of `UNet`, and a pool.

    Args:
        image_size: height and width in pixels, given by the data; a multiple of
            patch_size * 2^(levels - 1), otherwise InputError. An attention pool knows its positions
            and takes images of this size alone.
        out_channels: number of classes, given by the data.
        model_channels: the unit of width; level l has int(channel_mult[l] * model_channels)
            channels.
        num_res_blocks: residual blocks per level.
        attention_resolutions: the downsampling rates, 2^level, of the levels with attention. Not
            pixel sizes; a rate that no level has does nothing. The middle always has attention.
        dropout: probability that a feature inside a residual block is dropped, in training.
        channel_mult: one factor per level, from the full size downwards; need not be whole.
        conv_resample: whether sizes change with a convolution, where resblock_updown is off.
        use_checkpoint: whether the backward pass computes features a second time instead of
            keeping them: less memory, the same results.
        num_heads: number of attention heads.
        num_head_channels: channels of a head; unless -1, it decides the number of heads.
        use_scale_shift_norm: whether the embedding scales and shifts the features; otherwise it is
            added to them.
        resblock_updown: whether sizes change in residual blocks.
        use_new_attention_order: how the heads lie in the weights of attention, see
            `networks.attention`.
        pool: how features become logits; all published classifiers have "attention".
        norm_groups: number of groups that channels are normalised in, as far as it divides them. 32
            is ADM's; with 16 channels a group or more, a CPU normalises small networks up to 30
            times faster.
        patch_size: p folds p x p pixels into channels before the first convolution: all levels are
            p times smaller.
        timestep_scale: what timesteps are multiplied by before they are embedded: 1000 / T where
            ADM's rescale_timesteps is on.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        model_channels: int = 64,
        num_res_blocks: int = 2,
        attention_resolutions: Sequence[int] = (2, 4),
        dropout: float = 0.0,
        channel_mult: Sequence[float] = (1, 2, 4),
        conv_resample: bool = True,
        use_checkpoint: bool = False,
        num_heads: int = 1,
        num_head_channels: int = -1,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = False,
        use_new_attention_order: bool = False,
        pool: Pool = "attention",
        norm_groups: int = 32,
        patch_size: int = 1,
        timestep_scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_image_size(image_size, patch_size, len(channel_mult))
        self.pool = pool
        self.patch_size = patch_size
        recipe = BlockRecipe(
            emb_channels=4 * model_channels,
            dropout=dropout,
            conv_resample=conv_resample,
            use_checkpoint=use_checkpoint,
            num_heads=num_heads,
            num_head_channels=num_head_channels,
            use_scale_shift_norm=use_scale_shift_norm,
            resblock_updown=resblock_updown,
            use_new_attention_order=use_new_attention_order,
            norm_groups=norm_groups,
        )
        widths = [int(mult * model_channels) for mult in channel_mult]

        self.time_embed = TimeEmbedding(model_channels, recipe.emb_channels, timestep_scale)
        self.input_blocks, channels = input_blocks(
            recipe, in_channels * patch_size**2, widths, num_res_blocks, attention_resolutions
        )
        self.middle_block = middle_block(recipe, widths[-1])
        if pool == "adaptive":
            self.out = adaptive_pool(widths[-1], out_channels, norm_groups)
        elif pool == "attention":
            size = image_size // (patch_size * 2 ** (len(widths) - 1))
            self.out = attention_pool(
                size, widths[-1], out_channels, recipe.heads(widths[-1]), norm_groups
            )
        elif pool == "spatial":
            self.out = spatial_pool(sum(channels) + widths[-1], out_channels)
        elif pool == "spatial_v2":
            self.out = normalised_spatial_pool(sum(channels) + widths[-1], out_channels)
        else:
            raise InputError(
                f"pool {pool!r}: there are adaptive, attention, spatial and spatial_v2; choose one"
            )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits (B, out_channels) of images `x` (B, in_channels, H, W).

        t: timesteps (B,), float32.
        """
        emb = self.time_embed(t)
        h = F.pixel_unshuffle(x.to(emb.dtype), self.patch_size)
        means = []
        for block in [*self.input_blocks, self.middle_block]:
            h = block(h, emb)
            if self.pool.startswith("spatial"):
                means.append(h.mean(dim=(2, 3)))
        return self.out(torch.cat(means, dim=1) if means else h)


def adaptive_pool(channels: int, out_channels: int, norm_groups: int) -> nn.Sequential:
    """(B, channels, H, W) -> (B, out_channels), zero when fresh."""
    conv = zero_init(nn.Conv2d(channels, out_channels, 1))
    return nn.Sequential(
        group_norm(channels, norm_groups), nn.SiLU(), nn.AdaptiveAvgPool2d(1), conv, nn.Flatten()
    )


def attention_pool(
    size: int, channels: int, out_channels: int, num_heads: int, norm_groups: int
) -> nn.Sequential:
    """(B, channels, size, size) -> (B, out_channels)."""
    return nn.Sequential(
        group_norm(channels, norm_groups),
        nn.SiLU(),
        AttentionPool2d(size, channels, out_channels, num_heads),
    )


def spatial_pool(features: int, out_channels: int) -> nn.Sequential:
    """(B, features) -> (B, out_channels)."""
    return nn.Sequential(nn.Linear(features, 2048), nn.ReLU(), nn.Linear(2048, out_channels))


def normalised_spatial_pool(features: int, out_channels: int) -> nn.Sequential:
    """(B, features) -> (B, out_channels)."""
    return nn.Sequential(
        nn.Linear(features, 2048), group_norm(2048), nn.SiLU(), nn.Linear(2048, out_channels)
    )
