"""A file that one process holds for as long as it lives."""

import errno
import os
from pathlib import Path

import pytest

from cgd_lightning import lock
from cgd_lightning.errors import InputError
from cgd_lightning.lock import locked


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
