"""What a claim takes from an earlier job, and how it gives what is whole its names."""

import os
from pathlib import Path

import pytest

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import claim, publish


def test_the_record_comes_last_and_nothing_that_is_there_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / ".unfinished/whole"
    whole.mkdir(parents=True)
    for name in ("edits.json", "grid.png", "samples.json", "zeros"):
        (whole / name).write_text("new")
    (tmp_path / "zeros").write_text("mine")
    with pytest.raises(InputError, match="holds zeros, which came while the job was at work"):
        publish(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["zeros"]
    assert (tmp_path / "zeros").read_text() == "mine"
    (tmp_path / "zeros").unlink()
    named: list[str] = []
    own = os.rename

    def rename(one: Path, other: Path) -> None:
        named.append(other.name)
        own(one, other)

    monkeypatch.setattr(os, "rename", rename)
    publish(tmp_path)
    assert set(named[2:]) == {"edits.json", "samples.json"}
    assert sorted(os.listdir(tmp_path)) == sorted(named)


def test_pieces_are_taken_from_no_link_of_an_earlier_job(tmp_path: Path) -> None:
    other, unfinished = tmp_path / "other", tmp_path / "D/.unfinished"
    other.mkdir()
    (other / "precious").write_text("mine")
    unfinished.mkdir(parents=True)
    (unfinished / "request.json").write_text("{}")
    (unfinished / ("0" * 16)).symlink_to(other)
    with claim(tmp_path / "D", {}, keep=True) as own:
        assert own.pieces.is_dir()
        assert not own.pieces.is_symlink()
        assert not os.listdir(own.pieces)
    assert (other / "precious").read_text() == "mine"
