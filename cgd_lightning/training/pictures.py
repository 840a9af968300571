"""The grid of guided samples: a row a class, unguided ones left of a gap, guided ones right.

Both are made from the same noise, and words above them tell which is which.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from PIL.Image import Image
from torch import Tensor

from cgd_lightning.evaluation.plots import Block, sheet
from cgd_lightning.files import whole
from cgd_lightning.sampling.caption import Caption, png_text, row_name
from cgd_lightning.sampling.request import Request
from cgd_lightning.training.notices import Notices

ROWS = 20
"""At most so many classes have a row in the picture."""


@dataclass(frozen=True)
class Layout:
    """Which images of which classes are made, shown and measured.

    class_names: of all classes, the first of which have a row. columns, unguided_columns: of the
    grid. num_metric_samples: images that are measured, of all classes in turn.
    """

    class_names: tuple[str, ...]
    columns: int
    unguided_columns: int
    num_metric_samples: int

    @property
    def rows(self) -> int:
        """Rows of the grid."""
        return min(len(self.class_names), ROWS)

    @property
    def measured(self) -> slice:
        """Where in `guided` the images are that are measured."""
        # With a row for each class the images in the grid are the first of those.
        start = 0 if self.rows == len(self.class_names) else self.rows * self.columns
        return slice(start, start + self.num_metric_samples)

    @property
    def guided(self) -> list[int]:
        """The class of each guided image: column by column, and what is measured beyond these."""
        shown, measured = self.shown(self.columns), self.measured
        more = range(len(shown) - measured.start, measured.stop - measured.start)
        return shown + [i % len(self.class_names) for i in more]

    @property
    def labels(self) -> Tensor:
        """The class of each image that is measured, (N,) int64."""
        return torch.tensor(self.guided[self.measured], dtype=torch.int64)

    def shown(self, columns: int) -> list[int]:
        """The class of each image in so many columns, column by column.

        So the same place is the same noise, whatever is made with it.
        """
        return list(range(self.rows)) * columns

    def picture(
        self, plain: Tensor | None, guided: Tensor | None, scale: float = 1.0, told: bool = False
    ) -> Image:
        """The grid of the uint8 images `plain` and `guided` (N, C, H, W), and what they are.

        It is that of one of them alone where there is no other. scale: of the guidance. told:
        whether the unguided ones were asked for a class, too; rows that nobody asked for one have
        no name.
        """
        names = self.class_names[: self.rows]
        shown = guided is None or self.unguided_columns > 0
        blocks = []
        if plain is not None and shown:
            blocks.append(Block(list(self.by_class(plain)), "unguided"))
        if guided is not None:
            right = self.by_class(guided[: self.rows * self.columns])
            blocks.append(Block(list(right), f"scale {scale:g}"))
        asked = told or guided is not None
        return sheet(blocks, [row_name(n, k) if asked else "" for k, n in enumerate(names)])

    def by_class(self, images: Tensor) -> Tensor:
        """(rows, columns, C, H, W) of images that lie column by column."""
        return images.reshape(-1, self.rows, *images.shape[1:]).transpose(0, 1)


def show(
    picture: Image, folder: Path, trainer: Trainer, notices: Notices, request: Request
) -> None:
    """Write the picture of this step into `samples` in `folder`.

    Those loggers that take pictures get it, too. request: how its samples were asked for, which the
    text of the PNG file says.
    """
    samples = folder / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    with whole(samples / f"step_{trainer.global_step:07}.png") as unfinished:
        text = png_text({"step": f"{trainer.global_step}", **Caption.of(request).facts})
        picture.save(unfinished, format="png", pnginfo=text)
    for logger in trainer.loggers:
        try:
            _hand_to(logger, picture, trainer.global_step)
        except (
            Exception
        ) as error:  # its network may fail in its own ways: no reason to lose a training
            name = type(logger).__name__
            notices.once(f"{name} did not take the picture: {error}", trainer)


def _hand_to(logger: Any, picture: Image, step: int) -> None:
    # As PIL to Weights & Biases, which would read floats as black.
    if hasattr(logger, "log_image"):
        logger.log_image(key="guided/samples", images=[picture], step=step)
    elif hasattr(logger.experiment, "add_image"):
        pixels = np.asarray(picture.convert("RGB"))
        logger.experiment.add_image("guided/samples", pixels, step, dataformats="HWC")
