"""A strip: the same noise under rising scale of the guidance, a row a sample."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from cgd_lightning.evaluation.plots import grid
from cgd_lightning.files import whole


def write_strip(
    path: Path, scales: Sequence[float], rows: Sequence[Tensor], names: Sequence[str]
) -> None:
    """Write a picture of the same noise, a row a sample, under rising scale from left to right.

    rows: (S, C, H, W) uint8 of each sample at S scales. names: what each sample was asked to show.
    """
    picture = grid(rows, names)
    head = 16  # room for the scales above the columns
    canvas = Image.new(picture.mode, (picture.width, picture.height + head), "white")
    canvas.paste(picture, (0, head))
    draw = ImageDraw.Draw(canvas)
    left = picture.width - len(scales) * _step(rows[0])
    draw.text((8, head // 2 + 1), "scale", fill="black", anchor="lm")
    for number, scale in enumerate(scales):
        middle = left + (number + 0.5) * _step(rows[0])
        draw.text((middle, head // 2 + 1), f"{scale:g}", fill="black", anchor="mm")
    with whole(path) as file:
        canvas.save(file, format="PNG")


def _step(row: Tensor, cell: int = 48) -> int:
    """How far apart `grid` puts its columns."""
    _, _, height, width = row.shape
    return width * max(1, -(-cell // max(height, width))) + 2
