"""The 15 files that openai/guided-diffusion published in July 2021, by name.

What the keys of a file do not tell is taken from here; the flags are those of its README. The
classifiers are listed with the schedule of the diffusion models that they guide there: the noise
that they see is that model's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

from cgd_lightning.networks import EncoderUNet, UNet

MULT: dict[int, Sequence[float]] = {
    64: [1, 2, 3, 4],
    128: [1, 1, 2, 3, 4],
    256: [1, 1, 2, 2, 4, 4],
    512: [0.5, 1, 1, 2, 2, 4, 4],
}
"""Factors of width by image size, as guided-diffusion chooses them."""

CLASSES = 1000
"""Of ImageNet."""


def sampled(learned_variance: bool, timesteps: int = 1000) -> str:
    """The flags with which `cgd sample` walks as the README of guided-diffusion does, 250 steps."""
    variance = "learned" if learned_variance else "fixed_large"
    return f"--sampler DDPM --sampler.spacing {min(250, timesteps)} --sampler.variance {variance}"


def guided(scale: float, learned_variance: bool = True, timesteps: int = 1000) -> str:
    """The flags with which `cgd sample` guides as the README of guided-diffusion does."""
    walk = sampled(learned_variance, timesteps)
    return f"--scale {scale:g} --clamp inside {walk} --sampler.mean_shift true"


@dataclass(frozen=True)
class Published:
    """A published file.

    told: arguments of the network that the keys tell as well. settings: what they do not tell, by
    the names of the options of `cgd convert`. dataset: what it was trained on. scale: with which
    the README guides it, the first one there.
    """

    kind: Literal["diffusion", "classifier"]
    told: Mapping[str, Any]
    settings: Mapping[str, Any]
    dataset: str = "imagenet"
    scale: float | None = None


def _diffusion(
    size: int,
    channels: int,
    attention: tuple[int, ...] = (32, 16, 8),
    *,
    num_heads: int | None = None,
    classes: int | None = CLASSES,
    dropout: float = 0.0,
    schedule: str = "linear",
    order: str = "legacy",
    blocks: int = 2,
    small_size: int | None = None,
    mult: Sequence[float] | None = None,
    dataset: str = "imagenet",
    scale: float | None = None,
) -> Published:
    """A diffusion model; with `small_size` an upsampler.

    attention: sizes in pixels. Heads are of 64 channels without `num_heads`.
    """
    told = {
        **_encoder(size, channels, attention, blocks, mult),
        "in_channels": 3 if small_size is None else 6,
        "out_channels": 6,
        "num_classes": classes,
    }
    settings = {
        "image_size": size,
        **({} if small_size is None else {"small_size": small_size}),
        **({"num_head_channels": 64} if num_heads is None else {"num_heads": num_heads}),
        "attention_order": order,
        "schedule": schedule,
        "timesteps": 1000,
        "prediction": "eps",
        "dropout": dropout,
    }
    return Published("diffusion", told, settings, dataset, scale)


def _classifier(size: int, blocks: int, schedule: str = "linear") -> Published:
    told = {
        **_encoder(size, 128, (32, 16, 8), blocks),
        "in_channels": 3,
        "out_channels": CLASSES,
        "pool": "attention",
    }
    settings = {
        "image_size": size,
        "num_head_channels": 64,
        "attention_order": "legacy",
        "schedule": schedule,
        "timesteps": 1000,
    }
    return Published("classifier", told, settings)


def _encoder(
    size: int,
    channels: int,
    attention: tuple[int, ...],
    blocks: int,
    mult: Sequence[float] | None = None,
) -> dict[str, Any]:
    return {
        "model_channels": channels,
        "num_res_blocks": blocks,
        "attention_resolutions": [size // pixels for pixels in attention],
        "channel_mult": mult or MULT[size],
        "conv_resample": True,
        "use_scale_shift_norm": True,
        "resblock_updown": True,
    }


def _lsun(name: str, dropout: float = 0.1) -> Published:
    return _diffusion(256, 256, classes=None, dropout=dropout, dataset=f"lsun-{name}")


PUBLISHED: dict[str, Published] = {
    "64x64_diffusion": _diffusion(
        64, 192, blocks=3, dropout=0.1, schedule="cosine", order="new", scale=1.0
    ),
    "128x128_diffusion": _diffusion(128, 256, num_heads=4, scale=0.5),
    "256x256_diffusion": _diffusion(256, 256, scale=1.0),
    "256x256_diffusion_uncond": _diffusion(256, 256, classes=None, scale=10.0),
    "512x512_diffusion": _diffusion(512, 256, scale=4.0),
    "64_256_upsampler": _diffusion(256, 192, num_heads=4, small_size=64),
    "128_512_upsampler": _diffusion(512, 192, (32, 16), small_size=128, mult=MULT[256]),
    "lsun_bedroom": _lsun("bedroom"),
    "lsun_cat": _lsun("cat"),
    "lsun_horse": _lsun("horse"),
    "lsun_horse_nodropout": _lsun("horse", dropout=0.0),
    "64x64_classifier": _classifier(64, 4, "cosine"),
    "128x128_classifier": _classifier(128, 2),
    "256x256_classifier": _classifier(256, 2),
    "512x512_classifier": _classifier(512, 2),
}


@cache
def published_shapes(name: str) -> Mapping[str, tuple[int, ...]]:
    """The tensors of a published file by name, and their shapes."""
    published = PUBLISHED[name]
    network = UNet if published.kind == "diffusion" else EncoderUNet
    with torch.device("meta"):
        made = network(**published.told, image_size=published.settings["image_size"])
    return {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}


def nearest(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The published file that has most in common with tensors of these shapes; None if none has.

    Names decide, and where these are alike, shapes.
    """
    near, most = None, (0.0, 0)
    for name in PUBLISHED:
        known = published_shapes(name)
        shared = shapes.keys() & known.keys()
        same = sum(shapes[key] == known[key] for key in shared)
        likeness = len(shared) / len(shapes.keys() | known.keys()), same
        if likeness > most:
            near, most = name, likeness
    return near
