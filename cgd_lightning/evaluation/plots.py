"""Pictures of pictures."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

import torch
from PIL import Image, ImageDraw
from torch import Tensor


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


def grid(rows: Sequence[Tensor], names: Sequence[str], cell: int = 48) -> Image.Image:
    """A picture with a row for each of `rows`, uint8 (n, C, H, W), under its name.

    Small images are enlarged to about `cell` pixels.
    """
    _, channels, height, width = rows[0].shape
    zoom = max(1, -(-cell // max(height, width)))
    step_y, step_x, gap = height * zoom + 2, width * zoom + 2, 8
    margin = (
        gap
        + max(int(ImageDraw.Draw(Image.new("L", (1, 1))).textlength(name)) for name in names)
        + gap
    )
    canvas = Image.new(
        "L" if channels == 1 else "RGB",
        (margin + step_x * max(map(len, rows)), step_y * len(rows) + 2),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    for y, (row, name) in enumerate(zip(rows, names, strict=True)):
        draw.text((gap, 2 + y * step_y + step_y // 2), name, fill="black", anchor="lm")
        for x, image in enumerate(row):
            picture = to_picture(image).resize(
                (width * zoom, height * zoom), Image.Resampling.NEAREST
            )
            canvas.paste(picture, (margin + x * step_x, 2 + y * step_y))
    return canvas


def stack(images: Sequence[Image.Image]) -> Tensor:
    """uint8 (N, C, H, W) from PIL images of one size and mode."""
    tensors = [
        torch.frombuffer(bytearray(i.tobytes()), dtype=torch.uint8).reshape(i.height, i.width, -1)
        for i in images
    ]
    return torch.stack(tensors).permute(0, 3, 1, 2)
