"""Where a run is kept: runs/NAME/version_N, a new N each time, so that nothing is overwritten."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from cgd_lightning import checkpoint
from cgd_lightning.errors import InputError

CLAIMED = "CGD_RUN_FOLDER"
"""Environment variable by which the processes that Lightning starts learn the first one's folder."""


def run_folder(root: str | Path, name: str, ckpt_path: str | None) -> tuple[Path, str | None]:
    """The version folder of a new or continued run, and the checkpoint that it goes on from.

    "last" goes on from last.ckpt of the newest version of this run, in its own folder. Raises InputError if there is none.
    """
    run = Path(root) / name
    if ckpt_path == "last":
        for folder in checkpoint.versions(run):
            if (folder / "last.ckpt").is_file():
                return folder, str(folder / "last.ckpt")
        raise InputError(f"--ckpt_path last: no last.ckpt in any version of {run}; start the run without --ckpt_path")
    if ckpt_path is not None:
        file = checkpoint.find(ckpt_path, ("last.ckpt", "best.ckpt"))
        checkpoint.read(file)
        if file.name == "last.ckpt" and file.parent.name.startswith("version_"):
            return file.parent, str(file)
        return claim(run), str(file)
    return claim(run), None


def discard_unused(folder: Path) -> None:
    """Remove a version folder in which nothing was trained: one that holds no more than its configuration."""
    if rank_zero_only.rank == 0 and folder.is_dir() and {file.name for file in folder.iterdir()} <= {"config.yaml"}:  # type: ignore[attr-defined]
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()


def claim(run: Path) -> Path:
    """A version folder of `run` that nobody else has, made here, or by the process that started this one.

    A process that something else started beside the first one, as torchrun does, makes none: the first one alone writes.
    """
    if claimed := os.environ.get(CLAIMED):
        return Path(claimed)
    if rank_zero_only.rank > 0:  # type: ignore[attr-defined]
        return run / "version_of_the_first_process"
    newest = next(iter(checkpoint.versions(run)), None)
    number = int(newest.name.removeprefix("version_")) + 1 if newest else 0
    while True:
        folder = run / f"version_{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            os.environ[CLAIMED] = str(folder)
            return folder
