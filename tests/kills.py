"""Jobs that are killed, and what a folder holds after it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command_line import status

KILLS = int(os.environ.get("TEST_KILLS", "3"))
"""Of a job in each format, before it may end."""


# Ctrl-C is ignored by what was started in the background, as these tests may have been.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
CGD = (sys.executable, "-c", f"{HEARD}; from cgd_lightning.commands.main import main; main()")


class Killed(BaseException):
    """Ends a job at once; what it would still remove stays."""


def start(*words: str, **options: Any) -> "subprocess.Popen[str]":
    """`cgd WORDS` in a process of its own, on one thread. options: as of Popen."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*CGD, *words], env=environment, stdout=pipe, stderr=pipe, text=True, **options
    )


def contents(folder: Path) -> dict[str, bytes | str]:
    """What lies under `folder`, links as what they name."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def killed_in_a_child(
    words: tuple[str, ...], after: float, when: Callable[[], bool] | None = None
) -> bool:
    """Whether `cgd words` was killed after so many seconds, or once `when` is true.

    It may have been done before.
    """
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            os.dup2(nowhere.fileno(), 1)
            os._exit(status(*words))
    deadline = time.monotonic() + after
    while time.monotonic() < deadline and not (when is not None and when()):
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def killed_again_and_again(words: tuple[str, ...], folder: Path) -> list[str]:
    """What each kill of the job `cgd words --out=folder` left: "resumed" if there is any of it.

    First `cgd words --out=clean` shows what an undisturbed one makes, and how long it takes: the
    first kill waits until there is something to go on with, the others come in its first third.
    """
    begin = time.monotonic()
    assert status(*words, "--out=clean") == 0
    third = (time.monotonic() - begin) / 3

    def has_pieces() -> bool:
        return any(folder.glob(".unfinished/*/[0-9]*.*"))

    moments, outcomes = random.Random(5), []
    while len(outcomes) < KILLS:
        after = moments.uniform(0, third) if outcomes else 60.0
        when = None if outcomes else has_pieces
        if not killed_in_a_child((*words, f"--out={folder}"), after, when):
            break  # it was done before
        goes_on = has_pieces() or any(folder.glob("*.json"))
        outcomes.append("resumed" if goes_on else "anew")
    assert len(outcomes) >= 2
    assert outcomes[0] == "resumed"
    return outcomes


def told_of(outcomes: list[str]) -> str:
    """How many kills, and of what kinds."""
    kinds = (f"{outcomes.count(kind)} {kind}" for kind in ("resumed", "anew"))
    return f"{len(outcomes)} kills, {', '.join(kinds)}"
