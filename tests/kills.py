"""Jobs that are killed, and what a folder holds after it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.command_line import status
from tests.launched import ENDED, wait_until

KILLS = int(os.environ.get("TEST_KILLS", "3"))
"""Of a job in each format, of a training, and a quarter as many of one on two processes."""


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
    """Whether `cgd words` was killed so many seconds after it began, or after `when` was true.

    It may have been done before.
    """
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            os.dup2(nowhere.fileno(), 1)
            os._exit(status(*words))
    wait_until(lambda: when is None or when() or os.waitid(os.P_PID, child, ENDED) is not None)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def killed_again_and_again(words: tuple[str, ...], folder: Path) -> list[str]:
    """What each of KILLS kills of the job `cgd words --out=folder` found: "resumed" or "anew".

    First `cgd words --out=clean` shows what an undisturbed one makes, and how long it takes. A kill
    comes at a random moment after the job has made more than it found, every fourth as soon as it
    has begun. What a job found it keeps as it is.
    """
    begin = time.monotonic()
    assert status(*words, "--out=clean") == 0
    most = (time.monotonic() - begin) / (3 * KILLS)

    def there() -> dict[str, tuple[int, int]]:
        pieces = {}
        with suppress(FileNotFoundError):  # they are moved while the next job begins
            for path in folder.glob(".unfinished/*/[0-9]*.*"):
                state = path.stat()
                pieces[path.name] = (state.st_ino, state.st_mtime_ns)
        return pieces

    moments, outcomes = random.Random(5), []
    for kill in range(KILLS):
        found = there()
        when = None if kill % 4 == 3 else lambda found=found: len(there()) > len(found)
        assert killed_in_a_child((*words, f"--out={folder}"), moments.uniform(0, most), when)
        kept = there()
        assert found.items() <= kept.items()
        assert when is None or len(kept) > len(found)
        outcomes.append("resumed" if found else "anew")
    return outcomes


def told_of(outcomes: list[str]) -> str:
    """How many kills, and of what kinds."""
    kinds = (f"{outcomes.count(kind)} {kind}" for kind in ("resumed", "anew"))
    return f"{len(outcomes)} kills, {', '.join(kinds)}"
