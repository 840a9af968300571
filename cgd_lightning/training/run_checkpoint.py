"""best.ckpt and last.ckpt of a run."""

from pathlib import Path
from typing import Any
from weakref import proxy

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor


class RunCheckpoint(ModelCheckpoint):
    """Keeps the best weights by a held-out value, and the last ones.

    It saves after every validation, at the end, and when told to stop.

    Args:
        monitor: the value that decides what is best, as it is logged.
        mode: whether its "min" or "max" is best.
        dirpath: the folder of both files; without one, Lightning chooses.
    """

    resumes = ("best_model_score",)
    """All of its state that a continued run reads; the paths follow from the run's folder."""

    def __init__(
        self, monitor: str = "val/loss", mode: str = "min", dirpath: str | Path | None = None
    ) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
        self.folder = dirpath  # as it was given, for messages
        self.saved_step = 0  # before the first one there is nothing to save

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
        folder = self.folder or self.dirpath
        last = Path(str(folder)) / "last.ckpt"
        return last if folder is not None and last.is_file() else None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self.saved_step:
            super().on_validation_end(trainer, pl_module)  # the best
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
        trial = trainer.sanity_checking or trainer.fast_dev_run  # type: ignore[attr-defined]
        if trainer.state.fn != "fit" or trial or trainer.global_step == self.saved_step:
            return
        self.last_model_path = str(Path(str(self.dirpath)) / "last.ckpt")
        trainer.save_checkpoint(self.last_model_path, weights_only=False)
        self.saved_step = trainer.global_step
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(proxy(self))
