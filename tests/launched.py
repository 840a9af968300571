"""Processes of one command, as `cgd` itself, torchrun or SLURM would start them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from cgd_lightning.commands import fit, sample  # noqa: F401  (so that no process imports them)
from tests.command_line import status

CGD = str(Path(sys.executable).with_name("cgd"))
TWO = ("--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp")
LONGEST = 120
"""Seconds that processes are waited for."""


def slurm(rank: int) -> dict[str, str]:
    """What srun tells a process of two on one machine."""
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
    }


def elastic(rank: int) -> dict[str, str]:
    """What torchrun tells a process of two on one machine."""
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
    return {**place, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}


def fork(folder: Path, variables: Mapping[str, str], *words: str) -> int:
    """`cgd WORDS` in `folder`, forked from this process; its number.

    What it says goes to the file `said-N` of its number.
    """
    started = os.fork()
    if started:
        return started
    code = 70
    try:
        # Ctrl-C is ignored by what was started in the background, as these tests may have been.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        for name in [name for name in os.environ if name.startswith(("CGD_", "PL_"))]:
            del os.environ[name]
        os.environ |= {**variables, "OMP_NUM_THREADS": "1"}
        rank = variables.get("RANK", variables.get("SLURM_PROCID", "0"))
        rank_zero_only.rank = int(rank)
        said = os.open(f"said-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
        # Lightning starts others as it thinks that this process was started.
        sys.argv, sys.modules["__main__"].__spec__ = [CGD, *words], None
        code = status(*words)
    finally:
        os._exit(code)


def fork_two(
    folder: Path,
    variables: Callable[[int], Mapping[str, str]],
    *words: str,
    own: Sequence[str] = (),
) -> tuple[int, int]:
    """Both processes of `cgd WORDS` on two devices, that of rank 0 first.

    own: a further word of each.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    first, second = (
        fork(folder, {**variables(rank), **meeting}, *words, *own[rank : rank + 1], *TWO)
        for rank in range(2)
    )
    return first, second


def said(folder: Path, process: int) -> str:
    return (folder / f"said-{process}").read_text()


def ended(process: int) -> int:
    """The status of a forked process when it has ended; -9 of one that was killed."""
    wait_until(lambda: os.waitid(os.P_PID, process, ENDED) is not None)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(process: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True)
    return [int(number) for number in listed.stdout.split()]


def is_alive(process: int) -> bool:
    """Whether a process is there, which may be nobody's child any more."""
    stated = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True)
    return stated.stdout.strip()[:1] not in (b"", b"Z")
