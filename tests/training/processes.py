"""Trainings in processes of their own, which tests kill: `cgd fit`, forked from the tests'."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sklearn.datasets  # noqa: F401  (here, so that no process has to import it)
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

import cgd_lightning.commands.fit  # noqa: F401  (for the same reason)
from tests.command_line import TINY_CLASSIFIER, status

STEPS = 20
FIT = (
    "fit",
    *TINY_CLASSIFIER,
    "--data.image_size=8",
    "--data.batch_size=64",
    "--model.ema_decay=0.9",
    "--trainer.limit_val_batches=1",
    "--trainer.val_check_interval=4",
    f"--trainer.max_steps={STEPS}",
    "--trainer.logger=false",  # and so no curves.png, which takes longer than all the rest
)
LONGEST = 200
"""Seconds that a training is waited for."""


@dataclass
class Training:
    """A training at work in `folder`, by the ids of its processes, the first one's first."""

    folder: Path
    name: str
    processes: tuple[int, ...]

    def tell(self, number: int, process: int = 0) -> None:
        """Send a signal to one of its processes."""
        os.kill(self.processes[process], number)

    def kill(self) -> None:
        """Kill all of its processes, as a machine that is lost."""
        for process in self.processes:
            os.kill(process, signal.SIGKILL)

    def end(self) -> tuple[int, ...]:
        """The status of each process once it has ended; -9 of one that was killed."""
        return tuple(_ended(process) for process in self.processes)

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until something is so; it must come to be so before the training ends."""
        deadline = time.monotonic() + LONGEST
        while not until():
            assert time.monotonic() < deadline
            assert os.waitid(os.P_PID, self.processes[0], ENDED) is None, self.told()
            time.sleep(0.001)

    def told(self) -> str:
        """What it wrote to the standard error."""
        return (self.folder / f"{self.name}-0").read_text()


ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def _ended(process: int) -> int:
    deadline = time.monotonic() + LONGEST
    while os.waitid(os.P_PID, process, ENDED) is None:
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise AssertionError("a training did not end")
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def start(
    folder: Path,
    *words: str,
    count: int = 1,
    variables: Mapping[str, str] | None = None,
    name: str = "told",
) -> Training:
    """`cgd fit WORDS` in `folder`, in as many processes as torchrun would start.

    variables: of its environment. name: of the files with what its processes write.
    """
    folder.mkdir(exist_ok=True)
    known = dict(variables or {})
    if count > 1:
        words = (*words, f"--trainer.devices={count}", "--trainer.strategy=ddp")
        known |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "NODE_RANK": "0"}
    processes = []
    for place in range(count):
        own = {**known, "LOCAL_RANK": str(place)} if count > 1 else known
        process = os.fork()
        if process == 0:
            _be_one(folder, words, own, f"{name}-{place}")
        processes.append(process)
    return Training(folder, name, tuple(processes))


def run(
    folder: Path, *words: str, count: int = 1, variables: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """(status of the first process, what was told) of a training that is left alone."""
    training = start(folder, *words, count=count, variables=variables)
    return training.end()[0], training.told()


def _be_one(folder: Path, words: tuple[str, ...], variables: Mapping[str, str], name: str) -> None:
    """Never returns."""
    code = 99
    try:
        os.chdir(folder)
        os.environ.update(variables)
        told = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(told, stream)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        tempfile.tempdir = None  # that of its own environment
        torch.set_num_threads(1)
        rank_zero_only.rank = int(
            variables.get("LOCAL_RANK", 0)
        )  # read from the environment while Lightning is imported
        code = status(*words)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The final weights of the newest version of the run in `folder`."""
    newest = max((folder / "runs/classifier").glob("version_*/last.ckpt"))
    contents = torch.load(newest, weights_only=True)
    assert contents["global_step"] == STEPS
    found: dict[str, torch.Tensor] = contents["state_dict"]
    return found
