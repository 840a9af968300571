"""A bell rings once, for the signals that end a command, and for none once it is closed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgd_lightning.bell import Bell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no bell on Windows")


@pytest.fixture
def harmless() -> Iterator[None]:
    """Signals whose Python handlers do nothing."""
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def others() -> set[threading.Thread]:
    return set(threading.enumerate())


def joined(before: set[threading.Thread]) -> None:
    """Wait until the threads are gone that were not there `before`."""
    for thread in others() - before:
        thread.join(10)
        assert not thread.is_alive()


def test_it_rings_in_another_thread_for_a_signal_that_ends_a_command(harmless: None) -> None:
    heard: list[tuple[int, bool]] = []
    before, main = others(), threading.current_thread()
    bell = Bell(lambda number: heard.append((number, threading.current_thread() is main)))
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0.05)
    assert heard == []
    os.kill(os.getpid(), signal.SIGTERM)
    joined(before)
    bell.close()
    assert heard == [(signal.SIGTERM, False)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="handles are counted in /proc")
def test_closed_it_rings_for_nobody_and_holds_nothing(harmless: None) -> None:
    heard: list[int] = []
    before, handles = others(), len(os.listdir("/proc/self/fd"))
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    Bell(heard.append).close()
    joined(before)
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == []
    assert len(os.listdir("/proc/self/fd")) == handles
    assert signal.set_wakeup_fd(wakeup) == wakeup
