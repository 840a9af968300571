"""The configuration of a run, kept beside its checkpoints and in each of them."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from cgd_lightning.files import whole


class StoredConfig(Callback):
    """Writes `text` to config.yaml in `folder`, and into every checkpoint.

    A config.yaml that is there is left, or replaced once the training goes on.

    Args:
        text: the configuration of a training, as YAML.
        folder: folder of the version of a run.
        replaces: whether the text takes the place of that which is there.
    """

    def __init__(self, text: str, folder: Path, replaces: bool = False) -> None:
        self.text, self.folder, self.replaces = text, folder, replaces

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (self.folder / "config.yaml").exists():
            self._write()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Its checkpoint has been read by now, and fits these settings.
        if trainer.is_global_zero and self.replaces:
            self._write()

    def _write(self) -> None:
        with whole(self.folder / "config.yaml") as unfinished:
            unfinished.write_text(self.text, encoding="utf-8")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["cgd_config"] = self.text
