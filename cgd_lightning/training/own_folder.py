"""The folder of a run is one training's alone, and what a killed one left half-written goes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgd_lightning.files import unfinished_of
from cgd_lightning.lock import locked
from cgd_lightning.peers import is_first
from cgd_lightning.training import slurm
from cgd_lightning.training.run_folder import LOCK

WRITTEN = (
    *("best.ckpt", "last.ckpt", "config.yaml", "metrics.csv", "curves.png"),
    *("samples/step_*.png", f"{slurm.MARK}*"),
)
"""The files of a run that are whole or not there."""


@contextmanager
def held(folder: Path, given: str) -> Iterator[None]:
    """`folder` is this training's until the block ends, however it ends.

    Of several processes the first one, which alone writes there, holds it for all. given: the text
    of the training's settings. Raises InputError if another training is at work in it.
    """
    if not is_first():
        yield
        return
    with locked(folder / LOCK, f"--ckpt_path {folder}", "start a run without --ckpt_path"):
        remove_unfinished(folder)
        slurm.mark(folder, given)
        yield


def remove_unfinished(folder: Path) -> None:
    """Remove what was half-written in `folder` when a training was killed."""
    for name in WRITTEN:
        for file in folder.glob(str(unfinished_of(Path(name)))):
            with suppress(OSError):  # of no file, which is in nobody's way
                file.unlink()
