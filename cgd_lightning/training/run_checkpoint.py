"""best.ckpt and last.ckpt of a run."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor


class RunCheckpoint(ModelCheckpoint):
    """Keeps the best weights by a held-out value, and the last ones: after every validation, at the
    end, and when told to stop.

    monitor, mode: the value that decides what is best, and whether its "min" or "max".
    """

    resumes = ("best_model_score",)
    """All of its state that a continued run reads; the paths follow from the run's folder."""

    def __init__(self, monitor: str = "val/loss", mode: str = "min") -> None:
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode,
            save_last=True,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"best_model_score": self.best_model_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        score, best = state_dict.get("best_model_score"), Path(str(self.dirpath)) / "best.ckpt"
        if isinstance(score, Tensor) and best.is_file():
            self.best_model_score = self.current_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = str(best)
            self.best_k_models = {str(best): score}

    @property
    def last(self) -> Path | None:
        """last.ckpt, if it is there."""
        last = Path(str(self.dirpath)) / "last.ckpt"
        return last if self.dirpath is not None and last.is_file() else None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self.save_last_once(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save_last_once(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, SIGTERMException):
            self.save_last_once(trainer)

    def save_last_once(self, trainer: Trainer) -> None:
        """Write last.ckpt, unless nothing was trained since it was written."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
