"""The U-Net of the library diffusers, `UNet2DModel`, as a network of ours.

It is built by that library, which is an extra, and only imported when one is built: weights that
were trained with it give the very numbers that they give there.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from cgd_lightning.errors import InputError, one_line
from cgd_lightning.networks.blocks import check_image_size
from cgd_lightning.networks.network import Network

DOWN_BLOCKS = (
    "DownBlock2D",
    "AttnDownBlock2D",
    "ResnetDownsampleBlock2D",
    "SkipDownBlock2D",
    "AttnSkipDownBlock2D",
)
UP_BLOCKS = (
    "UpBlock2D",
    "AttnUpBlock2D",
    "ResnetUpsampleBlock2D",
    "SkipUpBlock2D",
    "AttnSkipUpBlock2D",
)
"""The blocks that `UNet2DModel` can be made of without a text to attend to."""

WORDS = {
    "mid_block_type": ("UNetMidBlock2D", None),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "act_fn": ("silu", "swish", "mish", "gelu", "relu"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
}
"""What the settings that are words may say."""

SIZES = (
    *("in_channels", "out_channels", "num_classes", "layers_per_block", "time_embedding_dim"),
    *("attention_head_dim", "norm_num_groups", "attn_norm_num_groups"),
)
"""The settings that count something: 1 or more, where they are given."""


class DiffusersUNet(Network):
    """Noisy images (B, in_channels, H, W) -> a prediction (B, out_channels, H, W).

    Arguments are those of `UNet2DModel` under its own names, except for `image_size` (its
    sample_size) and `num_classes` (its num_class_embeds). Needs the package diffusers.

    Args:
        image_size: height and width in pixels, given by the data; a multiple of 2^(levels - 1),
            otherwise InputError.
        out_channels: channels of the prediction, given by the data: those of an image, or twice as
            many where the variance is learned.
        center_input_sample: whether images come in [0, 1] and are moved to [-1, 1] first.
        time_embedding_dim: features of the timestep's embedding; none for four times the channels
            of the first level.
        freq_shift: what is taken off the number of frequencies of the timestep, 0 or 1.
        flip_sin_to_cos: whether cosines stand before sines.
        down_block_types: the kind of each level downwards, from the full size on.
        mid_block_type: UNetMidBlock2D, or none.
        up_block_types: the kind of each level upwards, from the smallest size on.
        block_out_channels: channels of the levels, from the full size downwards.
        layers_per_block: residual blocks per level downwards (one more upwards).
        mid_block_scale_factor: what the outputs of the middle's blocks are divided by.
        downsample_padding: 1, or 0 to pad to the right and below only.
        downsample_type: how a level with attention halves the size: conv or resnet.
        upsample_type: how a level with attention doubles the size: conv or resnet.
        dropout: probability that a feature inside a residual block is dropped, in training.
        act_fn: the non-linearity: silu, swish, mish, gelu or relu.
        attention_head_dim: channels of an attention head; none for one head.
        norm_num_groups: number of groups that channels are normalised in.
        attn_norm_num_groups: that of the attention in the middle; none for norm_num_groups where
            the embedding is added, and for no normalisation where it scales and shifts.
        norm_eps: what is added to the variance in normalisation.
        resnet_time_scale_shift: default, the embedding is added to the features; scale_shift, it
            scales and shifts them.
        add_attention: whether the middle has attention.
        num_classes: number of labels; none for an unconditional network.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        center_input_sample: bool = False,
        time_embedding_dim: int | None = None,
        freq_shift: int = 0,
        flip_sin_to_cos: bool = True,
        down_block_types: Sequence[str] = (
            "DownBlock2D",
            "AttnDownBlock2D",
            "AttnDownBlock2D",
            "AttnDownBlock2D",
        ),
        mid_block_type: str | None = "UNetMidBlock2D",
        up_block_types: Sequence[str] = (
            "AttnUpBlock2D",
            "AttnUpBlock2D",
            "AttnUpBlock2D",
            "UpBlock2D",
        ),
        block_out_channels: Sequence[int] = (224, 448, 672, 896),
        layers_per_block: int = 2,
        mid_block_scale_factor: float = 1.0,
        downsample_padding: int = 1,
        downsample_type: str = "conv",
        upsample_type: str = "conv",
        dropout: float = 0.0,
        act_fn: str = "silu",
        attention_head_dim: int | None = 8,
        norm_num_groups: int | None = 32,
        attn_norm_num_groups: int | None = None,
        norm_eps: float = 1e-5,
        resnet_time_scale_shift: str = "default",
        add_attention: bool = True,
        num_classes: int | None = None,
    ) -> None:
        given = dict(locals())
        settings = {name: given[name] for name in SETTINGS}
        super().__init__()
        check_settings({**settings, "num_classes": num_classes})
        check_image_size(image_size, 1, len(block_out_channels))
        self.num_classes = num_classes
        self.unet = build_unet(
            {**settings, "sample_size": image_size, "num_class_embeds": num_classes}
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The prediction (B, out_channels, H, W) for images `x` (B, in_channels, H, W).

        t: timesteps (B,), float32. Labels `y` (B,), int64, are given if and only if the network has
        classes; otherwise InputError.
        """
        if (y is None) != (self.num_classes is None):
            came = "no labels y" if y is None else "labels y given"
            raise InputError(f"{came}: this network knows {self.num_classes or 'no'} classes")
        x = x.to(next(self.parameters()).dtype)
        out: Tensor = self.unet(x, t, class_labels=y, return_dict=False)[0]
        return out


SETTINGS = tuple(
    name
    for name in inspect.signature(DiffusersUNet.__init__).parameters
    if name not in ("self", "image_size", "num_classes")
)
"""The arguments that `UNet2DModel` has under the same names."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """InputError for settings that no `UNet2DModel` has, or only ones that do something else.

    settings: all of `SETTINGS`, and `num_classes`, each of the type of its argument.
    """
    check_levels(settings, DOWN_BLOCKS, UP_BLOCKS)
    check_words(settings, WORDS)
    check_sizes(settings, SIZES)
    _check_heads(settings)
    _check_numbers(settings)


def check_levels(settings: Mapping[str, Any], down: Sequence[str], up: Sequence[str]) -> None:
    """InputError unless there is one of the blocks `down` and one of `up` for each level."""
    widths = settings["block_out_channels"]
    if not widths:
        raise InputError("block_out_channels: no levels; wanted the channels of one or more")
    for name, known in (("down_block_types", down), ("up_block_types", up)):
        blocks = [block.removeprefix("UNetRes") for block in settings[name]]
        unknown = next((block for block in blocks if block not in known), None)
        if unknown is not None:
            raise InputError(f"{name} {unknown[:60]!a}: known blocks are {', '.join(known)}")
        if len(blocks) != len(widths):
            raise InputError(
                f"{name}: {len(blocks)} blocks for {len(widths)} levels of block_out_channels"
            )


def check_words(settings: Mapping[str, Any], known: Mapping[str, Sequence[str | None]]) -> None:
    """InputError unless each setting in `known` is one of its words."""
    for name, words in known.items():
        if settings[name] not in words:
            came = ascii(settings[name])[:60]
            raise InputError(f"{name} {came}: wanted one of {', '.join(map(str, words))}")


def check_sizes(settings: Mapping[str, Any], names: Sequence[str]) -> None:
    """InputError unless these settings, and the channels of each level, are 1 or more, or None."""
    sizes = {name: settings[name] for name in names if settings[name] is not None}
    for name, size in {**sizes, "block_out_channels": min(settings["block_out_channels"])}.items():
        if size < 1:
            raise InputError(f"{name} {size}: wanted 1 or more")


def _check_heads(settings: Mapping[str, Any]) -> None:
    if (settings["attention_head_dim"] or 0) > min(_attended(settings), default=math.inf):
        raise InputError(
            f"attention_head_dim {settings['attention_head_dim']}: more than the channels of a "
            "level with attention"
        )


def _attended(settings: Mapping[str, Any]) -> Iterator[int]:
    """The channels of every level with attention."""
    widths = settings["block_out_channels"]
    for down, up, width in zip(
        settings["down_block_types"], reversed(settings["up_block_types"]), widths, strict=True
    ):
        if "Attn" in down or "Attn" in up:
            yield width
    if settings["mid_block_type"] is not None and settings["add_attention"]:
        yield widths[-1]


def _check_numbers(settings: Mapping[str, Any]) -> None:
    for name in ("freq_shift", "downsample_padding"):
        if settings[name] not in (0, 1):
            raise InputError(f"{name} {settings[name]}: wanted 0 or 1")
    for name in ("norm_eps", "mid_block_scale_factor"):
        if not 0 < settings[name] < math.inf:
            raise InputError(f"{name} {settings[name]}: wanted a number above 0")
    if not 0 <= settings["dropout"] < 1:
        raise InputError(f"dropout {settings['dropout']}: wanted 0 or more, and below 1")
    first = settings["block_out_channels"][0]
    if first // 2 <= settings["freq_shift"]:
        raise InputError(
            f"block_out_channels {first} of the first level: wanted "
            f"{2 * settings['freq_shift'] + 2} or more, to embed timesteps with freq_shift "
            f"{settings['freq_shift']}"
        )


def library() -> Any:
    """The package diffusers. Raises InputError if it is not installed."""
    try:
        return import_module("diffusers")
    except ImportError as error:
        raise InputError(
            f"diffusers cannot be imported, {one_line(error)}: pip install "
            '"cgd-lightning[diffusers]"'
        ) from error


def build_unet(settings: dict[str, Any]) -> nn.Module:
    """The `UNet2DModel` with these settings.

    Raises InputError if it refuses them, or if diffusers is not installed.
    """
    settings = dict(settings)
    # Younger than the oldest diffusers that will do; left out, they are this.
    for name, default in (("mid_block_type", "UNetMidBlock2D"), ("time_embedding_dim", None)):
        if settings.get(name, default) == default:
            settings.pop(name, None)
    return build_model("UNet2DModel", settings)


def build_model(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """The model of diffusers of this name, with these settings.

    Raises InputError if it refuses them, or if diffusers is not installed.
    """
    cls = getattr(library(), name)
    try:
        model: nn.Module = cls(**settings)
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{name} refuses these settings: {one_line(error)}") from error
    return model
