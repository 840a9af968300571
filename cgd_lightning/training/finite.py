"""A loss that is not finite stops the run.

It does so before a checkpoint could be overwritten with what the loss did to the weights.
"""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from cgd_lightning.training.run_checkpoint import RunCheckpoint


class FiniteLoss(Callback):
    """Keeps the first step with a loss that is not finite, on the device.

    It is read now and then, and before every checkpoint.
    """

    def __init__(self) -> None:
        self.first_bad: Tensor | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if self.first_bad is None:
            self.first_bad = torch.full((), torch.inf, device=loss.device)
        step = torch.where(loss.detach().isfinite(), torch.inf, trainer.global_step)
        self.first_bad = torch.minimum(self.first_bad, step)
        if trainer.global_step % trainer.log_every_n_steps == 0:
            self.check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The moving average, and what a layer learned of batches, no training step has used."""
        held_out = trainer.callback_metrics.get("val/loss")
        if held_out is not None and not trainer.sanity_checking and not held_out.isfinite():
            raise FloatingPointError(self.said("held-out loss", trainer.global_step, trainer))

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """This process alone looks, and waits for no other.

        One that was told to stop may be the only one here.
        """
        if self.first_bad is not None:
            self.stop_if_bad(self.first_bad, trainer)

    def check(self, trainer: Trainer) -> None:
        """Raises FloatingPointError, on all processes alike, if a loss was not finite."""
        if self.first_bad is not None:
            self.stop_if_bad(-trainer.strategy.reduce(-self.first_bad, reduce_op="max"), trainer)

    def stop_if_bad(self, first_bad: Tensor, trainer: Trainer) -> None:
        """Raises FloatingPointError if there is a first bad step."""
        first = first_bad.item()
        if first != torch.inf:
            raise FloatingPointError(self.said("loss", first, trainer))

    def said(self, what: str, step: float, trainer: Trainer) -> str:
        """What is said of a loss that is not finite."""
        files = (own.last for own in trainer.checkpoint_callbacks if isinstance(own, RunCheckpoint))
        last = next(files, None)
        kept = f"{last} is from before, and is kept" if last else "no checkpoint was written"
        return (
            f"the {what} is not finite at step {step:.0f}; {kept}. Try a smaller learning rate, "
            "gradient clipping (--trainer.gradient_clip_val 1) or --trainer.precision 32-true"
        )
