"""The processes of one command end together, however one of them ends.

A process that the first one started, or torchrun, looks whether that one is still there; the first
looks at those that it started. One that is left over has a few seconds to end by itself, with an
error of its own. Then it is told to stop, and if it waits somewhere for those that are gone, as
at the start, it is ended. Once the command has ended, nothing is ended any more: a program that
called it goes on. Only the standard library is imported here.
"""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType

from cgd_lightning.bell import Bell

STARTED_BY = "CGD_STARTED_BY"
"""Environment variable: the number of the first process, for those that it starts."""

OF_LIGHTNING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
"""Environment variables that Lightning sets in the process that starts others, and leaves there."""

LOOK = 0.2
"""Seconds from one look to the next."""

GRACE = 3.0
"""Seconds in which a process that is left over ends by itself, and again once it was told to."""

PATIENCE = 60.0
"""Seconds for one that has heard it, and may be writing a checkpoint."""


def is_first() -> bool:
    """Whether this process speaks for all of its command, or is the only one.

    Of those that Lightning, torchrun or SLURM's srun starts, it is the first one, on the first of
    its machines.
    """
    ranks = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
    return _first_of(ranks) == _first_of(("NODE_RANK", "GROUP_RANK")) == "0"


def _first_of(names: Sequence[str]) -> str:
    """The first of these environment variables that is set, or "0"."""
    return next((os.environ[name] for name in names if os.environ.get(name)), "0")


class Peers:
    """The processes of the command that runs in this block.

    Those that are left over when it ends are ended with it.

    Args:
        command: its name, for messages.
    """

    def __init__(self, command: str) -> None:
        place, first = os.environ.get("LOCAL_RANK", "0"), os.environ.get(STARTED_BY, "")
        self.command = command
        self.follows = place not in ("", "0") and first.isdecimal()
        """Whether the first process of the command started this one, and speaks for it."""
        self.told = False
        """Whether this process was told to stop, and why, because another one is gone."""
        self.disband: Callable[[], object] = lambda: None
        """What is called when the command is over, and this process is of no group any more."""
        self._parent = int(first) if self.follows else 0
        if "TORCHELASTIC_RUN_ID" in os.environ:
            self._parent = os.getppid()
        if sys.platform == "win32":  # there a process keeps the number of its parent
            self._parent = 0
        self._children: Sequence[subprocess.Popen[bytes]] = ()
        self._clean: list[Callable[[], object]] = []
        self._bell: Bell | None = None
        self._heard = False
        self._over = threading.Event()
        self._deciding = threading.Lock()  # whether the command is over, or this process ends

    def __enter__(self) -> "Peers":
        self._before = {name: os.environ.get(name) for name in OF_LIGHTNING}
        self._token = _running.set(self)
        if self._parent:
            threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.met()
        _running.reset(self._token)
        _restore(self._before)
        with suppress(KeyboardInterrupt):  # the second Ctrl-C, which ends them at once
            self._end_children()
        self._disband()

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Processes that are started in this block end with this one.

        This one can be ended by SIGTERM or Ctrl-C, too, while it waits for others, until `met`.
        """
        before = {STARTED_BY: os.environ.get(STARTED_BY)}
        os.environ[STARTED_BY] = str(os.getpid())
        if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
            self.met()
            self._bell = Bell(self._ring)
        try:
            yield
        finally:
            _restore(before)
            self.met()

    def met(self) -> None:
        """Leave signals to their handlers from now on: all processes are there."""
        if self._bell is not None:
            bell, self._bell = self._bell, None
            bell.close()

    def watch(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        """Let this process, and all of `children`, end when one of them fails."""
        self._children = children
        if not self._parent:
            threading.Thread(target=self._look, daemon=True).start()

    def lost(self) -> str | None:
        """What has become of another process, if one has ended before its time."""
        deadline = time.monotonic() + 2 * LOOK
        while (gone := self._gone()) is None and (self._parent or self._children):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK / 4)
        return gone

    def heard(self) -> None:
        """Say that this process has heard that it is to stop, and needs time to do so."""
        self._heard = True

    def at_last(self, clean: Callable[[], object]) -> None:
        """Have `clean` called if this process is ended while it waits for another one."""
        self._clean.append(clean)

    def stop(self) -> None:
        """Let this process be, whatever becomes of the others."""
        with self._deciding:
            self._over.set()

    def join(self) -> None:
        """Wait until all processes have ended that this one started, which has done its work."""
        self.stop()
        self._disband()
        self._wait(PATIENCE)

    def _disband(self) -> None:
        if not self.follows:  # as one that follows ends, too, and is seen to end before its group
            self.disband()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))

    def _end_children(self) -> None:
        try:
            for child in self._children:
                child.terminate()
            self._wait(2 * GRACE)
        finally:
            for child in self._children:
                child.kill()
                child.wait()

    def _gone(self) -> str | None:
        if self._parent and os.getppid() != self._parent:
            return "the process that started this one has ended, and so does this one"
        codes = [child.poll() for child in self._children]
        for rank, code in enumerate(codes, start=1):
            if code:
                how = f"with status {code}" if code > 0 else f"by {_name(-code)}"
                return f"process {rank} of 0 to {len(codes)} ended {how}, and so do the others"
        return None

    def _look(self) -> None:
        """End this process, and those that it started, once another one is gone."""
        while (gone := self._gone()) is None:
            if self._over.wait(LOOK):
                return
        self._over.wait(GRACE)
        with self._deciding:
            if not self._over.is_set() and not self._heard:
                if os.environ.get("LOCAL_RANK", "0") in ("0", "1"):  # not all that are left over
                    self._say(gone)
                self.told = True
                _thread.interrupt_main(signal.SIGTERM)
        self._over.wait(GRACE)
        if self._heard:
            self._over.wait(PATIENCE)
        self._leave(1)

    def _ring(self, number: int) -> None:
        """End this process, which still waits for others: it was sent this signal."""
        bell = self._bell
        self._over.wait(2 * GRACE)
        if bell is not None and bell is self._bell and not self._heard:
            if not self.follows:
                self._say("terminated" if number == signal.SIGTERM else "interrupted")
            self._leave(128 + number)

    def _say(self, what: str) -> None:
        with suppress(OSError):  # nobody reads it any more: this process has to end all the same
            print(f"error: {self.command}: {what}", file=sys.stderr, flush=True)

    def _leave(self, status: int) -> None:
        """End this process, unless its command is over."""
        with self._deciding:
            if self._over.is_set():
                return
            try:
                for child in self._children:
                    child.kill()
                for clean in self._clean:
                    clean()
            finally:
                os._exit(status)


_running: ContextVar[Peers | None] = ContextVar("running", default=None)


def current() -> Peers:
    """The processes of the command that runs here; those of a program, if it runs none."""
    return _running.get() or Peers("cgd")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # as of a real-time signal
        return f"signal {number}"


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
