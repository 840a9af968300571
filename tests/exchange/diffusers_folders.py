"""Small folders of diffusers, written by diffusers itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

SMALL: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
}


def their_unet(**options: Any) -> Any:
    """A `UNet2DModel` with random weights, in eval mode."""
    torch.manual_seed(0)
    return diffusers.UNet2DModel(**{**SMALL, **options}).eval()


def pipeline_folder(
    folder: Path, scheduler: Any = None, safe: bool = True, **options: Any
) -> tuple[Path, Any]:
    """A folder of a `DDPMPipeline`, or of that of a `DDIMScheduler`, and its network."""
    scheduler = scheduler or diffusers.DDPMScheduler()
    ddim = isinstance(scheduler, diffusers.DDIMScheduler)
    pipeline = diffusers.DDIMPipeline if ddim else diffusers.DDPMPipeline
    unet = their_unet(**options)
    pipeline(unet=unet, scheduler=scheduler).save_pretrained(folder, safe_serialization=safe)
    return folder, unet


def change(path: Path, *without: str, **settings: Any) -> None:
    """Change settings in a file of JSON, and take those `without` away."""
    kept = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({name: kept[name] for name in kept if name not in without}))
