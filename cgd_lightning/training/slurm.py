"""A job of SLURM that is pre-empted: its training is put back into the queue, and goes on there.

SLURM sends a signal some time before it takes the machine (`sbatch --signal=SIGUSR1@90`). The
training then ends its step, writes last.ckpt, and asks for its job to be started again
(`scontrol requeue`). SLURM starts it by the same command, perhaps on a machine of another kind; a
file in the folder of the run tells which job it is of, and by which settings it was begun. So goes
on, too, a job that SLURM itself put back when a machine was lost.
"""

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments import SLURMEnvironment

from cgd_lightning.errors import one_line
from cgd_lightning.files import open_plain, whole

MARK = ".slurm-"
"""How the name of the file begins that tells the job of a run; its number follows."""

MOST_BYTES = 64
"""Of such a file: the SHA-256 of the settings, as they were given."""

LONGEST = 30
"""Seconds that `scontrol` may take."""


def job() -> str | None:
    """The number of the job of SLURM that this process is of, unless it was started by hand."""
    number = os.environ.get("SLURM_JOB_ID", "")
    return number if SLURMEnvironment.detect() and re.fullmatch(r"\d{1,20}", number) else None


def mark(folder: Path, given: str) -> None:
    """Have the run in `folder` tell its job, if it is of one, and its settings as given."""
    if (number := job()) is not None:
        with whole(folder / f"{MARK}{number}") as unfinished:
            unfinished.write_text(_hash(given), encoding="ascii")


def earlier(folders: Sequence[Path], given: str) -> Path | None:
    """The first of `folders` in which this job trained before it was started again.

    One of the same settings, `given`, comes before all others. They are compared before the machine
    decides what they leave open.
    """
    number, count = job(), os.environ.get("SLURM_RESTART_COUNT", "0")
    if number is None or not count.isdigit() or int(count) == 0:
        return None
    own = [folder for folder in folders if (folder / f"{MARK}{number}").is_file()]
    return next((folder for folder in own if is_of(folder, given)), own[0] if own else None)


def is_of(folder: Path, given: str) -> bool:
    """Whether this job began the run in `folder` by the settings `given`."""
    try:
        with open_plain(folder / f"{MARK}{job()}", MOST_BYTES) as file:
            return file.read() == _hash(given).encode()
    except OSError:
        return False


def _hash(given: str) -> str:
    return hashlib.sha256(given.encode()).hexdigest()


def signal_of(plugins: Sequence[Any]) -> int | None:
    """The signal at which the job asks to be started again, None if it is none or never does.

    plugins: the trainer's; one of them may be a SLURMEnvironment that says so.
    """
    given = [plugin for plugin in plugins if isinstance(plugin, SLURMEnvironment)]
    if job() is None or os.name == "nt":
        return None
    if not given:
        return signal.SIGUSR1
    return given[0].requeue_signal if given[0].auto_requeue else None


def requeue() -> str:
    """Ask SLURM to start this job again; what came of it, in words."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    number = f"{array}_{task}" if array and task else f"{job()}"
    try:
        done = subprocess.run(
            ["scontrol", "requeue", number],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = one_line(error)
    else:
        if done.returncode == 0:
            return f"job {number} of SLURM is put back into its queue, and will go on from there"
        why = one_line(Exception(done.stderr)) or f"status {done.returncode}"
    return f"scontrol requeue {number} failed ({why}); start the job again by hand"
