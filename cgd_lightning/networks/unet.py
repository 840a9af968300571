"""ADM's U-Net, the noise predictor (Dhariwal & Nichol 2021, arXiv:2105.05233, sec. 3 and app. A).

Downward, each level halves the size; upward, each stage reads the output of its mirror image on the
way down as well:

    emb = time_embed(t) + label_emb(y)
    h_0 = conv(x),  h_i = input_block_i(h_{i-1}, emb),  h = middle_block(h_n, emb)
    h = output_block_i(cat(h, h_{n-i}), emb),  out = conv(silu(norm(h)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.networks.blocks import BlockRecipe, check_image_size, input_blocks, middle_block
from cgd_lightning.networks.layers import TimeEmbedding, group_norm, zero_init
from cgd_lightning.networks.network import Network


class UNet(Network):
    """Noisy images (B, in_channels, H, W) -> a prediction (B, out_channels, H, W); zero when fresh.

    Names, order and shapes of the parameters are those of openai/guided-diffusion for `patch_size`
    1.

    Args:
        image_size: height and width in pixels, given by the data; a multiple of
            patch_size * 2^(levels - 1), otherwise InputError. The network takes images of other
            such multiples too.
        out_channels: channels of the prediction, given by the data: those of an image, or twice as
            many where the variance is learned.
        model_channels: the unit of width; level l has int(channel_mult[l] * model_channels)
            channels.
        num_res_blocks: residual blocks per level downwards (one more upwards).
        attention_resolutions: the downsampling rates, 2^level, of the levels with attention. Not
            pixel sizes; a rate that no level has does nothing. The middle always has attention.
        dropout: probability that a feature inside a residual block is dropped, in training.
        channel_mult: one factor per level, from the full size downwards; need not be whole.
        conv_resample: whether sizes change with a convolution, where resblock_updown is off.
        num_classes: number of labels; none for an unconditional network.
        use_checkpoint: whether the backward pass computes features a second time instead of
            keeping them: less memory, the same results.
        num_heads: number of attention heads.
        num_head_channels: channels of a head; unless -1, it decides the number of heads.
        num_heads_upsample: number of heads on the way up; -1 for num_heads.
        use_scale_shift_norm: whether the embedding scales and shifts the features; otherwise it is
            added to them.
        resblock_updown: whether sizes change in residual blocks.
        use_new_attention_order: how the heads lie in the weights of attention, see
            `networks.attention`.
        norm_groups: number of groups that channels are normalised in, as far as it divides them. 32
            is ADM's; with 16 channels a group or more, a CPU normalises small networks up to 30
            times faster.
        patch_size: p folds p x p pixels into channels before the first convolution and unfolds them
            after the last: all levels are p times smaller, and small images cost p^2 times less.
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
        num_classes: int | None = None,
        use_checkpoint: bool = False,
        num_heads: int = 1,
        num_head_channels: int = -1,
        num_heads_upsample: int = -1,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = False,
        use_new_attention_order: bool = False,
        norm_groups: int = 32,
        patch_size: int = 1,
        timestep_scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_image_size(image_size, patch_size, len(channel_mult))
        self.num_classes = num_classes
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
        if num_classes is not None:
            self.label_emb = nn.Embedding(num_classes, recipe.emb_channels)
        self.input_blocks, skips = input_blocks(
            recipe, in_channels * patch_size**2, widths, num_res_blocks, attention_resolutions
        )
        self.middle_block = middle_block(recipe, widths[-1])
        upward = (
            recipe if num_heads_upsample == -1 else replace(recipe, num_heads=num_heads_upsample)
        )
        self.output_blocks = output_blocks(
            upward, skips, widths, num_res_blocks, attention_resolutions
        )
        self.out = nn.Sequential(
            group_norm(widths[0], norm_groups),
            nn.SiLU(),
            zero_init(nn.Conv2d(widths[0], out_channels * patch_size**2, 3, padding=1)),
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The prediction (B, out_channels, H, W) for images `x` (B, in_channels, H, W).

        t: timesteps (B,), float32. Labels `y` (B,), int64, are given if and only if the network has
        classes; otherwise InputError.
        """
        if y is None and self.num_classes is not None:
            raise InputError(
                f"no labels y: this network is conditioned on {self.num_classes} classes, pass y "
                "of shape (B,)"
            )
        if y is not None and self.num_classes is None:
            raise InputError(
                "labels y given: this network has no classes, leave y out or build it with "
                "num_classes"
            )

        emb = self.time_embed(t)
        if y is not None:
            emb = emb + self.label_emb(y)
        h = F.pixel_unshuffle(x.to(emb.dtype), self.patch_size)
        skips = []
        for block in self.input_blocks:
            h = block(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), emb)
        return F.pixel_shuffle(self.out(h), self.patch_size)


def output_blocks(
    recipe: BlockRecipe,
    skips: Sequence[int],
    widths: Sequence[int],
    num_res_blocks: int,
    attention_resolutions: Sequence[int],
) -> nn.ModuleList:
    """The upward path.

    skips: channels of the stages of the downward path. widths: channels of the levels.
    """
    remaining = list(skips)
    channels = widths[-1]
    blocks = []
    for level, width in reversed(list(enumerate(widths))):
        for index in range(num_res_blocks + 1):
            layers: list[nn.Module] = [recipe.residual(channels + remaining.pop(), width)]
            channels = width
            if 2**level in attention_resolutions:
                layers.append(recipe.attention(width))
            if level > 0 and index == num_res_blocks:
                layers.append(recipe.upsampler(width))
            blocks.append(recipe.stage(*layers))
    return nn.ModuleList(blocks)
