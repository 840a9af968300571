"""The configuration of a run, kept beside its checkpoints and in each of them."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from cgd_lightning.files import whole


class StoredConfig(Callback):
    """Writes `text` to config.yaml in `folder`, unless one is there, and into every checkpoint.

    Args:
        text: the configuration of a training, as YAML.
        folder: folder of the version of a run.
    """

    def __init__(self, text: str, folder: Path) -> None:
        self.text, self.folder = text, folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (self.folder / "config.yaml").exists():
            with whole(self.folder / "config.yaml") as unfinished:
                unfinished.write_text(self.text, encoding="utf-8")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["cgd_config"] = self.text
