"""A job of SLURM that is pre-empted: its training is put back into the queue, and goes on there.

SLURM sends a signal some time before it takes the machine (`sbatch --signal=SIGUSR1@90`). The
training then ends its step, writes last.ckpt, and asks for its job to be started again
(`scontrol requeue`). SLURM starts it by the same command; a file in the folder of the run tells
which job it is of. So goes on, too, a job that SLURM itself put back when a machine was lost.
"""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments import SLURMEnvironment

from cgd_lightning.checkpoints.files import MOST_CONFIG
from cgd_lightning.errors import one_line

MARK = ".slurm-"
"""How the name of the file begins that tells the job of a run; its number follows."""

MOST_BYTES = 4 * MOST_CONFIG
"""Of a config.yaml that is read."""


def job() -> str | None:
    """The number of the job of SLURM that this process is of, unless it was started by hand."""
    number = os.environ.get("SLURM_JOB_ID", "")
    return number if SLURMEnvironment.detect() and re.fullmatch(r"\d{1,20}", number) else None


def mark(folder: Path) -> None:
    """Have the run in `folder` tell its job, if it is of one."""
    if (number := job()) is not None:
        (folder / f"{MARK}{number}").touch()


def earlier(folders: Sequence[Path], config: str) -> Path | None:
    """The first of `folders` in which this job trained by the same `config` before a restart."""
    number, count = job(), os.environ.get("SLURM_RESTART_COUNT", "0")
    if number is None or not count.isdigit() or int(count) == 0:
        return None
    for folder in folders:
        file = folder / "config.yaml"
        own = (folder / f"{MARK}{number}").is_file() and file.is_file()
        if own and file.stat().st_size < MOST_BYTES and file.read_text("utf-8") == config:
            return folder
    return None


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
        done = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True)
    except OSError as error:
        why = one_line(error)
    else:
        if done.returncode == 0:
            return f"job {number} of SLURM is put back into its queue, and will go on from there"
        why = one_line(Exception(done.stderr)) or f"status {done.returncode}"
    return f"scontrol requeue {number} failed ({why}); start the job again by hand"
