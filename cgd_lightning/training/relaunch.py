"""The command line by which Lightning starts the other processes of a run: that of this one."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def command_line(args: Sequence[str]) -> Iterator[None]:
    """Let other processes be started as `cgd ARGS`, whatever this one was called with."""
    before, sys.argv = sys.argv, [script(), *args]
    try:
        yield
    finally:
        sys.argv = before


def script() -> str:
    """The script that they start with.

    It is this one's, or `cgd` where a file called -c or the like would be taken.
    """
    beside = Path(sys.executable).with_name("cgd")
    return str(beside) if sys.argv[0].startswith("-") and beside.is_file() else sys.argv[0]
