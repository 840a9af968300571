"""A strip: the same noise under rising scale of the guidance, a row a sample."""

from collections.abc import Sequence
from pathlib import Path

from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from cgd_lightning.evaluation.plots import Block, sheet
from cgd_lightning.files import whole


def write_strip(
    path: Path,
    scales: Sequence[float],
    rows: Sequence[Tensor],
    names: Sequence[str],
    text: PngInfo | None = None,
) -> None:
    """Write a picture of the same noise, a row a sample, under rising scale from left to right.

    rows: (S, C, H, W) uint8 of each sample at S scales. names: what each sample was asked to show.
    text: chunks of the PNG file.
    """
    columns = [
        Block([row[place : place + 1] for row in rows], f"{scale:g}")
        for place, scale in enumerate(scales)
    ]
    picture = sheet(columns, names, corner="scale", apart=0)
    with whole(path) as file:
        picture.save(file, format="PNG", pnginfo=text)
