"""One case, from its random numbers to what was wrong with it."""

import os
import random
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

import cgd_lightning
from cgd_lightning.errors import InputError
from tests.fuzz.limits import Meter
from tests.fuzz.watch import Watch

PRODUCT = str(Path(cgd_lightning.__file__).parent)

ONE_LINE = (InputError, FloatingPointError, OSError)
"""What `commands.main` tells in one line."""

LONGEST = 2000

Attempt = Callable[[], Any]
"""Reads what a case has written, in one way."""


class Kind(Protocol):
    """One kind of file: a generator and its readers."""

    may_read: bool

    def prepare(self, folder: Path) -> None:
        """Make what all cases start from, in `folder`, once a process."""

    def make(self, random: random.Random, folder: Path) -> str:
        """Write a hostile file into `folder`; a few words for what it is."""

    def attempts(self, folder: Path) -> list[Attempt]:
        """The readers, each of which should give something sane or refuse in one line."""


@dataclass
class Outcome:
    """What came of a case."""

    what: str = ""
    refused: bool = False
    problems: list[str] = field(default_factory=list)
    trace: str = ""
    seconds: float = 0.0


def run_case(kind: Kind, key: str, folder: Path) -> Outcome:
    """Make the case of this `key` in `folder`, which is emptied first, and read it under watch."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    outcome, watch = Outcome(), Watch(folder)
    watch.may_read = kind.may_read
    watch.set()
    with undone(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome.what = kind.make(random.Random(key), folder)
        attempts = kind.attempts(folder)
        with watch:
            for attempt in attempts:
                _try(attempt, outcome)
    outcome.problems = list(dict.fromkeys(outcome.problems + watch.seen))
    return outcome


def _try(attempt: Attempt, outcome: Outcome) -> None:
    meter, refused = Meter(), False
    meter.start()
    try:
        attempt()
    except ONE_LINE as error:
        refused = True
        outcome.problems += [f"{problem}{_at(error)}" for problem in wrong_with(error)]
    except BaseException as error:  # whatever is raised here would be a traceback of the command
        words = " ".join(str(error).split())[:200]
        outcome.problems.append(f"{type(error).__name__}{_at(error)}: {ascii(words)[1:-1]}")
        outcome.trace = "".join(traceback.format_exception(error))
    finally:
        meter.stop()
    outcome.problems += meter.exceeded(refused)
    outcome.seconds += meter.seconds
    outcome.refused |= refused


def wrong_with(error: BaseException) -> list[str]:
    """What is wrong with a refusal: its message, or that memory was asked for before it."""
    problems, message = [], str(error)
    if "\n" in message or "\r" in message:
        problems.append(f"a message of several lines ({message[:300]!a})")
    elif not message.isprintable():
        problems.append(f"a message that cannot be printed ({message[:300]!a})")
    if len(message) > LONGEST:
        problems.append(f"a message of {len(message)} characters ({message[:60]!a}...)")
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:  # some go round in a circle
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(cause, MemoryError) or "allocate memory" in str(cause) for cause in causes):
        problems.append("refused because memory had run out")
    return problems


def _at(error: BaseException) -> str:
    """ " at FILE:LINE", the innermost place in the product."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(PRODUCT)]
    if not own:
        own = list(frames)[-1:]
    return f" at {_shown(own[-1].filename)}:{own[-1].lineno}" if own else ""


def _shown(file: str) -> str:
    home = Path(PRODUCT).parent
    return str(Path(file).relative_to(home)) if Path(file).is_relative_to(home) else file


@contextmanager
def undone(folder: Path) -> Iterator[None]:
    """In `folder`; afterwards everything that a command leaves in the process is as before."""
    place, environment, path = os.getcwd(), dict(os.environ), list(sys.path)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        sys.path[:] = path
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


def command(run: Callable[[list[str]], None], words: list[str]) -> None:
    """Run a command of `cgd`. Raises InputError with its one line if it says one.

    Raises AssertionError, with what it said, unless that ends in one line that begins with error:.
    """
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            run(words)
    except SystemExit as end:
        if end.code in (0, None):
            return
        lines = err.getvalue().split("\n")[:-1]
        errors = [line for line in lines if line.startswith("error: ")]
        if end.code not in (1, 2) or len(errors) != 1 or lines[-1] != errors[0]:
            said = ascii(err.getvalue()[-300:])
            raise AssertionError(f"ended with {end.code} and {len(errors)} errors: {said}") from end
        raise InputError(errors[0]) from end
