"""The watch sees what it is there to see, so that a fuzzer without findings says something."""

import ctypes
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cgd_lightning.errors import InputError
from tests.fuzz import values
from tests.fuzz.limits import Meter
from tests.fuzz.outcome import Attempt, Outcome, command, run_case


class Planted:
    """A kind of file whose reader does `act`."""

    may_read = False

    def __init__(self, act: Callable[[Path], object]) -> None:
        self.act = act

    def prepare(self, folder: Path) -> None:
        """Nothing."""

    def make(self, random: random.Random, folder: Path) -> str:
        (folder / "here").write_text("good", encoding="utf-8")
        return "planted"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: self.act(folder)]


def outcome(act: Callable[[Path], object], folder: Path) -> Outcome:
    return run_case(Planted(act), "0 planted 0", folder / "case")


def refuse(message: str) -> None:
    error = InputError("")
    error.args = (message,)  # which InputError itself would have made one line
    raise error


def connect(_: Path) -> None:
    with socket.socket() as line:
        line.connect_ex(("127.0.0.1", 1))


def write_by_c(folder: Path) -> None:
    """As a compiled library does, of which Python hears nothing."""
    name = os.fsencode(folder.parent / "canary/new")
    handle = libc.open(name, os.O_CREAT | os.O_WRONLY, 0o600)
    libc.close(handle)


def remove_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "canary" / "kept")
    (folder / "link").unlink()


def write_by_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "new")
    (folder / "link").write_text("", encoding="utf-8")


def import_trap(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    import evil  # noqa: F401


def run_code(folder: Path) -> None:
    exec(compile("1", str(folder / "x.py"), "exec"))


def quote_itself(_: Path) -> None:
    error = InputError("round")
    raise error from error


def run_out(_: Path) -> None:
    try:
        bytearray(2**50)
    except MemoryError as error:
        raise InputError("too large") from error


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


libc = ctypes.CDLL(None)

HARMFUL = {
    "a file outside": (lambda f: (f.parent / "new").write_text(""), "open"),
    "a file outside by a link": (write_by_link, "open"),
    "a file of the canary": (lambda f: (f.parent / "canary/kept").read_text(), "open"),
    "a file that is gone": (lambda f: os.remove(f.parent / "canary/kept"), "os.remove"),
    "a folder outside": (lambda f: os.mkdir(f.parent / "new"), "os.mkdir"),
    "a link outside": (lambda f: os.symlink("x", f.parent / "new"), "os.symlink"),
    "a file that is moved in": (
        lambda f: os.rename(f.parent / "canary/kept", f / "x"),
        "os.rename",
    ),
    "folders that are gone": (lambda f: shutil.rmtree(f.parent / "canary"), "shutil.rmtree"),
    "a file that C wrote": (write_by_c, "the canary"),
    "a program": (lambda f: subprocess.run(["true"], check=True), "subprocess.Popen"),
    "a shell": (lambda f: os.system("true"), "os.system"),
    "a socket": (connect, "socket.connect"),
    "an address": (lambda f: socket.getaddrinfo("localhost", 1), "socket.getaddrinfo"),
    "a library": (lambda f: ctypes.CDLL("libm.so.6"), "ctypes.dlopen"),
    "a trap": (import_trap, "import of evil"),
    "code": (run_code, "compile"),
    "a traceback": (lambda f: {}["x"], "KeyError at"),
    "an end": (lambda f: sys.exit(1), "SystemExit"),
    "a message of two lines": (lambda f: refuse("one\ntwo"), "several lines"),
    "a message in colour": (lambda f: refuse("\x1b[31mred"), "cannot be printed"),
    "a long message": (lambda f: refuse("x" * 2001), "2001 characters"),
    "a refusal that took time": (
        lambda f: (compute(2.1), refuse("late")),
        "until it was refused",
    ),
    "a refusal that took memory": (lambda f: (bytearray(300 * 10**6), refuse("large")), "MB until"),
    "a refusal for want of memory": (run_out, "memory had run out"),
}


@pytest.mark.parametrize(("act", "word"), HARMFUL.values(), ids=HARMFUL)
def test_harm_is_seen(act: Callable[[Path], object], word: str, tmp_path: Path) -> None:
    problems = outcome(act, tmp_path).problems
    assert any(word in problem for problem in problems), problems


HARMLESS: dict[str, Callable[[Path], object]] = {
    "reading": lambda f: (f / "here").read_text(encoding="utf-8"),
    "writing into its folder": lambda f: (f / "new").write_text("", encoding="utf-8"),
    "removing a link that leads elsewhere": remove_link,
    "a refusal": lambda f: refuse("no"),
    "a missing file": lambda f: (f / "nowhere").read_text(encoding="utf-8"),
    "a refusal whose cause is itself": quote_itself,
}


@pytest.mark.parametrize("act", HARMLESS.values(), ids=HARMLESS)
def test_what_a_reader_does_is_no_harm(act: Callable[[Path], object], tmp_path: Path) -> None:
    assert outcome(act, tmp_path).problems == []


def test_harm_is_forgotten_in_the_next_case(tmp_path: Path) -> None:
    assert outcome(HARMFUL["a trap"][0], tmp_path).problems
    assert outcome(HARMLESS["reading"], tmp_path).problems == []


def test_nothing_is_watched_between_cases(tmp_path: Path) -> None:
    seen = outcome(HARMLESS["reading"], tmp_path).problems
    (tmp_path / "outside").write_text("", encoding="utf-8")
    assert seen == []


def test_time_and_memory_are_measured() -> None:
    meter = Meter()
    meter.start()
    bytearray(10**8)
    compute(0.05)
    meter.stop()
    assert 0.9e8 < meter.bytes < 1.3e8
    assert 0.05 <= meter.seconds < 1
    meter.seconds = 10.5
    assert meter.exceeded(False) == ["10.5 s in all"]


def say(text: str, status: int) -> Callable[[list[str]], None]:
    def run(_: list[str]) -> None:
        sys.stderr.write(text)
        sys.exit(status)

    return run


def test_a_command_ends_in_one_line() -> None:
    with pytest.raises(InputError, match="error: no"):
        command(say("config: x\nerror: no\n", 2), [])
    for text in ("", "no\n", "error: a\nerror: b\n", "error: a\nmore\n"):
        with pytest.raises(AssertionError):
            command(say(text, 2), [])
    with pytest.raises(AssertionError):
        command(say("error: no\n", 3), [])


def test_a_case_is_the_same_for_the_same_key() -> None:
    good = {"a": [1, 2.0, {"b": "x"}], "c": {"d": None}}
    made = [repr(values.mutated(random.Random(f"0 {n}"), good)) for n in range(50)]
    again = [repr(values.mutated(random.Random(f"0 {n}"), good)) for n in range(50)]
    assert made == again
    assert len(set(made)) > 30
    assert repr(good) == "{'a': [1, 2.0, {'b': 'x'}], 'c': {'d': None}}"
