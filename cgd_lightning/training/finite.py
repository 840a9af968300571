"""What is not finite in a training stops the run: data, loss, gradient or weights.

It does so before a checkpoint could be overwritten with what it did to the weights.
"""

from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.training.run_checkpoint import RunCheckpoint

NEVER = 2**62
"""The first bad step, where there is none."""

DATA, LOSS, GRADIENT = range(3)

SMALLER_STEPS = (
    "Try a smaller learning rate, gradient clipping (--trainer.gradient_clip_val 1) or "
    "--trainer.precision 32-true"
)


class FiniteLoss(Callback):
    """Keeps the first step with data, a loss or a gradient that is not finite, on the device.

    It is read now and then, and before every checkpoint.
    """

    def __init__(self) -> None:
        self.first_bad: Tensor | None = None
        """A `Found` as int64 (7,), whose step is NEVER where all was finite."""
        self.of_parameters: Tensor | None = None
        self.names: list[str] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at each parameter's gradient, before it is clipped.

        A scaler of float16 expects some that are not finite, and skips their steps.
        """
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        named = [(name, p.grad) for name, p in pl_module.named_parameters() if p.grad is not None]
        if named:
            self.names, gradients = [name for name, _ in named], [grad for _, grad in named]
            norms = torch._foreach_norm(gradients, torch.inf)
            self.of_parameters = torch.stack([_local(norm).float() for norm in norms]).isfinite()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = (outputs["loss"] if isinstance(outputs, dict) else outputs).detach()
        now = self._found(trainer.global_step, loss, pl_module, batch)
        if self.first_bad is None:
            self.first_bad = torch.full_like(now, NEVER)
        self.first_bad = torch.where(self.first_bad[0] == NEVER, now, self.first_bad)
        self.of_parameters = None
        if trainer.global_step % trainer.log_every_n_steps == 0:
            self.check(trainer)

    def _found(self, step: int, loss: Tensor, module: LightningModule, batch: Any) -> Tensor:
        """What `first_bad` is to hold if it is of this step: NEVER in it if all is finite."""
        here: dict[str, Any] = {"dtype": torch.int64, "device": loss.device}
        none = torch.zeros(4, **here)
        bad, kind, of_images = ~loss.isfinite(), torch.full((), LOSS, **here), none
        losses = getattr(module, "image_losses", None)
        if isinstance(batch, NoisyBatch):
            in_data = ~batch.x0.flatten(1).isfinite().all(dim=1)
            in_loss = in_data if losses is None else ~losses.isfinite()
            images = torch.where(in_data.any(), in_data, in_loss | ~bad)
            kind = torch.where(in_data.any(), DATA, kind)
            of_images, bad = _images(batch, images), bad | in_data.any()
        parameter = torch.zeros((), **here)
        if self.of_parameters is not None:
            in_gradient = ~self.of_parameters
            kind = torch.where(bad | ~in_gradient.any(), kind, GRADIENT)
            parameter, bad = in_gradient.long().argmax(), bad | in_gradient.any()
        found = torch.where(bad, step, NEVER)
        return torch.cat([found[None], kind[None], of_images, parameter[None]])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The moving average, and what a layer learned of batches, no training step has used."""
        held_out = trainer.callback_metrics.get("val/loss")
        if held_out is not None and not trainer.sanity_checking and not held_out.isfinite():
            what = f"the held-out loss is not finite at step {trainer.global_step}"
            raise FloatingPointError(f"{what}; {_kept(trainer)}. {SMALLER_STEPS}")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """This process alone looks, and waits for no other.

        One that was told to stop may be the only one here. The last step may have spoilt weights
        that no loss was taken of yet.
        """
        if self.first_bad is not None:
            self.stop_if_bad(int(self.first_bad[0]), trainer)
        if self.first_bad is None or trainer.state.fn != "fit":
            return
        for name, value in checkpoint["state_dict"].items():
            if value.is_floating_point() and not bool(_local(value).isfinite().all()):
                what = f"the weights are not finite after step {trainer.global_step}"
                raise FloatingPointError(
                    f"{what}, beginning with {name}; {_kept(trainer)}. {SMALLER_STEPS}"
                )

    def check(self, trainer: Trainer) -> None:
        """Raises FloatingPointError, on all processes alike, if something was not finite."""
        if self.first_bad is not None:
            # Float32, as every backend reduces it, holds steps up to 2^24 exactly.
            mine = torch.where(self.first_bad[0] == NEVER, torch.inf, self.first_bad[0].float())
            first = (-trainer.strategy.reduce(-mine, reduce_op="max")).item()
            self.stop_if_bad(NEVER if first == torch.inf else int(first), trainer)

    def stop_if_bad(self, first: int, trainer: Trainer) -> None:
        """Raises FloatingPointError if there is a first bad step, here or in another process."""
        if first == NEVER:
            return
        assert self.first_bad is not None
        found = Found(*self.first_bad.tolist())
        if found.step != first:
            what = f"the loss or its gradient is not finite at step {first}, in another process"
            raise FloatingPointError(f"{what}; {_kept(trainer)}. {SMALLER_STEPS}")
        what, advice = self.told(found, trainer.lightning_module)
        raise FloatingPointError(f"{what}; {_kept(trainer)}. {advice}")

    def told(self, found: "Found", module: LightningModule) -> tuple[str, str]:
        """What was found, in words, and what to try."""
        images = f", in {found.images(getattr(module, 'by_timestep', False))}"
        images = images if found.count else ""
        if found.kind == DATA:
            what = f"the data is not finite at step {found.step}{images}"
            return what, "Mend these images, or the codec that makes x0 of them"
        network = getattr(module.model, "network", module)
        of = f"of the network {type(network).__name__} of the {getattr(module, 'kind', 'model')}"
        if found.kind == GRADIENT:
            of = f"by {self.names[found.parameter]} {of}"
            what = f"the gradient is not finite at step {found.step}, {of}{images}; the loss is"
        else:
            what = f"the loss is not finite at step {found.step}, {of}{images}"
        return what, SMALLER_STEPS


@dataclass(frozen=True)
class Found:
    """What is not finite in a step.

    count: of the images it is in. place: of the first of them in the training set. low, high: the
    least and the largest of their timesteps. parameter: number of the first with such a gradient.
    """

    step: int
    kind: int
    count: int
    place: int
    low: int
    high: int
    parameter: int

    def images(self, by_timestep: bool) -> str:
        """The images, in words."""
        which = f"{self.count} images of its batch, first image {self.place} of the training set"
        return f"{which}, at t from {self.low} to {self.high}" if by_timestep else which


def _images(batch: NoisyBatch, which: Tensor) -> Tensor:
    """Of the images `which` (B,) bool: count, place of the first, least and largest t; (4,)."""
    t, index = batch.t.long(), batch.index.long()
    first = index.gather(0, which.long().argmax()[None])[0]
    low, high = torch.where(which, t, NEVER).amin(), torch.where(which, t, -1).amax()
    return torch.stack([which.long().sum(), first, low, high])


def _local(value: Any) -> Tensor:
    """The part of a tensor that this process holds."""
    return value.to_local() if hasattr(value, "to_local") else value


def _kept(trainer: Trainer) -> str:
    files = (own.last for own in trainer.checkpoint_callbacks if isinstance(own, RunCheckpoint))
    last = next(files, None)
    return f"{last} is from before, and is kept" if last else "no checkpoint was written"
