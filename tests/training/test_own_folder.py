"""The folder of a run is one training's alone."""

import os
from pathlib import Path

import pytest

from cgd_lightning.errors import InputError
from cgd_lightning.files import unfinished_of
from cgd_lightning.training import own_folder, slurm


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that was started by hand."""
    for name in [name for name in os.environ if name.endswith("_RANK") or "SLURM" in name]:
        monkeypatch.delenv(name)


def test_a_folder_is_held_by_one_and_cleared_of_halves(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "last.ckpt").touch()
    kept = {"samples", "last.ckpt", ".own.tmp"}
    (tmp_path / ".own.tmp").touch()
    unfinished_of(tmp_path / "best.ckpt").mkdir()  # nobody's file, and in nobody's way
    kept |= {".best.ckpt.tmp"}
    for name in ("last.ckpt", "curves.png", "samples/step_7.png", f"{slurm.MARK}12"):
        unfinished_of(tmp_path / name).touch()
    with own_folder.held(tmp_path, "settings"):
        assert set(os.listdir(tmp_path)) == kept | {own_folder.LOCK}
        assert os.listdir(tmp_path / "samples") == []
        with (
            pytest.raises(InputError, match=r"--ckpt_path .*: another command is at work there"),
            own_folder.held(tmp_path, "settings"),
        ):
            pytest.fail("held twice")
    assert set(os.listdir(tmp_path)) == kept


def test_other_processes_than_the_first_hold_and_clear_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = unfinished_of(tmp_path / "last.ckpt")
    with own_folder.held(tmp_path, "settings"):
        half.touch()
        monkeypatch.setenv("LOCAL_RANK", "1")
        with own_folder.held(tmp_path, "settings"):
            assert half.exists()
        monkeypatch.delenv("LOCAL_RANK")


def test_a_training_of_a_job_leaves_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "job", lambda: "12")
    with own_folder.held(tmp_path, "settings"):
        pass
    assert os.listdir(tmp_path) == [f"{slurm.MARK}12"]
    assert slurm.is_of(tmp_path, "settings")
    assert not slurm.is_of(tmp_path, "others")
