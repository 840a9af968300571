"""The downward path and the middle of ADM's networks.

The U-Net and the classifier's encoder share them.

A level is a resolution: level l works at 1 / 2^l of the size, with `channel_mult[l] *
model_channels` channels. A stage is a residual block, attention where the level has it, and an
upsampler at the end of an upward level; or a downsampler alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cgd_lightning.errors import InputError
from cgd_lightning.networks.attention import AttentionBlock
from cgd_lightning.networks.layers import Downsample, ResBlock, Upsample


class Stage(nn.ModuleList):
    """Layers in a row, (B, C, H, W) -> (B, C', H', W').

    The residual blocks among them get the embedding (B, E) too. With `use_checkpoint` only the
    stage's input is kept for the backward pass, and the rest is computed a second time. That
    changes no result, with frozen weights neither.
    """

    def __init__(self, layers: Iterable[nn.Module], use_checkpoint: bool = False) -> None:
        super().__init__(layers)
        self.use_checkpoint = use_checkpoint

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if self.use_checkpoint and torch.is_grad_enabled():
            return checkpoint(self._through, x, emb, use_reentrant=False)
        return self._through(x, emb)

    def _through(self, x: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


@dataclass(frozen=True)
class BlockRecipe:
    """What all blocks of one network have in common, by the names of the networks' arguments."""

    emb_channels: int
    dropout: float
    conv_resample: bool
    use_checkpoint: bool
    num_heads: int
    num_head_channels: int
    use_scale_shift_norm: bool
    resblock_updown: bool
    use_new_attention_order: bool
    norm_groups: int

    def heads(self, channels: int) -> int:
        """The number of heads for `channels`; InputError if they cannot be dealt out evenly."""
        by_heads = self.num_head_channels == -1
        divisor = self.num_heads if by_heads else self.num_head_channels
        if divisor < 1 or channels % divisor:
            name = "num_heads" if by_heads else "num_head_channels"
            raise InputError(
                f"{name} {divisor}: attention over {channels} channels needs a divisor of "
                f"{channels}; change {name} or model_channels"
            )
        return divisor if by_heads else channels // divisor

    def residual(self, in_channels: int, out_channels: int) -> ResBlock:
        return self._block(in_channels, out_channels, None)

    def attention(self, channels: int) -> AttentionBlock:
        return AttentionBlock(
            channels, self.heads(channels), self.use_new_attention_order, self.norm_groups
        )

    def downsampler(self, channels: int) -> nn.Module:
        if not self.resblock_updown:
            return Downsample(channels, self.conv_resample)
        return self._block(channels, channels, "down")

    def upsampler(self, channels: int) -> nn.Module:
        if not self.resblock_updown:
            return Upsample(channels, self.conv_resample)
        return self._block(channels, channels, "up")

    def stage(self, *layers: nn.Module) -> Stage:
        return Stage(layers, use_checkpoint=self.use_checkpoint)

    def _block(
        self, in_channels: int, out_channels: int, resample: Literal["up", "down"] | None
    ) -> ResBlock:
        return ResBlock(
            in_channels,
            out_channels,
            self.emb_channels,
            self.dropout,
            self.use_scale_shift_norm,
            resample,
            self.norm_groups,
        )


def input_blocks(
    recipe: BlockRecipe,
    in_channels: int,
    widths: Sequence[int],
    num_res_blocks: int,
    attention_resolutions: Collection[int],
) -> tuple[nn.ModuleList, list[int]]:
    """The downward path, and how many channels each of its stages puts out.

    widths: channels of the levels.
    """
    blocks = [recipe.stage(nn.Conv2d(in_channels, widths[0], 3, padding=1))]
    channels = [widths[0]]
    for level, width in enumerate(widths):
        if level > 0:
            blocks.append(recipe.stage(recipe.downsampler(channels[-1])))
            channels.append(channels[-1])
        for _ in range(num_res_blocks):
            layers: list[nn.Module] = [recipe.residual(channels[-1], width)]
            if 2**level in attention_resolutions:
                layers.append(recipe.attention(width))
            blocks.append(recipe.stage(*layers))
            channels.append(width)
    return nn.ModuleList(blocks), channels


def middle_block(recipe: BlockRecipe, channels: int) -> Stage:
    """Two residual blocks with attention between them, at the lowest resolution."""
    return recipe.stage(
        recipe.residual(channels, channels),
        recipe.attention(channels),
        recipe.residual(channels, channels),
    )


def check_image_size(image_size: int, patch_size: int, levels: int) -> None:
    """InputError unless an image can be folded and halved to the lowest level without a rest."""
    unit = patch_size * 2 ** (levels - 1)
    if image_size % unit:
        raise InputError(
            f"image_size {image_size}: patch_size {patch_size} and {levels} levels of channel_mult "
            f"need a multiple of {unit}; give fewer levels or a smaller patch_size, or resize the "
            "images"
        )
