"""What a case costs: seconds of the processor, and bytes of memory above the start.

A busy machine makes a case last longer, and cost no more; one that hangs is ended by `PATIENCE`.
"""

import os
import resource
import time
from functools import cache

CASE_SECONDS, CASE_BYTES = 10.0, 2**30
REFUSAL_SECONDS, REFUSAL_BYTES = 2.0, 200 * 10**6

ROOM = 3 * 2**30
"""Address space that a case may ask for beyond what the process has; more raises MemoryError."""

PATIENCE = 30.0
"""Seconds after which a case is ended from outside, with its process."""


class Meter:
    """Processor seconds and peak memory between `start` and `stop`."""

    def start(self) -> None:
        """Begin to measure, and let the process have ROOM more and no further."""
        os.pwrite(_open("clear_refs"), b"5", 0)  # forgets the peak
        size, self._before, _ = _memory()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, hard))
        self._started = time.process_time()

    def stop(self) -> None:
        """Leave the results in `seconds` and `bytes`."""
        self.seconds = time.process_time() - self._started
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        self.bytes = _memory()[2] - self._before

    def exceeded(self, refused: bool) -> list[str]:
        """What was more than a case may cost, `refused` or not."""
        seconds = REFUSAL_SECONDS if refused else CASE_SECONDS
        most = REFUSAL_BYTES if refused else CASE_BYTES
        what = "until it was refused" if refused else "in all"
        costs = []
        if self.seconds > seconds:
            costs.append(f"{self.seconds:.1f} s {what}")
        if self.bytes > most:
            costs.append(f"{self.bytes / 1e6:.0f} MB {what}")
        return costs


def _memory() -> tuple[int, int, int]:
    """(address space, memory, peak memory) of this process in bytes."""
    lines = os.pread(_open("status"), 8192, 0).decode().splitlines()
    sizes = {line.partition(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    size, resident, peak = (int(sizes[name]) * 1024 for name in ("VmSize", "VmRSS", "VmHWM"))
    return size, resident, peak


@cache
def _open(name: str) -> int:
    """A file of Linux about this process, opened once and for all, where no watch sees it."""
    return os.open(f"/proc/self/{name}", os.O_RDWR if name == "clear_refs" else os.O_RDONLY)
