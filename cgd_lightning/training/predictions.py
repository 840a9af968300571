"""Class probabilities of a data set's images as a CSV table."""

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.files import whole


class ProbabilityTable(Callback):
    """Collects (index, labels, probabilities) from `predict_step`, and writes a row an image.

    The columns are index, timestep, class and p(class).

    Args:
        path: file that is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: list[tuple[Tensor, ...]] = []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.parts.append(tuple(part.cpu() for part in outputs))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "predict" or not self.parts:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, NoisingDataModule)
        rank = f".{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = self.path.with_name(self.path.stem + rank + self.path.suffix)
        index, labels, probabilities = (torch.cat(column) for column in zip(*self.parts))
        with whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(
                ["index", "timestep", "class", *(f"p({name})" for name in data.class_names)]
            )
            for i, label, row in zip(index.tolist(), labels.tolist(), probabilities.tolist()):
                table.writerow(
                    [i, data.predict_timestep, data.class_names[label], *(f"{p:.6f}" for p in row)]
                )
        print(path)
