"""Ctrl-C, or another signal, as a request to stop: a training ends its step and saves it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(BaseException):
    """The second Ctrl-C, past Lightning's trainer, which ends a KeyboardInterrupt itself."""


@contextmanager
def soft_interrupt() -> Iterator[list[int]]:
    """The first Ctrl-C stops a training at the end of its step, the second stops it at once.

    The first does as SIGTERM does, with a checkpoint. Gives a list that is empty until then. The
    second raises Interrupted.
    """
    before = signal.getsignal(signal.SIGINT)
    interrupted: list[int] = []

    def once(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, at_once)
        interrupted.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    def at_once(number: int, frame: object) -> None:
        raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    signal.signal(signal.SIGINT, once)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def stopping(number: int, interrupted: list[int]) -> Iterator[None]:
    """The signal of this number does as SIGTERM does, and is added to `interrupted`."""

    def stop(number: int, frame: object) -> None:
        interrupted.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)
