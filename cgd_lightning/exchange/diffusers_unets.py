"""Our `UNet` as the `UNet2DModel` of diffusers: settings, and weights both ways.

Residual blocks, attention and resampling are the same there, under other names and with queries,
keys and values in matrices of their own, which have the new order of heads: rows of the legacy one
change places (`networks.attention`). What diffusers cannot express is refused by name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.networks import UNet
from cgd_lightning.networks.attention import AttentionBlock
from cgd_lightning.networks.layers import Downsample, ResBlock, Upsample

RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
"""The layers of a residual block: ours, theirs."""

ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
"""The layers before and after all blocks: ours, theirs."""

KINDS = ("weight", "bias")


@dataclass(frozen=True)
class Pair:
    """A layer with weights: how it begins here and there, and its block if it is attention."""

    ours: str
    theirs: str
    attention: AttentionBlock | None = None


def unet_settings(net: UNet) -> dict[str, Any]:
    """The settings of the `UNet2DModel` that computes what `net` does.

    Raises InputError, naming the argument, if there is none.
    """
    told = net.init_args
    _check(net)
    levels = len(told["channel_mult"])
    attentive = [2**level in told["attention_resolutions"] for level in range(levels)]
    down = "ResnetDownsampleBlock2D" if told["resblock_updown"] else "DownBlock2D"
    up = "ResnetUpsampleBlock2D" if told["resblock_updown"] else "UpBlock2D"
    resampling = "resnet" if told["resblock_updown"] else "conv"
    return {
        "sample_size": told["image_size"],
        "in_channels": told["in_channels"],
        "out_channels": told["out_channels"],
        "down_block_types": tuple("AttnDownBlock2D" if at else down for at in attentive),
        "up_block_types": tuple("AttnUpBlock2D" if at else up for at in reversed(attentive)),
        "block_out_channels": tuple(
            int(mult * told["model_channels"]) for mult in told["channel_mult"]
        ),
        "layers_per_block": told["num_res_blocks"],
        "downsample_type": resampling,
        "upsample_type": resampling,
        "dropout": told["dropout"],
        "attention_head_dim": _head_channels(net),
        "norm_num_groups": told["norm_groups"],
        "attn_norm_num_groups": told["norm_groups"],
        "resnet_time_scale_shift": "scale_shift" if told["use_scale_shift_norm"] else "default",
        "num_class_embeds": told["num_classes"],
    }


def _check(net: UNet) -> None:
    told = net.init_args
    first = int(told["channel_mult"][0] * told["model_channels"])
    if told["patch_size"] != 1:
        raise _inexpressible(f"patch_size {told['patch_size']}", "folds no pixels")
    if told["timestep_scale"] != 1:
        raise _inexpressible(f"timestep_scale {told['timestep_scale']}", "embeds t as it is")
    if first != told["model_channels"]:
        raise _inexpressible(
            f"channel_mult {told['channel_mult'][0]} of the first level",
            "embeds timesteps in as many features as the first level has channels",
        )
    if told["num_res_blocks"] < 1:
        raise _inexpressible("num_res_blocks 0", "has residual blocks in every level")
    resamples = len(told["channel_mult"]) > 1 and not told["resblock_updown"]
    if resamples and not told["conv_resample"]:
        raise _inexpressible("conv_resample false", "changes sizes with a convolution")
    groups = {layer.num_groups for layer in net.modules() if isinstance(layer, nn.GroupNorm)}
    if groups != {told["norm_groups"]}:
        raise _inexpressible(
            f"norm_groups {told['norm_groups']}, which do not divide all channels (there are "
            f"{', '.join(map(str, sorted(groups)))})",
            "normalises all layers in the same number of groups",
        )


def _head_channels(net: UNet) -> int | None:
    """The channels of every attention head; None if each layer has one head."""
    layers = [layer for layer in net.modules() if isinstance(layer, AttentionBlock)]
    sizes = {layer.qkv.in_channels // layer.num_heads for layer in layers}
    if len(sizes) == 1:
        return sizes.pop()
    if all(layer.num_heads == 1 for layer in layers):
        return None
    raise _inexpressible(
        f"attention heads of {' and '.join(map(str, sorted(sizes)))} channels",
        "has one number of channels for all heads, as num_head_channels gives it",
    )


def _inexpressible(what: str, why: str) -> InputError:
    return InputError(f"{what}: not to be written for diffusers, whose UNet2DModel {why}")


def to_theirs(net: UNet) -> dict[str, Tensor]:
    """The weights of `net` under the names of its `UNet2DModel`."""
    ours, theirs = net.state_dict(), {}
    for pair in pairs(net):
        if pair.attention is None:
            for kind in KINDS:
                if f"{pair.ours}.{kind}" in ours:  # an embedding of labels has no bias
                    theirs[f"{pair.theirs}.{kind}"] = ours[f"{pair.ours}.{kind}"]
            continue
        for kind in KINDS:
            theirs[f"{pair.theirs}.group_norm.{kind}"] = ours[f"{pair.ours}.norm.{kind}"]
            rows = _split(ours[f"{pair.ours}.qkv.{kind}"], pair.attention)
            for name, part in zip(("to_q", "to_k", "to_v"), rows):
                theirs[f"{pair.theirs}.{name}.{kind}"] = _matrix(part)
            out = ours[f"{pair.ours}.proj_out.{kind}"]
            theirs[f"{pair.theirs}.to_out.0.{kind}"] = _matrix(out)
    return theirs


def to_ours(net: UNet, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the `UNet2DModel` of `net` under our names: the way back of `to_theirs`."""
    ours, wanted = {}, net.state_dict()
    for pair in pairs(net):
        for kind in KINDS:
            if pair.attention is None:
                if f"{pair.ours}.{kind}" in wanted:
                    ours[f"{pair.ours}.{kind}"] = theirs[f"{pair.theirs}.{kind}"]
                continue
            ours[f"{pair.ours}.norm.{kind}"] = theirs[f"{pair.theirs}.group_norm.{kind}"]
            rows = [theirs[f"{pair.theirs}.{name}.{kind}"] for name in ("to_q", "to_k", "to_v")]
            name = f"{pair.ours}.qkv.{kind}"
            ours[name] = _joined(rows, pair.attention).reshape(wanted[name].shape)
            name = f"{pair.ours}.proj_out.{kind}"
            ours[name] = theirs[f"{pair.theirs}.to_out.0.{kind}"].reshape(wanted[name].shape)
    return ours


