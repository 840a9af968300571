"""A process that runs cases one by one, and may be killed by one."""

import logging
import os
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.kinds import kind_called
from tests.fuzz.limits import PATIENCE
from tests.fuzz.outcome import Kind, Outcome, run_case

Case = tuple[str, int]
"""(kind, number)."""


class Worker:
    """The other end of such a process. `case` is what it is at, None if it waits for one."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.folder, self.since = folder, 0.0
        self.case: Case | None = None
        self._met: set[str] = set()
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, seed, folder), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, case: Case) -> None:
        """Let it run a case."""
        # The first case of a kind waits for imports.
        self.case, self.since = case, time.monotonic() + (0 if case[0] in self._met else 60)
        self._met.add(case[0])
        self.pipe.send(case)

    def take(self) -> Outcome | None:
        """What came of the case, None while it goes on; a process that has ended or hangs is a
        problem, too.
        """
        try:
            if self.pipe.poll():
                return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return Outcome("?", problems=[f"the process ended with {self.process.exitcode}"])
        if time.monotonic() - self.since > PATIENCE:
            self.end()
            return Outcome("?", problems=[f"still running after {PATIENCE:.0f} s"])
        return None

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


def _work(pipe: Connection, seed: int, folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    logging.disable()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    kinds: dict[str, Kind] = {}
    with tempfile.TemporaryDirectory(dir=folder) as good:
        while True:
            name, number = pipe.recv()
            if name not in kinds:
                (Path(good) / name).mkdir()
                kinds[name] = kind_called(name)
                kinds[name].prepare(Path(good) / name)
            pipe.send(tried(kinds[name], f"{seed} {name} {number}", folder / "case"))


def tried(kind: Kind, key: str, folder: Path) -> Outcome:
    """What came of the case of this `key`; if it took too much, what came of a second try, when
    nothing is new to the process.
    """
    outcome = run_case(kind, key, folder)
    return run_case(kind, key, folder) if outcome.problems else outcome
