"""Pictures of what an edit changed: two maps of each image, and a sheet of some.

The signed map is white where nothing changed, red where it became brighter, blue where darker; the
absolute one holds the change itself, as grey levels. Both are means over the channels.
"""

import torch
from PIL import Image
from torch import Tensor

from cgd_lightning.evaluation.plots import grid
from cgd_lightning.sampling.edits import Edits

COLUMNS, BLOCKS = 10, 3
"""Images beside each other in a sheet, and how often below each other."""

GREYS = 255


def full_colour(edits: Edits) -> float:
    """The change, in grey levels, that is shown in full colour: the largest of all images."""
    return max(float(_mean(edits.difference).abs().max()), 1.0)


def signed_maps(difference: Tensor, full: float) -> Tensor:
    """Maps, uint8 (N, 3, H, W), of `difference`, int16 (N, C, H, W); `full` is in full colour."""
    share = (_mean(difference) / full).clamp(-1, 1)
    paler = 1 - share.abs()
    red, blue = torch.where(share < 0, paler, 1.0), torch.where(share > 0, paler, 1.0)
    return (GREYS * torch.cat([red, paler, blue], dim=1)).round().to(torch.uint8)


def absolute_maps(difference: Tensor) -> Tensor:
    """Mean absolute change over the channels of `difference`, int16 (N, C, H, W).

    Grey levels, uint8 (N, 1, H, W).
    """
    return difference.float().abs().mean(dim=1, keepdim=True).round().to(torch.uint8)


def _mean(difference: Tensor) -> Tensor:
    return difference.float().mean(dim=1, keepdim=True)


def sheet(edits: Edits, heading: str) -> Image.Image:
    """Images spread over all, each above what became of it and above the signed map."""
    count = len(edits.originals)
    shown = torch.linspace(0, count - 1, min(count, COLUMNS * BLOCKS)).long()
    full, rows = full_colour(edits), []
    for part in shown.split(COLUMNS):
        images = (edits.originals[part], edits.edited[part])
        rows += [image.expand(-1, 3, -1, -1) for image in images]
        rows.append(signed_maps(edits.difference[part], full))
    names = ["original", "edited", "difference"] * (len(rows) // 3)
    return grid(rows, names, heading)