def _split(rows: Tensor, block: AttentionBlock) -> tuple[Tensor, ...]:
    """The rows of queries, keys and values, (C, ...) each, of `rows` (3 C, ...)."""
    if block.use_new_attention_order:
        return rows.chunk(3)
    parts = rows.unflatten(0, (block.num_heads, 3, -1)).unbind(1)
    return tuple(part.flatten(0, 1) for part in parts)


def _joined(parts: list[Tensor], block: AttentionBlock) -> Tensor:
    if block.use_new_attention_order:
        return torch.cat(parts)
    heads = [part.unflatten(0, (block.num_heads, -1)) for part in parts]
    return torch.stack(heads, dim=1).flatten(0, 2)


def _matrix(rows: Tensor) -> Tensor:
    """Weights (out, in, 1) as (out, in), and biases (out,) as they are."""
    return rows.squeeze(2) if rows.dim() == 3 else rows


def pairs(net: UNet) -> Iterator[Pair]:
    """Every layer of `net` that has weights, here and there."""
    for ours, theirs in ENDS.items():
        if ours != "label_emb" or net.num_classes is not None:
            yield Pair(ours, theirs)
    for position, theirs in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        name = f"middle_block.{position}"
        yield from _layer(net.get_submodule(name), name, f"mid_block.{theirs}")
    depth, levels = net.init_args["num_res_blocks"], len(net.init_args["channel_mult"])
    for level in range(levels):
        first = 1 + level * (depth + 1)
        for index in range(depth):
            yield from _stage(net, f"input_blocks.{first + index}", f"down_blocks.{level}", index)
        if level < levels - 1:
            name = f"input_blocks.{first + depth}.0"
            theirs = f"down_blocks.{level}.downsamplers.0"
            yield from _layer(net.get_submodule(name), name, theirs)
    for position in range(levels):
        for index in range(depth + 1):
            name = f"output_blocks.{position * (depth + 1) + index}"
            yield from _stage(net, name, f"up_blocks.{position}", index)


def _stage(net: UNet, ours: str, theirs: str, index: int) -> Iterator[Pair]:
    """A residual block, attention if there is any, and an upsampler at the end of a level."""
    for position, layer in enumerate(net.get_submodule(ours).children()):
        if isinstance(layer, AttentionBlock):
            target = f"attentions.{index}"
        else:
            target = "upsamplers.0" if position else f"resnets.{index}"
        yield from _layer(layer, f"{ours}.{position}", f"{theirs}.{target}")


def _layer(layer: nn.Module, ours: str, theirs: str) -> Iterator[Pair]:
    if isinstance(layer, AttentionBlock):
        yield Pair(ours, theirs, layer)
    elif isinstance(layer, ResBlock):
        for inner, name in RESIDUAL.items():
            if any(True for _ in layer.get_submodule(inner).parameters()):
                yield Pair(f"{ours}.{inner}", f"{theirs}.{name}")
    elif isinstance(layer, Downsample):
        yield Pair(f"{ours}.op", f"{theirs}.conv")
    elif isinstance(layer, Upsample):
        yield Pair(f"{ours}.conv", f"{theirs}.conv")
