"""`python -m tests.fuzz`: hostile files of every kind, read under watch.

    python -m tests.fuzz                                    20,000 cases, as `make fuzz` does
    python -m tests.fuzz --cases 2000                       fewer, of every kind its share
    python -m tests.fuzz --kind checkpoint --case 1234      one of them again

Prints a line for each failure, one for each kind, and how many passed; ends with 1 if one failed.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

from tests.fuzz.kinds import CASES
from tests.fuzz.outcome import Outcome
from tests.fuzz.worker import Case, Worker

WORKERS = 2
KEPT = 50
"""At most so many hostile files are kept."""


def main() -> int:
    """Run what the command line asks for; 1 if a case failed."""
    options = _options()
    kinds = [options.kind] if options.kind else list(CASES)
    share = 1.0 if options.cases is None else options.cases / sum(CASES[kind] for kind in kinds)
    cases = [(kind, number) for kind in kinds for number in range(round(CASES[kind] * share))]
    if options.case is not None:
        cases = [(options.kind, options.case)]
    folder = Path(tempfile.mkdtemp(prefix="cgd-fuzz-"))
    count, failed = Counter[str](), Counter[str]()
    seconds, slowest = Counter[str](), dict[str, tuple[float, int]]()
    for (kind, number), outcome, place in run(cases, options.seed, folder):
        count[kind] += 1
        seconds[kind] += outcome.seconds
        slowest[kind] = max(slowest.get(kind, (0.0, 0)), (outcome.seconds, number))
        if outcome.problems:
            failed[kind] += 1
            kept = _keep(place, folder / "failed" / f"{kind}-{number}", failed.total())
            print(
                f"FAILED {kind} {number} ({outcome.what}): {'; '.join(outcome.problems)}{kept}",
                flush=True,
            )
            if options.case is not None:
                print(outcome.trace, end="")
        if count[kind] == sum(case[0] == kind for case in cases):
            longest, at = slowest[kind]
            print(
                f"{kind}: {count[kind]} cases in {seconds[kind]:.0f} s, the longest {longest:.2f} "
                f"s (case {at}), {failed[kind]} failed",
                flush=True,
            )
    print(f"{count.total() - failed.total()} passed, {failed.total()} failed")
    if not failed:
        shutil.rmtree(folder)
    return 1 if failed else 0


def run(cases: list[Case], seed: int, folder: Path) -> Iterator[tuple[Case, Outcome, Path]]:
    """(case, what came of it, the folder where its files are until the next one) of all `cases`."""
    left = iter(cases)
    places = [folder / f"worker-{number}" for number in range(min(WORKERS, len(cases)))]
    for place in places:
        place.mkdir()
    workers = [Worker(seed, place) for place in places]
    for worker in workers:
        worker.give(next(left))
    while busy := [worker for worker in workers if worker.case is not None]:
        wait([worker.pipe for worker in busy], timeout=1.0)
        for worker in busy:
            outcome = worker.take()
            if outcome is None:
                continue
            assert worker.case is not None
            yield worker.case, outcome, worker.folder / "case"
            if not worker.process.is_alive():
                workers.remove(worker)
                worker = Worker(seed, worker.folder)
                workers.append(worker)
            worker.case = None
            if (case := next(left, None)) is not None:
                worker.give(case)
    for worker in workers:
        worker.end()


def _keep(place: Path, target: Path, number: int) -> str:
    if number > KEPT or not place.is_dir():
        return ""
    target.parent.mkdir(exist_ok=True)
    shutil.copytree(place, target, symlinks=True, ignore=_pipes)
    return f" [{target}]"


def _pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_fifo()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--kind", choices=list(CASES), help="one kind alone")
    parser.add_argument("--case", type=int, help="one case alone, of --kind")
    parser.add_argument("--cases", type=int, help="so many cases in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.case is not None and options.kind is None:
        parser.error("--case wants --kind")
    return options


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(status)
