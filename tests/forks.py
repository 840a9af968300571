"""Bars of forked processes.

tqdm draws under one lock that a process shares with all that it forks, and one that is killed while
it holds the lock never gives it back: whoever draws next would wait for ever.
"""

from threading import RLock

from tqdm import tqdm


def own_lock() -> None:
    """Bars of this process are drawn under a lock that no other process knows."""
    tqdm.set_lock(RLock())
