"""Lesions drawn into images, all of a batch at once.

    x' = x + a (c - x)         in the k pixels that come first by a distance d, 0 < a <= 1

A stroke grows from its middle along a bent line, a blot from its centre, both in a colour c of the
image's own strokes; a gap grows from a pixel of a stroke, and c is the paper. k is 2 to 6% of the
pixels. What is paper and what is stroke each image says itself (`strokes`).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.strokes import BLANK, ink_of, paper_of, strokes_of

NONE, STROKE, BLOT, MISSING = range(4)
KINDS = ("none", "stroke", "blot", "missing")
"""What the numbers of kinds mean."""

DRAWS = 12
"""Random numbers that a lesion takes."""

LEAST_SHARE, MOST_SHARE = 0.02, 0.06
"""Of the pixels, that a lesion changes."""

MOST_MISSING = 0.6
"""Share of the strokes' pixels that a gap may take."""

CHUNK = 2**21
"""Pixels that are worked on at a time."""


def plant(images: Tensor, kinds: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """(images with lesions, what kinds these are) of uint8 images (B, C, H, W).

    kinds: (B,) of `KINDS`, of which NONE leaves an image alone. numbers: of [0, 1), (B, DRAWS); an
    image and its numbers decide its lesion. An image with too little to take away gets a stroke
    instead of a gap.
    """
    size = max(1, CHUNK // images[0, 0].numel())
    images, kinds = images.clone(), kinds.clone()
    for place in kinds.nonzero().flatten().split(size):
        images[place], kinds[place] = _planted(images[place], kinds[place], numbers[place])
    return images, kinds


def _planted(images: Tensor, kinds: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    u = [column[:, None, None] for column in numbers.double().unbind(1)]
    x = images.double()
    paper = paper_of(x)
    ink = ink_of(x, paper)
    peak = ink.amax(dim=(1, 2), keepdim=True)
    strokes = strokes_of(ink)
    least = (peak / 32).clamp(min=2)
    order = ink.flatten(1).argsort(dim=1, descending=True, stable=True)
    bold = strokes.sum(dim=(1, 2))[:, None]
    colour = _colour(x, paper, order, bold, peak, u[0])
    depth = (colour - paper).abs().amax(dim=1)

    low, high = counts(x.shape[2] * x.shape[3])
    wanted = low + (u[1] * (high - low + 1)).floor()
    room = MOST_MISSING * (ink >= 2 * least).sum(dim=(1, 2), keepdim=True)
    kinds = torch.where((kinds == MISSING) & (room.flatten() < low), STROKE, kinds)
    kind = kinds[:, None, None]
    wanted = torch.where(kind == MISSING, torch.minimum(wanted, room.floor()), wanted)

    box, width = _box(strokes), x.shape[3]
    middle = box[0] + u[2] * (box[1] - box[0]), box[2] + u[3] * (box[3] - box[2])
    pixel = order.gather(1, (u[4][:, 0] * bold).long())[:, :, None]
    gap = pixel // width, pixel % width
    row, column = (torch.where(kind == MISSING, *pair) for pair in zip(gap, middle))
    line, profile = _line(middle, box, strokes, u[5:8])
    distance = torch.where(kind == STROKE, line, _blot((row, column), x.shape[2:], u[8:12]))
    profile = torch.where(kind == STROKE, profile, 1.0)
    colour = torch.where(kind[:, None] == MISSING, paper, colour)
    # At its end a lesion is half as strong; there too it changes a pixel by `least`.
    changes = 0.5 * profile * (colour - x).abs().amax(dim=1) >= least
    fits = changes & ((kind == MISSING) | (ink < depth))
    chosen, end = _first(distance.where(fits, math.inf), wanted)
    strength = profile * (end - distance + 0.5).clamp(0.5, 1.0)
    painted = (x + strength[:, None] * (colour - x)).round().clamp(0, 255)
    return torch.where(chosen[:, None], painted, x).to(torch.uint8), kinds


def counts(pixels: int) -> tuple[int, int]:
    """The least and the most pixels that a lesion changes, at least one."""
    low = max(1, math.ceil(LEAST_SHARE * pixels))
    return low, max(low, math.floor(MOST_SHARE * pixels))


def _colour(
    x: Tensor, paper: Tensor, order: Tensor, bold: Tensor, peak: Tensor, u: Tensor
) -> Tensor:
    """A colour (B, C, 1, 1) of the bolder half of the strokes; of a blank image, its opposite.

    order: the pixels (B, H W) by their ink, the `bold` (B, 1) first of which are strokes.
    """
    rank = (u[:, 0] * bold / 2).long()
    place = order.gather(1, rank)[:, None].expand(-1, x.shape[1], -1)
    found = x.flatten(2).gather(2, place)[..., None]
    opposite = torch.where(paper < 128, 255.0, 0.0).to(x)
    return torch.where(peak[:, None] < BLANK, opposite, found)


def _line(
    middle: tuple[Tensor, Tensor], box: tuple[Tensor, ...], strokes: Tensor, u: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """(how late a growing line reaches a pixel, how much of the pixel it covers), (B, H, W)."""
    height, width = strokes.shape[1:]
    side, (top, bottom, left, right) = min(height, width), box
    down, across = _grid(middle, (height, width))
    turn, bend = math.pi * u[0], (2 * u[1] - 1) * 4 / (3 * side)
    along = across * turn.cos() + down * turn.sin()
    aside = (down * turn.cos() - across * turn.sin() - bend * along**2).abs()
    half = 0.5 * (0.8 + 0.5 * u[2]) * _thickness(strokes)
    rows = torch.arange(height).to(u[0])[:, None]
    columns = torch.arange(width).to(u[0])[None, :]
    outside = (rows < top - 2) | (rows > bottom + 2) | (columns < left - 2) | (columns > right + 2)
    # It leaves the digit's box only where it has no room in it, and then gets thicker.
    late = along.abs() + outside * 2 * side + (aside > half + 0.25) * (4 + aside) * side
    return late, (half - aside + 0.5).clamp(0.25, 1.0)


def _thickness(strokes: Tensor) -> Tensor:
    """How thick strokes are, (B, 1, 1) pixels: twice their area by the length of their outline."""
    edges = F.pad(strokes.double(), (1, 1, 1, 1))
    outline = edges.diff(dim=1).abs().sum(dim=(1, 2)) + edges.diff(dim=2).abs().sum(dim=(1, 2))
    thick = 2 * strokes.sum(dim=(1, 2)) / outline
    return thick.clamp(1.5, max(1.5, min(strokes.shape[1:]) / 8))[:, None, None]


def _box(strokes: Tensor) -> tuple[Tensor, ...]:
    """First and last row, first and last column of strokes (B, H, W), each (B, 1, 1)."""
    ends = []
    for side in (strokes.any(dim=2), strokes.any(dim=1)):
        last = side.shape[1] - 1 - side.flip(1).int().argmax(dim=1)
        ends += [side.int().argmax(dim=1), last]
    return tuple(end[:, None, None].double() for end in ends)


def _blot(centre: tuple[Tensor, Tensor], size: torch.Size, u: list[Tensor]) -> Tensor:
    """How late a growing blot reaches a pixel, (B, H, W): its outline has two and three waves."""
    down, across = _grid(centre, (size[0], size[1]))
    angle = torch.atan2(down, across)
    two = 0.3 * u[0] * (2 * angle + 2 * math.pi * u[1]).cos()
    three = 0.2 * u[2] * (3 * angle + 2 * math.pi * u[3]).cos()
    return torch.hypot(down, across) / (1 + two + three)


def _grid(centre: tuple[Tensor, Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixels down and to the right of a `centre`, (B, H, 1) and (B, 1, W)."""
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in size)
    return rows[:, None] - centre[0], columns[None, :] - centre[1]


def _first(distance: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """(the `wanted` nearest pixels (B, H, W), as far as there are any, the distance of the last).

    `distance` is infinite where a pixel cannot be taken.
    """
    # Rounded: the last bits of a cosine depend on its place in the batch.
    flat = (distance.flatten(1) * 2**16).round() / 2**16
    values, order = flat.sort(dim=1, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1]).repeat(len(order), 1)
    )
    chosen = (rank < wanted[:, 0]) & flat.isfinite()
    last = (chosen.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    return chosen.view_as(distance), values.gather(1, last)[:, :, None]
