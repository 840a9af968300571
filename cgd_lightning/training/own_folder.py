"""The folder of a run is one training's alone, and what a killed one left half-written goes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgd_lightning.lock import locked
from cgd_lightning.peers import is_first
from cgd_lightning.training import slurm
from cgd_lightning.training.run_folder import LOCK

UNFINISHED = (
    *(".best.ckpt.tmp", ".last.ckpt.tmp", ".config.yaml.tmp", ".metrics.csv.tmp"),
    *(".curves.png.tmp", "samples/.step_*.png.tmp"),
)
"""What is written of a run before it has its final name."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """`folder` is this training's until the block ends, however it ends.

    Of several processes the first one, which alone writes there, holds it for all. Raises
    InputError if another training is at work in it.
    """
    if not is_first():
        yield
        return
    with locked(folder / LOCK, f"--ckpt_path {folder}", "start a run without --ckpt_path"):
        sweep(folder)
        slurm.mark(folder)
        yield


def sweep(folder: Path) -> None:
    """Remove what was half-written in `folder` when a training was killed."""
    for pattern in UNFINISHED:
        for file in folder.glob(pattern):
            with suppress(OSError):  # of no file, which is in nobody's way
                file.unlink()
