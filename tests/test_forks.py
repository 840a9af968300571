"""A forked process that is killed while it draws a bar stops nobody else's."""

import os
import signal

from tqdm import tqdm


def test_a_bar_is_drawn_after_a_forked_process_was_killed_that_drew_one() -> None:
    lock = tqdm.get_lock()
    child = os.fork()
    if child == 0:
        tqdm.get_lock().acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert tqdm.get_lock() is lock
    for held in getattr(lock, "locks", [lock]):
        assert held.acquire(timeout=1)
        held.release()
