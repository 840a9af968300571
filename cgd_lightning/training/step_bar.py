"""A progress bar over the steps of a whole run, where Lightning's begins anew with every epoch."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from cgd_lightning.training.cost import total_steps


class StepBar(TQDMProgressBar):
    """Steps done of all, time left, rate, and the last values that were logged for the bar."""

    def __init__(self, refresh_rate: int = 5) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def init_train_tqdm(self) -> Tqdm:
        return Tqdm(
            desc="training",
            unit="step",
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=0.1,
            total=total_steps(self.trainer),
            initial=self.trainer.global_step,  # so that the rate is of this part of the run alone
        )

    def init_validation_tqdm(self) -> Tqdm:
        hidden = self.is_disabled or self.trainer.state.fn == "fit"
        return Tqdm(
            desc="validating",
            unit="batch",
            disable=hidden,
            dynamic_ncols=True,
            file=sys.stderr,
            leave=False,
        )

    def init_sanity_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """The bar goes on."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if (
            trainer.global_step % self.refresh_rate == 0
            or trainer.global_step == self.train_progress_bar.total
        ):
            self.train_progress_bar.update(trainer.global_step - self.train_progress_bar.n)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing: epochs are not steps."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        return {
            name: value
            for name, value in super().get_metrics(trainer, pl_module).items()
            if name != "v_num"
        }
