"""best.ckpt and last.ckpt of a run."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException


class RunCheckpoint(ModelCheckpoint):
    """Keeps the best weights by a held-out value, and the last ones: after every validation, at the end, and when told to stop.

    monitor, mode: the value that decides what is best, and whether its "min" or "max".
    """

    def __init__(self, monitor: str = "val/loss", mode: str = "min") -> None:
        super().__init__(
            filename="best", monitor=monitor, mode=mode, save_last=True, save_on_train_epoch_end=False, enable_version_counter=False
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self.save_last_once(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save_last_once(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            self.save_last_once(trainer)

    def save_last_once(self, trainer: Trainer) -> None:
        """Write last.ckpt, unless nothing was trained since it was written."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
