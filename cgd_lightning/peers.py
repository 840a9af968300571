"""The processes of one command end together, however one of them ends.

A process that the first one started, or torchrun, looks whether that one is still there; the first
looks at those that it started. One that is left over has a few seconds to end by itself, with an
error of its own. Then it is told to stop, and if it waits somewhere for those that are gone, as
at the start, it is ended. Only the standard library is imported here.
"""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

STARTED_BY = "CGD_STARTED_BY"
"""Environment variable: the number of the first process, for those that it starts."""

LOOK = 0.2
"""Seconds from one look to the next."""

GRACE = 3.0
"""Seconds in which a process that is left over ends by itself, and again once it was told to."""

PATIENCE = 60.0
"""Seconds for one that has heard it, and may be writing a checkpoint."""

_lost: list[str] = []
"""What has become of another process."""

_told = threading.Event()
"""This process was told to stop because another one is gone."""

_heard = threading.Event()
"""This process heard that it is to stop."""

_command = "cgd"
"""What is said to have ended."""

_parent = 0
"""The process that this one ends with, 0 if there is none."""

_spoken_for = False
"""Whether the first process of the command started this one, and says what becomes of it."""

_bell: int | None = None
"""What takes the numbers of signals while this process waits for others to be there."""

_children: list[subprocess.Popen[bytes]] = []

_last: list[Callable[[], object]] = []
"""What is still done in a process that is ended."""


def is_first() -> bool:
    """Whether this process speaks for all of its command, or is the only one.

    Of those that Lightning, torchrun or SLURM's srun starts, it is the first.
    """
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return next((os.environ[name] for name in names if os.environ.get(name)), "0") == "0"


def lead() -> None:
    """Let processes end with this one that are started from now on, until `dismiss`."""
    os.environ[STARTED_BY] = str(os.getpid())


def dismiss() -> None:
    """Let processes that are started from now on end on their own."""
    os.environ.pop(STARTED_BY, None)


def meet() -> None:
    """End this process by SIGTERM or Ctrl-C, too, while it waits for others, until `met`.

    Python calls its handlers in the main thread alone, which does not come back from there.
    """
    global _bell
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return
    met()
    rung, _bell = os.pipe()
    os.set_blocking(_bell, False)
    signal.set_wakeup_fd(_bell, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(rung,), daemon=True).start()


def met() -> None:
    """Leave signals to their handlers from now on: all processes are there."""
    global _bell
    if _bell is not None:
        signal.set_wakeup_fd(-1)
        os.close(_bell)
        _bell = None


def _listen(rung: int) -> None:
    bell, number = _bell, 0
    while number not in (signal.SIGTERM, signal.SIGINT):
        signals = os.read(rung, 1)
        if not signals:
            break
        number = signals[0]
    os.close(rung)
    time.sleep(2 * GRACE if number else 0)
    if number and bell is not None and bell == _bell and not _heard.is_set():
        how = "terminated" if number == signal.SIGTERM else "interrupted"
        if not _spoken_for:
            _say(how)
        _leave(128 + number)


def follow(command: str) -> None:
    """Let this process end when the one does that started it for the same command.

    Nothing is done in a process that was started otherwise. command: its name, for messages.
    """
    global _command, _parent, _spoken_for
    _command = f"cgd {command}"
    place, first = os.environ.get("LOCAL_RANK", "0"), os.environ.get(STARTED_BY, "")
    _spoken_for = place not in ("", "0") and first.isdecimal()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _parent = os.getppid()
    elif _spoken_for:
        _parent = int(first)
    if _parent and sys.platform != "win32":  # there a process keeps the number of its parent
        threading.Thread(target=_follow, daemon=True).start()


def watch(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let this process, and all of `children`, end when one of them fails."""
    _children[:] = children
    threading.Thread(target=_watch, daemon=True).start()


def lost() -> str | None:
    """What has become of another process, if one has ended before its time."""
    deadline = time.monotonic() + 2 * LOOK
    while not _lost and (_parent or _children) and time.monotonic() < deadline:
        time.sleep(LOOK / 4)
    return _lost[0] if _lost else None


def follows() -> bool:
    """Whether the first process of this command started this one, and speaks for it."""
    return _spoken_for


def release() -> None:
    """Have those end that this process started, for it has failed itself."""
    for child in _children:
        if child.poll() is None:
            child.terminate()


def at_last(clean: Callable[[], object]) -> None:
    """Have `clean` called if this process is ended while it waits for another one."""
    _last.append(clean)


def told() -> bool:
    """Whether this process was told to stop, and why, because another one is gone."""
    return _told.is_set()


def heard() -> None:
    """Say that this process has heard that it is to stop, and needs time to do so."""
    _heard.set()


def _follow() -> None:
    while os.getppid() == _parent:
        time.sleep(LOOK)
    _lost.append("the process that started this one has ended, and so does this one")
    _end()


def _watch() -> None:
    while True:
        codes = [child.poll() for child in _children]
        failed = [(rank, code) for rank, code in enumerate(codes, start=1) if code]
        if failed:
            break
        if all(code == 0 for code in codes):
            return
        time.sleep(LOOK)
    rank, code = failed[0]
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    _lost.append(f"process {rank} of 0 to {len(codes)} ended {how}, and so do the others")
    _end()


def _end() -> None:
    """End this process and those that it started."""
    time.sleep(GRACE)
    if not _heard.is_set():
        if os.environ.get("LOCAL_RANK", "0") in ("0", "1"):  # not all that are left over
            _say(_lost[0])
        _told.set()
        _thread.interrupt_main(signal.SIGTERM)
        time.sleep(GRACE)
    if _heard.is_set():
        time.sleep(PATIENCE)
    _leave(1)


def _say(what: str) -> None:
    print(f"error: {_command}: {what}", file=sys.stderr, flush=True)


def _leave(status: int) -> None:
    for child in _children:
        child.kill()
    for clean in _last:
        clean()
    os._exit(status)
