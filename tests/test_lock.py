"""A file that one process holds for as long as it lives."""

import errno
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from cgd_lightning import lock
from cgd_lightning.errors import InputError
from cgd_lightning.lock import held, is_left_over, locked


def test_a_fork_does_not_hold_what_its_dead_process_held(tmp_path: Path) -> None:
    ready, wait = os.pipe(), os.pipe()
    first = os.fork()
    if first == 0:
        with locked(tmp_path / "lock", "here", "go away"):
            if os.fork() == 0:  # lives on while this test has not closed its pipe
                os.close(wait[1])
                os.write(ready[1], b"r")
                os.read(wait[0], 1)
            os._exit(0)
    assert os.read(ready[0], 1) == b"r"
    os.waitpid(first, 0)
    with locked(tmp_path / "lock", "here", "go away"):
        assert (tmp_path / "lock").exists()
    os.close(wait[1])
    assert not (tmp_path / "lock").exists()


def test_a_file_system_without_locks_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with locked(tmp_path / "lock", "here", "go away"):
        assert capsys.readouterr().err.startswith("here: its file system has no locks; ")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(InputError, match="here: lock in it is not a regular file; go away, or"),
        locked(tmp_path / "lock", "here", "go away"),
    ):
        pass


def test_a_lock_that_fails_otherwise_is_no_lock_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), locked(tmp_path / "lock", "D", "go"):
        pytest.fail("held")


def test_a_pipe_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with (
        pytest.raises(InputError, match="lock in it is not a regular file"),
        locked(tmp_path / "lock", "here", "go away"),
    ):
        pytest.fail("held")
    assert not is_left_over(tmp_path / "lock")


def test_a_fork_that_leaves_the_block_leaves_the_file(tmp_path: Path) -> None:
    with ExitStack() as block:
        block.enter_context(locked(tmp_path / "lock", "here", "go away"))
        child = os.fork()
        if child == 0:
            try:
                block.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert (tmp_path / "lock").exists()


def test_what_a_fork_has_of_a_dead_process_is_left_over(tmp_path: Path) -> None:
    ready, wait = os.pipe(), os.pipe()
    first = os.fork()
    if first == 0:
        with held(tmp_path / "lock"):
            if os.fork() == 0:  # lives on while this test has not closed its pipe
                os.close(wait[1])
                os.write(ready[1], b"r")
                os.read(wait[0], 1)
                os._exit(0)
            os.write(ready[1], b"r")
            signal.pause()
    for _ in range(2):
        assert os.read(ready[0], 1) == b"r"
    assert not is_left_over(tmp_path / "lock")
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert is_left_over(tmp_path / "lock")
    os.close(wait[1])
