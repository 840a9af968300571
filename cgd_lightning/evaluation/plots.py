"""Pictures of pictures."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from cgd_lightning.evaluation.lettering import Lettering, readable


def to_picture(image: Tensor) -> Image.Image:
    """A PIL image of a uint8 tensor (C, H, W) with 1 or 3 channels."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


L = TypeVar("L", bound=Hashable)


def grid_places(labels: Sequence[L], columns: int = 10, rows: int = 20) -> dict[L, list[int]]:
    """Which images a grid shows, {label: indices}.

    A row a label, in order of first appearance, and the first `columns` of each.
    """
    places: dict[L, list[int]] = {}
    for index, label in enumerate(labels):
        if label in places or len(places) < rows:
            row = places.setdefault(label, [])
            if len(row) < columns:
                row.append(index)
    return places


@dataclass(frozen=True)
class Block:
    """Columns of a grid that belong together: rows of uint8 (n, C, H, W), and words above them."""

    rows: Sequence[Tensor]
    heading: str = ""

    @property
    def columns(self) -> int:
        """Of the longest row."""
        return max(map(len, self.rows))


def grid(
    rows: Sequence[Tensor], names: Sequence[str], heading: str = "", cell: int = 48
) -> Image.Image:
    """A picture with a row for each of `rows`, uint8 (n, C, H, W), under its name.

    Small images are enlarged to about `cell` pixels. heading: words above all columns.
    """
    return sheet([Block(rows, heading)], names, cell=cell)


def sheet(
    blocks: Sequence[Block],
    names: Sequence[str],
    corner: str = "",
    apart: float = 1.0,
    cell: int = 48,
) -> Image.Image:
    """A picture of `blocks`, which have the same rows, side by side, and the names of the rows.

    corner: words left of the headings. apart: widths of an image between blocks. Letters grow with
    the images. A heading that is wider than its block moves the next one away; a name that is too
    wide takes several lines.
    """
    _, channels, height, width = blocks[0].rows[0].shape
    zoom = max(1, -(-cell // max(height, width)))
    step_y, step_x = height * zoom + 2, width * zoom + 2
    letters = Lettering(min(32, max(13, max(height, width) * zoom // 4)))
    gap = letters.size * 2 // 3
    called = [letters.wrapped(name, 16 * letters.size, step_y // letters.height) for name in names]
    words = [readable(block.heading) for block in blocks]
    margin = max(map(letters.width, [corner, *chain(*called)]))
    margin = gap + margin + gap if margin else 2
    head = letters.height + gap // 2 if any(words) or corner else 0
    lefts = [margin]
    for block, text in zip(blocks, words, strict=True):
        images = block.columns * step_x
        last = len(lefts) == len(blocks)
        between = 0 if last else round(apart * step_x)
        lefts.append(lefts[-1] + max(images + between, letters.width(text) + (2 if last else gap)))
    canvas = Image.new(
        "L" if channels == 1 else "RGB", (lefts[-1], head + step_y * len(names) + 2), "white"
    )
    draw = ImageDraw.Draw(canvas)
    letters.draw(draw, gap, (head + 2) / 2, corner)
    for y, lines in enumerate(called):
        middle = head + 2 + y * step_y + (step_y - 2) / 2
        for place, line in enumerate(lines):
            shift = (place - (len(lines) - 1) / 2) * letters.height
            letters.draw(draw, gap, middle + shift, line)
    for left, block, text in zip(lefts, blocks, words):
        free = max(0, block.columns * step_x - 2 - letters.width(text))
        letters.draw(draw, left + free // 2, (head + 2) / 2, text)
        for y, row in enumerate(block.rows):
            for x, image in enumerate(row):
                picture = to_picture(image).resize(
                    (width * zoom, height * zoom), Image.Resampling.NEAREST
                )
                canvas.paste(picture, (left + x * step_x, head + 2 + y * step_y))
    return canvas


def stack(images: Sequence[Image.Image]) -> Tensor:
    """uint8 (N, C, H, W) from PIL images of one size and mode."""
    tensors = [
        torch.frombuffer(bytearray(i.tobytes()), dtype=torch.uint8).reshape(i.height, i.width, -1)
        for i in images
    ]
    return torch.stack(tensors).permute(0, 3, 1, 2)
