"""A strip tells which column has which scale, and keeps the text that it is given."""

from pathlib import Path

import torch
from PIL.PngImagePlugin import PngImageFile

from cgd_lightning.evaluation.plots import Block, sheet
from cgd_lightning.evaluation.strip import write_strip
from cgd_lightning.sampling.caption import png_text


def test_a_strip_has_its_scales_above_the_columns_and_a_text(tmp_path: Path) -> None:
    rows = [torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8) for _ in range(2)]
    write_strip(tmp_path / "s.png", [0, 0.5, 12], rows, ["a", "b"], png_text({"seed": "4"}))
    columns = [
        Block([row[k : k + 1] for row in rows], head) for k, head in enumerate(("0", "0.5", "12"))
    ]
    wanted = sheet(columns, ["a", "b"], corner="scale", apart=0)
    with PngImageFile(tmp_path / "s.png") as made:
        assert made.text == {"seed": "4"}
        assert made.tobytes() == wanted.tobytes()
        left = made.width - 3 * 50
        cell = made.crop((left + 50, made.height - 50, left + 98, made.height - 2)).resize(
            (8, 8), 0
        )
        assert cell.tobytes() == rows[1][1].numpy().tobytes()
