"""What names and shapes of weights tell of a network of guided-diffusion or improved-diffusion.

Both name their layers in one scheme, and so do `UNet` and `EncoderUNet` (`networks.blocks`). The
tensors of the downward path show widths, levels and attention, the rest shows the other settings:

    input_blocks.N.0.op              a new level begins behind this stage
    input_blocks.N.0, .N.1.qkv       a residual block, attention
    output_blocks.N.1 or 2 once more the last stage of a level; residual blocks change the size

How many heads attention has, and in which order they lie, no shape tells.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Shapes = Mapping[str, tuple[int, ...]]

GROUPS = 32
"""Groups of every normalisation, a constant of guided-diffusion."""

FAMILY = re.compile(
    r"(time_embed\.[02]|label_emb|out\.\d(\.\w+)?|middle_block\.\d(\.\w+)*"
    r"|(input_blocks|output_blocks)\.\d{1,4}\.\d(\.\w+)*)\.\w+",
    re.ASCII,
)
"""The names of the family, roughly."""


class UnknownKeysError(ValueError):
    """Weights that fit no network of the family. The message begins with the first key."""


class AmbiguousKeysError(ValueError):
    """Weights that fit several networks. options: of which one has to be given."""

    def __init__(self, option: str, values: Sequence[int]) -> None:
        super().__init__(f"{option} may be {' or '.join(map(str, values))}")
        self.option = option


@dataclass(frozen=True)
class Told:
    """What the keys tell. network: arguments of `UNet` or `EncoderUNet`, as far as they are told.

    image_size: of an attention pool, which knows its positions.
    """

    kind: Literal["diffusion", "classifier"]
    network: dict[str, Any]
    image_size: int | None = None

    @property
    def unit(self) -> int:
        """The image size is a multiple of this."""
        return 2 ** (len(self.network["channel_mult"]) - 1)

    @property
    def upsampler(self) -> bool:
        """Whether the network reads a small image beside the noisy one: of 1 or 3 channels both."""
        return self.kind == "diffusion" and self.network["in_channels"] in (2, 6)

    @property
    def image_channels(self) -> int:
        """Channels of an image."""
        channels: int = self.network["in_channels"]
        return channels // 2 if self.upsampler else channels

    @property
    def attention_channels(self) -> list[int]:
        """The channels of every level with attention; the middle always has it."""
        width, mult = self.network["model_channels"], self.network["channel_mult"]
        rates = self.network["attention_resolutions"]
        levels = [
            level for level in range(len(mult)) if 2**level in rates or level + 1 == len(mult)
        ]
        return sorted({int(mult[level] * width) for level in levels})


@dataclass(frozen=True)
class _Stage:
    """A stage of a path. width: channels that it puts out. up: whether it ends in upsampling."""

    width: int
    residual: bool
    attention: bool = False
    up: bool = False


def read_keys(shapes: Shapes, num_res_blocks: int | None = None) -> Told:
    """What `shapes`, of the tensors of a state_dict by name, tell of the network.

    num_res_blocks: blocks per level, if somebody knows. Raises UnknownKeysError for a state_dict
    that is not of the family, and AmbiguousKeysError if blocks per level have to be given.
    """
    for name in shapes:
        if not FAMILY.fullmatch(name):
            raise UnknownKeysError(f"{name} is no tensor of such a network")
    channels = _shape(shapes, "time_embed.0.weight", 2)[1]
    in_channels = _shape(shapes, "input_blocks.0.0.weight", 4)[1]
    downward, upward = _stages(shapes, "input_blocks"), _stages(shapes, "output_blocks")
    depth, changing = _depth(downward, upward, num_res_blocks)
    levels = [
        [stage for stage in downward[start : start + depth] if stage is not None]
        for start in range(1, len(downward), depth + 1)
    ]
    widths = [level[0].width if level else 0 for level in levels]
    for width in widths:
        if width < 1 or width % GROUPS:
            raise UnknownKeysError(
                f"input_blocks has a level of {width} channels, no multiple of {GROUPS}"
            )
    emb, out = _shape(shapes, "input_blocks.1.0.emb_layers.1.weight", 2)[0], widths[0]
    network: dict[str, Any] = {
        "in_channels": in_channels,
        "model_channels": channels,
        "num_res_blocks": depth,
        "attention_resolutions": [2**i for i, level in enumerate(levels) if level[0].attention],
        "channel_mult": [_factor(width, channels) for width in widths],
        "conv_resample": changing != "without",
        "use_scale_shift_norm": emb == 2 * out,
        "resblock_updown": changing == "residual",
    }
    if upward:
        labels = "label_emb.weight"
        network["out_channels"] = _shape(shapes, "out.2.weight", 4)[0]
        network["num_classes"] = _shape(shapes, labels, 2)[0] if labels in shapes else None
        return Told("diffusion", network)
    pool, classes, side = _pool(shapes)
    network |= {"out_channels": classes, "pool": pool}
    size = None if side is None else side * 2 ** (len(widths) - 1)
    return Told("classifier", network, size)


def first_misfit(shapes: Shapes, wanted: Shapes) -> str | None:
    """The first tensor of `shapes` that is not as in `wanted`, or the first that is missing."""
    for name, shape in shapes.items():
        if name not in wanted:
            return f"{name} fits no such network"
        if shape != wanted[name]:
            return f"{name} is of shape {list(shape)}, and {list(wanted[name])} was wanted"
    missing = next((name for name in wanted if name not in shapes), None)
    return missing and f"{missing} is missing"


def _shape(shapes: Shapes, name: str, rank: int) -> tuple[int, ...]:
    if name not in shapes:
        raise UnknownKeysError(f"{name} is missing")
    if len(shapes[name]) != rank or 0 in shapes[name]:
        raise UnknownKeysError(f"{name} is of shape {list(shapes[name])}")
    return shapes[name]


def _stages(shapes: Shapes, path: str) -> list[_Stage | None]:
    """The stages of a path in their order; None for one without weights."""
    found: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if name.startswith(f"{path}."):
            _, number, rest = name.split(".", 2)
            if int(number) > len(shapes):
                raise UnknownKeysError(f"{name} is out of order")
            found.setdefault(int(number), {})[rest] = shape
    return [_stage(found.get(n)) for n in range(max(found, default=-1) + 1)]


def _stage(layers: Shapes | None) -> _Stage | None:
    if layers is None:
        return None
    weights = ("0.in_layers.2.weight", "0.op.weight", "0.weight")
    shape = next((layers[name] for name in weights if layers.get(name)), (0,))
    ups = (f"{place}.{name}" for place in (1, 2) for name in ("conv.weight", "in_layers.2.weight"))
    return _Stage(
        shape[0],
        residual="0.in_layers.2.weight" in layers,
        attention="1.qkv.weight" in layers,
        up=any(name in layers for name in ups),
    )


Changing = Literal["residual", "convolution", "without"]


def _depth(
    downward: Sequence[_Stage | None], upward: Sequence[_Stage | None], given: int | None
) -> tuple[int, Changing]:
    """(residual blocks per level, what changes the size between levels).

    The stages of the downward path are a convolution, and in each level as many residual blocks,
    with a change of size between two levels; so their number is levels * (blocks + 1).
    """
    plain = [n for n, stage in enumerate(downward) if n and (stage is None or not stage.residual)]
    if plain:
        convolves = downward[plain[0]] is not None
        return max(plain[0] - 1, 1), "convolution" if convolves else "without"
    fitting = [
        depth
        for depth in range(1, len(downward))
        if len(downward) % (depth + 1) == 0 and _fits(downward, upward, depth)
    ]
    if not fitting:
        raise UnknownKeysError("input_blocks: its stages do not fall into levels")
    if given is not None and given in fitting:
        fitting = [given]
    if len(fitting) > 1:
        raise AmbiguousKeysError("num_res_blocks", fitting)
    single = len(downward) == fitting[0] + 1
    return fitting[0], "convolution" if single else "residual"


def _fits(downward: Sequence[_Stage | None], upward: Sequence[_Stage | None], depth: int) -> bool:
    """Whether levels of so many residual blocks, with one that halves behind each, are possible."""
    stages = [stage for stage in downward if stage is not None]
    for start in range(1, len(stages), depth + 1):
        level = stages[start : start + depth]
        halving = stages[start + depth : start + depth + 1]
        if len({(stage.width, stage.attention) for stage in level}) != 1 or any(
            stage.attention or stage.width != level[0].width for stage in halving
        ):
            return False
    ups = [n for n, stage in enumerate(upward) if stage is not None and stage.up]
    return not upward or ups == list(range(depth, len(upward) - 1, depth + 1))


def _factor(width: int, channels: int) -> float:
    """The factor that makes `width` of `channels`, as int(factor * channels)."""
    if width % channels == 0:
        return width // channels
    factor = width / channels
    return factor if int(factor * channels) == width else math.nextafter(factor, math.inf)


def _pool(shapes: Shapes) -> tuple[str, int, int | None]:
    """(pool of a classifier, number of classes, side of an attention pool)."""
    if "out.2.positional_embedding" in shapes:
        places = _shape(shapes, "out.2.positional_embedding", 2)[1]
        side = math.isqrt(places - 1)
        if side**2 != places - 1 or side == 0:
            raise UnknownKeysError(f"out.2.positional_embedding has {places} places, no square + 1")
        return "attention", _shape(shapes, "out.2.c_proj.weight", 3)[0], side
    if "out.3.weight" not in shapes:
        return "spatial", _shape(shapes, "out.2.weight", 2)[0], None
    rank = 2 if "out.1.weight" in shapes else 4
    classes = _shape(shapes, "out.3.weight", rank)[0]
    return "spatial_v2" if rank == 2 else "adaptive", classes, None
