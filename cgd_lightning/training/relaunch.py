"""How Lightning starts the other processes of a run: as this one, and to end with it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.strategies.launchers import subprocess_script

from cgd_lightning.sampling.processes import ending_together


@contextmanager
def command_line(args: Sequence[str]) -> Iterator[None]:
    """Let other processes be started as `cgd ARGS`, whatever this one was called with."""
    before, sys.argv = sys.argv, [script(), *args]
    try:
        with ending_together(subprocess_script):
            yield
    finally:
        sys.argv = before


def script() -> str:
    """The script that they start with.

    It is this one's, or `cgd` where a file called -c or the like would be taken.
    """
    beside = Path(sys.executable).with_name("cgd")
    return str(beside) if sys.argv[0].startswith("-") and beside.is_file() else sys.argv[0]
