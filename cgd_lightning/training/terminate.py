"""SIGTERM: a training ends its step and writes a checkpoint; before there is one, all ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from cgd_lightning.peers import current


@contextmanager
def soft_termination() -> Iterator[None]:
    """SIGTERM raises SIGTERMException in this block, until a trainer takes it.

    Lightning's trainer then keeps this handler beside its own, which stops a training.
    """

    def terminate(number: int, frame: object) -> None:
        current().heard()
        if signal.getsignal(signal.SIGTERM) is terminate:
            raise SIGTERMException

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StopTogether(Callback):
    """Stops all processes after the same step, whichever of them gets SIGTERM.

    Lightning's own handler calls the other processes from within, wherever they are, and waits for
    ever if the signal came to another one than the first. Here a handler only takes note, and after
    each step all say what they have noted.
    """

    def __init__(self) -> None:
        self.told = False
        self.group: Any = None  # of torch.distributed, where there are several

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if threading.current_thread() is threading.main_thread():
            current().met()

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen(trainer)
        if trainer.world_size > 1:
            # On the host, which waits for no device.
            self.group = torch.distributed.new_group(backend="gloo")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, i: int
    ) -> None:
        if self.group is None:
            return
        told = torch.tensor([self.told])
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX, self.group)
        if told.item():
            current().heard()
            # A private name of Lightning, whose version is pinned: it stops as at its own signal.
            trainer._signal_connector.received_sigterm = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_at_once(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_at_once(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_at_once(trainer)

    def _listen(self, trainer: Trainer) -> None:
        """Take note of SIGTERM in place of Lightning's handler."""

        def note(number: int, frame: object) -> None:
            current().heard()
            self.told = True

        _take(trainer, note)

    def _end_at_once(self, trainer: Trainer) -> None:
        """Let SIGTERM end a command that has nothing to save."""

        def end(number: int, frame: object) -> None:
            current().heard()
            raise SIGTERMException

        if trainer.state.fn != "fit":
            _take(trainer, end)


def _take(trainer: Trainer, handler: Callable[[int, object], None]) -> None:
    """Let `handler` have SIGTERM where several processes are at work, until the trainer ends."""
    main = threading.current_thread() is threading.main_thread()
    if trainer.world_size > 1 and main:
        signal.signal(signal.SIGTERM, handler)
