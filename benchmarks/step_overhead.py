"""What noising, data, moving average and logging add to a training step of `mnist-diffusion.yaml`.

    python benchmarks/step_overhead.py --data.root data

Trains as `cgd fit` does. In turn with every few of its steps as many bare ones are made: forward,
backward, clipping of the gradient and optimiser step of a copy of the network, in the same
precision, on one batch that is ready. The last line is the ratio of the two medians.
"""

import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from copy import deepcopy
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from cgd_lightning.commands import fit
from cgd_lightning.diffusion.process import NoisyBatch

TURN, STEPS, WARM_UP = 5, 100, 20


class BareSteps(Callback):
    """Times whole steps of the training, and the bare steps between them.

    A whole step lasts from the end of one to the end of the next.
    """

    trained: ClassVar[list[float]] = []
    bare: ClassVar[list[float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.network = deepcopy(pl_module.model.network).train()
        self.optimizer = pl_module.optimizer(self.network.parameters())
        self.end: float | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: NoisyBatch,
        batch_idx: int,
    ) -> None:
        _wait(batch)
        now = time.perf_counter()
        if self.end is not None and trainer.global_step > WARM_UP:
            self.trained.append(now - self.end)
        if trainer.global_step % TURN == 0:
            for _ in range(TURN):
                begin = time.perf_counter()
                self.step(trainer, pl_module, batch)
                _wait(batch)
                if trainer.global_step > WARM_UP:
                    self.bare.append(time.perf_counter() - begin)
        self.end = time.perf_counter()

    def step(self, trainer: Trainer, pl_module: LightningModule, batch: NoisyBatch) -> None:
        with trainer.precision_plugin.forward_context() or nullcontext():
            loss = (self.network(batch.x_t, batch.t) - batch.eps).square().mean()
        loss.backward()
        if trainer.gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), trainer.gradient_clip_val)
        self.optimizer.step()
        self.optimizer.zero_grad()


def _wait(batch: NoisyBatch) -> None:
    if batch.x_t.is_cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        own = [
            "--trainer.default_root_dir",
            folder,
            "--trainer.callbacks+=__main__.BareSteps",
            f"--trainer.max_steps={STEPS}",
        ]
        fit.run(["fit", "--config=mnist-diffusion.yaml", *own, *sys.argv[1:]])
    trained, bare = statistics.median(BareSteps.trained), statistics.median(BareSteps.bare)
    print(
        f"a step {trained * 1e3:.1f} ms, a bare one {bare * 1e3:.1f} ms: {trained / bare - 1:+.1%}"
    )
