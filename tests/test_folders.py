"""Folders that are whole or not there."""

import os
import signal
from pathlib import Path

import pytest

from cgd_lightning.folders import whole_folder, whole_folders


def test_two_writers_of_one_name_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "x"

    def late() -> None:
        with whole_folder(target) as mine:
            (mine / "file").write_text("late")
            with whole_folder(target) as theirs:
                (theirs / "file").write_text("early")
            assert (mine / "file").read_text() == "late"

    with pytest.raises(FileExistsError, match="is there already"):
        late()
    assert os.listdir(tmp_path) == ["x"]
    assert (target / "file").read_text() == "early"


def test_folders_that_look_like_ours_are_left_alone(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in (".x.tmp", ".x.unfinished", ".x.")]
    for folder in theirs:
        folder.mkdir()
        (folder / "precious").touch()
    with whole_folder(tmp_path / "x") as made:
        (made / "file").touch()
    assert all((folder / "precious").exists() for folder in theirs)
    assert len(os.listdir(tmp_path)) == 4


def test_what_a_killed_process_left_goes_with_the_next_and_that_of_a_living_one_stays(
    tmp_path: Path,
) -> None:
    def begun() -> int:
        ready, wait = os.pipe()
        process = os.fork()
        if process == 0:
            with whole_folder(tmp_path / "x") as made:
                (made / "file").touch()
                os.write(wait, b"r")
                signal.pause()
        assert os.read(ready, 1) == b"r"
        return process

    def end(process: int) -> None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)

    precious = [tmp_path / ".x.precious/x", tmp_path / ".x.backed_u/lock", tmp_path / ".x.backed_u"]
    precious[0].mkdir(parents=True)
    precious[1].mkdir(parents=True)
    precious += [tmp_path / ".x.foreign_/lock", tmp_path / ".x.foreign_/mine"]
    precious[-1].parent.mkdir()
    for file in precious[-2:]:
        file.touch()
    (tmp_path / ".x.12345678").symlink_to(tmp_path / ".x.precious")
    before = set(os.listdir(tmp_path))
    end(begun())
    living = begun()
    left = set(os.listdir(tmp_path)) - before
    assert len(left) == 1  # the first one's went when the second began
    with whole_folder(tmp_path / "x"):
        assert left < set(os.listdir(tmp_path))
    end(living)
    with whole_folder(tmp_path / "deep/x"), whole_folder(tmp_path / "y"):
        assert left < set(os.listdir(tmp_path))  # of another path
    (tmp_path / "x").rmdir()
    with whole_folder(tmp_path / "x"):
        assert not left & set(os.listdir(tmp_path))
    assert set(os.listdir(tmp_path)) == before | {"deep", "x", "y"}
    assert all(path.exists() for path in precious)


def test_a_folder_has_the_mode_that_the_umask_says(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with whole_folder(tmp_path / "x"):
        pass
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_error_leaves_none_of_several_and_an_empty_folder_is_filled(tmp_path: Path) -> None:
    targets = (tmp_path / "a", tmp_path / "deep" / "b")
    targets[0].mkdir()
    with pytest.raises(FileNotFoundError), whole_folders(*targets) as made:
        (made[0] / "nothing" / "file").touch()
    assert os.listdir(targets[0]) == os.listdir(tmp_path / "deep") == []
    with whole_folders(*targets) as made:
        for folder in made:
            (folder / "file").write_text(folder.name)
    assert [(target / "file").read_text() for target in targets] == ["a", "b"]


def test_what_cannot_all_be_named_is_not_named_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, own = (tmp_path / "a", tmp_path / "b"), os.rename

    def rename(one: Path, other: Path) -> None:
        if other == targets[1]:
            raise OSError("not this one")
        own(one, other)

    def make() -> None:
        with whole_folders(*targets) as made:
            for folder in made:
                (folder / "file").touch()
            monkeypatch.setattr(os, "rename", rename)

    with pytest.raises(OSError, match="not this one"):
        make()
    assert not os.listdir(tmp_path)


def test_a_link_to_an_empty_folder_is_neither_filled_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x").symlink_to(tmp_path / "empty")
    with pytest.raises(FileExistsError, match="is there already"), whole_folder(tmp_path / "x"):
        pytest.fail("made")
    assert (tmp_path / "x").is_symlink()
