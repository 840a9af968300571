"""A training of four steps, whose checkpoint is a good one and which may go on from another."""

import copy
import io
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import RunningStage, TrainerFn, TrainerStatus
from torch import Tensor

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.networks import MLP
from cgd_lightning.training.finite import FiniteLoss
from cgd_lightning.training.guided_sampler import GuidedSampler
from cgd_lightning.training.modules import DiffusionModule
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from cgd_lightning.training.run_files import RunFiles
from cgd_lightning.training.run_folder import check_training
from cgd_lightning.training.stored_config import StoredConfig

NAMES, SHAPE = ("a", "b"), (1, 4, 4)


class Dots(NoisingDataModule):
    """Eight images of noise, which take no time to make."""

    name, class_names, image_shape = "dots", NAMES, SHAPE

    def split(self, name: str) -> ImageTensors:
        images = torch.arange(128, dtype=torch.uint8).reshape(8, *SHAPE)
        return ImageTensors(images, torch.arange(8) % 2)


class Training:
    """A run that has ended after STEPS steps; its last checkpoint is at `file`."""

    STEPS = 4

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        torch.manual_seed(0)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        checkpoint = RunCheckpoint(dirpath=folder)
        callbacks = [checkpoint, GuidedSampler(every_n_validations=0), FiniteLoss()]
        self.module = DiffusionModule(partial(MLP, width=8, depth=1))
        self.data = Dots(batch_size=4)
        config = StoredConfig("data:\n  class_path: Digits\n", folder)
        self.trainer = Trainer(
            default_root_dir=str(folder),
            accelerator="cpu",
            max_steps=self.STEPS,
            callbacks=[*callbacks, config],
            plugins=[RunFiles()],
            **quiet,
        )
        with redirect_stderr(io.StringIO()):
            self.trainer.fit(self.module, self.data)
        self.file = folder / "last.ckpt"
        self._good = self._state()

    def go_on(self, file: Path) -> None:
        """Take on the state in `file` as `cgd fit --ckpt_path` does, and optimise one step more."""
        self._restore(copy.deepcopy(self._good))
        self.trainer.ckpt_path = str(file)
        self.trainer.state.fn, self.trainer.state.status = TrainerFn.FITTING, TrainerStatus.RUNNING
        self.trainer.state.stage = RunningStage.TRAINING
        check_training(file, self.module.kind)
        connector = self.trainer._checkpoint_connector
        connector._restore_modules_and_callbacks(str(file))
        self.module.on_fit_start()
        connector.restore_training_state()
        connector.resume_end()
        for parameter in self.module.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        self.trainer.optimizers[0].step()
        self.trainer.lr_scheduler_configs[0].scheduler.step()
        for name, value in self.module.state_dict().items():
            if isinstance(value, Tensor) and not bool(value.isfinite().all()):
                raise AssertionError(f"{name} is not finite after a step without gradient")

    def _state(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "module": self.module.state_dict(),
                "optimizer": self.trainer.optimizers[0].state_dict(),
                "schedule": self.trainer.lr_scheduler_configs[0].scheduler.state_dict(),
                "loop": self.trainer.fit_loop.state_dict(),
            }
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.trainer.optimizers[0].load_state_dict(state["optimizer"])
        self.trainer.lr_scheduler_configs[0].scheduler.load_state_dict(state["schedule"])
        self.trainer.fit_loop.load_state_dict(state["loop"])
