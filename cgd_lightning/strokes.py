"""What is paper and what is stroke in an image: the image says it itself.

The paper is the median of the border, the ink of a pixel is how far it is from the paper, and
strokes are what has at least half of the most ink. So it makes no difference whether ink is darker
than paper, or of a colour.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BLANK = 16
"""Grey levels of ink; where no pixel has so much, the image has no strokes."""


def paper_of(x: Tensor) -> Tensor:
    """The colour (B, C, 1, 1) of the paper of images `x`, floats (B, C, H, W)."""
    sides = [x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]]
    return torch.cat(sides, dim=2).median(dim=2).values[:, :, None, None]


def ink_of(x: Tensor, paper: Tensor) -> Tensor:
    """How many grey levels a pixel is from the paper, in its furthest channel: (B, H, W)."""
    return (x - paper).abs().amax(dim=1)


def strokes_of(ink: Tensor) -> Tensor:
    """Which pixels are strokes, bool (B, H, W); all those of the most ink in a blank image."""
    peak = ink.amax(dim=(1, 2), keepdim=True)
    return ink >= torch.where(peak < BLANK, peak, peak / 2)


def dilated_strokes(images: Tensor, pixels: int) -> Tensor:
    """Which pixels of uint8 images (N, C, H, W) are strokes or near them: bool (N, H, W).

    pixels: how far, in rows and in columns.
    """
    x = images.float()
    strokes = strokes_of(ink_of(x, paper_of(x))).float()[:, None]
    return F.max_pool2d(strokes, 2 * pixels + 1, stride=1, padding=pixels)[:, 0] > 0
