"""Files in the key scheme of guided-diffusion with random weights, and the networks in them.

The networks are built from the flags of its README, written down here once more and not read from
the table that is tested.
"""

from pathlib import Path
from typing import Any

import torch

from cgd_lightning.networks import EncoderUNet, UNet

MULT = {
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
COMMON = {"in_channels": 3, "resblock_updown": True, "use_scale_shift_norm": True}
LSUN = {
    "image_size": 256,
    "num_head_channels": 64,
    "attention_resolutions": (8, 16, 32),
    "out_channels": 6,
}
IMAGENET = {**LSUN, "num_classes": 1000}
# name: (published width, small width, arguments)
FLAGS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "64x64_diffusion": (
        *(192, 64),
        {
            **IMAGENET,
            "image_size": 64,
            "num_res_blocks": 3,
            "attention_resolutions": (2, 4, 8),
            "dropout": 0.1,
            "use_new_attention_order": True,
        },
    ),
    "128x128_diffusion": (
        *(256, 32),
        {
            "image_size": 128,
            "out_channels": 6,
            "num_heads": 4,
            "attention_resolutions": (4, 8, 16),
            "num_classes": 1000,
        },
    ),
    "256x256_diffusion": (256, 32, IMAGENET),
    "256x256_diffusion_uncond": (256, 32, LSUN),
    "512x512_diffusion": (
        *(256, 64),
        {**IMAGENET, "image_size": 512, "attention_resolutions": (16, 32, 64)},
    ),
    "64_256_upsampler": (
        *(192, 32),
        {
            **IMAGENET,
            "in_channels": 6,
            "num_head_channels": -1,
            "num_heads": 4,
        },
    ),
    "128_512_upsampler": (
        *(192, 32),
        {
            **IMAGENET,
            "in_channels": 6,
            "image_size": 512,
            "channel_mult": MULT[256],
            "attention_resolutions": (16, 32),
        },
    ),
    "lsun_bedroom": (256, 32, {**LSUN, "dropout": 0.1}),
    "lsun_cat": (256, 32, {**LSUN, "dropout": 0.1}),
    "lsun_horse": (256, 32, {**LSUN, "dropout": 0.1}),
    "lsun_horse_nodropout": (256, 32, LSUN),
}
for size, depth, width in ((64, 4, 64), (128, 2, 64), (256, 2, 32), (512, 2, 64)):
    FLAGS[f"{size}x{size}_classifier"] = (
        *(128, width),
        {
            "image_size": size,
            "out_channels": 1000,
            "num_res_blocks": depth,
            "num_head_channels": 64,
            "attention_resolutions": tuple(size // pixels for pixels in (32, 16, 8)),
            "pool": "attention",
        },
    )
UPSAMPLERS = [name for name in FLAGS if "upsampler" in name]


def network(name: str, *, real: bool = False) -> UNet | EncoderUNet:
    """The network of a published file, as wide as it is (on the meta device) or small."""
    wide, narrow, flags = FLAGS[name]
    arguments = {"channel_mult": MULT[flags["image_size"]], "model_channels": narrow, **COMMON}
    arguments |= flags
    cls = EncoderUNet if "classifier" in name else UNet
    if not real:
        return with_random_weights(cls(**arguments))
    with torch.device("meta"):
        return cls(**{**arguments, "model_channels": wide})


def with_random_weights(net: Any) -> Any:
    """`net` in eval mode, its weights of about the size that keeps features as they are."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 100
        torch.nn.init.normal_(parameter, std=fan**-0.5)
    return net.eval()


def shapes(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def saved(net: torch.nn.Module, file: Path, **options: Any) -> Path:
    """The weights of `net` alone in `file`."""
    torch.save(net.state_dict(), file, **options)
    return file


SMALL = {
    "image_size": 16,
    "in_channels": 3,
    "out_channels": 6,
    "model_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": (1, 2),
    "attention_resolutions": (2,),
}
GIVEN = {
    "image_size": 16,
    "num_heads": 2,
    "attention_order": "legacy",
    "schedule": "cosine",
    "timesteps": 1000,
    "prediction": "eps",
}
"""What has to be said of a network of `SMALL`."""


def small(**changes: Any) -> UNet:
    """A small diffusion model."""
    return with_random_weights(UNet(**{**SMALL, "num_heads": 2, **changes}))


def small_classifier(**changes: Any) -> EncoderUNet:
    """A small classifier of 5 classes."""
    return with_random_weights(
        EncoderUNet(**{**SMALL, "num_heads": 2, "out_channels": 5, **changes})
    )
