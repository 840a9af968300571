"""Small folders of edits, written as `cgd edit` writes them, and of true masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cgd_lightning.evaluation.plots import to_picture
from cgd_lightning.evaluation.reference import hash_of

NAMES = ("a", "b", "c")


def pair(count: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Originals, and edited images of which the upper rows are brighter."""
    generator = torch.Generator().manual_seed(seed)
    originals = torch.randint(0, 200, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    edited = originals.clone()
    edited[:, :, :3] += 40
    return originals, edited


def record_of(originals: Tensor, edited: Tensor) -> dict[str, Any]:
    """What edits.json says: image i shows class i and becomes the next."""
    return {
        "made_by": "cgd-lightning 0.1.0",
        "scale": "0 is off",
        "options": {"images": "scans"},
        "images": {
            "count": len(originals),
            "hash": hash_of(originals),
            "edited_hash": hash_of(edited),
            "masks_hash": None,
            "full_colour": 40.0,
            "class_names": list(NAMES),
        },
        "summary": {"n": len(originals)},
        "edits": [_entry(index) for index in range(len(originals))],
    }


def _entry(index: int) -> dict[str, Any]:
    label, to = NAMES[index % 3], NAMES[(index + 1) % 3]
    said = {
        "before": {"class": label, "p": 0.9, "p_to": 0.05},
        "after": {"class": to if index else label, "p": 0.8, "p_to": 0.8},
    }
    return {
        "source": f"{index}.png",
        "label": label,
        "to": to,
        "guide": said,
        "judge": None,
        "distance": 15.0,
        "changed": 0.375,
    }


def write_edits_folder(
    folder: Path, originals: Tensor, edited: Tensor, kind: str = "png", **changes: Any
) -> Path:
    """A whole folder; changes: entries of edits.json that are otherwise."""
    folder.mkdir(parents=True)
    record = record_of(originals, edited) | changes
    (folder / "edits.json").write_text(json.dumps(record), encoding="utf-8")
    sides = {"originals": originals, "edited": edited}
    if kind == "npz":
        arrays = {name: side.permute(0, 2, 3, 1).numpy() for name, side in sides.items()}
        np.savez(folder / "edits.npz", **{n: np.ascontiguousarray(a) for n, a in arrays.items()})
        return folder
    for name, side in sides.items():
        (folder / name).mkdir()
        for index, image in enumerate(side):
            to_picture(image).save(folder / name / f"{index:04}-{index}.png")
    return folder


def write_masks(folder: Path, masks: Tensor) -> Path:
    """Masks, bool (N, 1, H, W), by the names that the images had."""
    folder.mkdir(parents=True)
    for index, mask in enumerate(masks):
        to_picture(mask.to(torch.uint8) * 255).save(folder / f"{index}.png")
    return folder
