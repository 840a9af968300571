"""Bars of forked processes.

tqdm draws under one lock that a process shares with all that it forks, and one that is killed while
it holds the lock never gives it back: whoever draws next would wait for ever.
"""

import os
from threading import RLock

from tqdm import tqdm


def _own_lock() -> None:
    tqdm.set_lock(RLock())


os.register_at_fork(after_in_child=_own_lock)
