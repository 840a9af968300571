"""Metrics that a LightningModule logs."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from tests.evaluation.test_states import FAKE, REAL, WIDTH, feed, numbers


class Watched(LightningModule):
    """A module that measures fixed features in its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.frechet, self.manifold = FrechetDistance(WIDTH), PrecisionRecall(WIDTH, k=2)

    def validation_step(self, batch: tuple[Tensor, Tensor], *_: Any) -> None:
        for metric in (self.frechet, self.manifold):
            metric.update(batch[0], real=True)
            metric.update(batch[1], real=False)
        self.log("fid_lite", self.frechet)

    def on_validation_epoch_end(self) -> None:
        precision, recall = self.manifold.compute()
        self.log_dict({"precision": precision, "recall": recall})
        self.manifold.reset()

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("devices", [1, 2])
def test_lightning_logs_the_number_of_all_images(devices: int, tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_fork" if devices > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    data = DataLoader(TensorDataset(REAL[:40], FAKE[:40]), batch_size=10)
    module = Watched()
    for _ in range(2):  # the second time shows that the states were reset
        trainer.validate(module, data, verbose=False)
        logged = [trainer.callback_metrics[name].item() for name in ("precision", "recall")]
        frechet, manifold = FrechetDistance(WIDTH), PrecisionRecall(WIDTH, k=2)
        for metric in (frechet, manifold):
            feed(metric, slice(0, 40), slice(0, 40))
        assert logged == pytest.approx(numbers(manifold), rel=1e-6)
        assert trainer.callback_metrics["fid_lite"].item() == pytest.approx(numbers(frechet)[0])
