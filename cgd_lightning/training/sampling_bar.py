"""A progress bar of the samples that a callback makes, below that of the training, which waits.

It is drawn by what draws the training's, tqdm or rich, and goes away when the samples are made.
Where there is no bar there is none of this kind either, nor where nobody watches: in a log file,
which is no terminal, each of its states would be a line.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from cgd_lightning.diffusion.generate import Progress

WORDS = "sampling"

DELAY = 0.5
"""Seconds from which on a bar is worth its line."""


@contextmanager
def sampling_bar(trainer: Trainer, steps: int) -> Iterator[Progress]:
    """What is to be called after each of so many steps of samplers."""
    bar = trainer.progress_bar_callback
    # Another process's bar is disabled; rich has none before and after a training.
    live = bar.progress if isinstance(bar, RichProgressBar) and bar.is_enabled else None
    if live is not None:
        task = live.add_task(WORDS, total=steps)
        try:
            yield lambda: live.advance(task)
        finally:
            live.remove_task(task)
        return
    shown = isinstance(bar, TQDMProgressBar) and bar.is_enabled and is_watched()
    options = {"desc": WORDS, "unit": "step", "total": steps, "file": sys.stderr}
    with Tqdm(**options, disable=not shown, dynamic_ncols=True, leave=False, delay=DELAY) as drawn:
        yield lambda: drawn.update()


def is_watched() -> bool:
    """Whether standard error is a terminal, or a notebook that shows it."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
