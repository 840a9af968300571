"""While samples are made a bar moves below that of the training, where somebody looks at one."""

import io
import sys
import time

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import Tensor

from cgd_lightning.training.sampling_bar import sampling_bar
from cgd_lightning.training.step_bar import StepBar


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Waits(Callback):
    """Counts to 3 on a bar at the end of the first step, as sampling does."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        with sampling_bar(trainer, 3) as progress:
            for _step in range(3):
                time.sleep(0.11)  # oftener than that tqdm draws nothing
                progress()
            bar = trainer.progress_bar_callback
            if isinstance(bar, RichProgressBar) and bar.progress is not None:
                self.rich = bar.progress.tasks[-1]
        if isinstance(bar, RichProgressBar) and bar.progress is not None:
            assert self.rich not in bar.progress.tasks


class One(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        loss: Tensor = self.layer(batch).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trained(*callbacks: Callback, bar: bool = True) -> Waits:
    waits = Waits()
    options = {"accelerator": "cpu", "devices": 1, "max_steps": 1, "logger": False}
    Trainer(
        **options,
        callbacks=[*callbacks, waits],
        enable_progress_bar=bar,
        enable_checkpointing=False,
        enable_model_summary=False,
    ).fit(One(), torch.utils.data.DataLoader(torch.ones(2, 1), batch_size=2))
    return waits


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgd_lightning.training.sampling_bar.DELAY", 0.0)


def test_a_terminal_shows_the_steps_of_the_samplers(
    monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    trained(StepBar())
    assert "sampling" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_a_log_file_and_a_training_without_a_bar_have_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    trained(StepBar())
    assert "sampling" not in log.getvalue()
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    trained(bar=False)
    assert "sampling" not in terminal.getvalue()


def test_richs_bar_has_a_task_of_it() -> None:
    task = trained(RichProgressBar()).rich
    assert (task.description, task.completed, task.total) == ("sampling", 3, 3)
