"""Signals that end a process which waits where Python calls no handler.

Python calls its handlers in the main thread alone, which does not come back from a wait in C, as
for other processes at the start of a command. Another thread hears of the signal by a pipe.
"""

import os
import signal
import threading
from collections.abc import Callable


class Bell:
    """Calls `ring` with the number of the first SIGTERM or Ctrl-C, in a thread of its own.

    It is made and closed in the main thread. What took the numbers of signals before takes them
    again once this is closed.
    """

    def __init__(self, ring: Callable[[int], object]) -> None:
        heard, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self._before = signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        threading.Thread(target=_listen, args=(heard, ring), daemon=True).start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._bell)


def _listen(heard: int, ring: Callable[[int], object]) -> None:
    number = 0
    while number not in (signal.SIGTERM, signal.SIGINT):
        signals = os.read(heard, 1)
        if not signals:
            break
        number = signals[0]
    os.close(heard)
    if number:
        ring(number)
