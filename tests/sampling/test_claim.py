"""What a claim takes from an earlier job, and how it gives what is whole its names."""

import errno
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
    for name in ("edits.json", "grid.png", "samples.json", "masks"):
        (whole / name).write_text("new")
    (tmp_path / "masks").write_text("mine")
    with pytest.raises(InputError, match="holds masks, which came while the job was at work"):
        publish(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["masks"]
    assert (tmp_path / "masks").read_text() == "mine"
    (tmp_path / "masks").unlink()
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


@pytest.mark.parametrize("where", ["whole", "images", "token"])
def test_nothing_is_published_through_a_link(where: str, tmp_path: Path) -> None:
    other, unfinished = tmp_path / "other", tmp_path / "D/.unfinished"
    (other / "images").mkdir(parents=True)
    (other / "samples.json").write_text("mine")
    unfinished.mkdir(parents=True)
    (unfinished / "request.json").write_text("{}")
    token = unfinished / ("0" * 16)
    if where == "whole":
        (unfinished / "whole").symlink_to(other)
    else:
        (unfinished / "whole").mkdir()
    if where == "images":
        token.mkdir()
        (token / "images").symlink_to(other / "images")
    elif where == "token":
        token.symlink_to(other)
    with claim(tmp_path / "D", {}, keep=True):
        pass
    assert set(os.listdir(other)) == {"images", "samples.json"}
    assert not os.listdir(tmp_path / "D")


def test_what_no_job_makes_is_not_published(tmp_path: Path) -> None:
    whole = tmp_path / ".unfinished/whole"
    whole.mkdir(parents=True)
    for name in ("samples.json", "precious", ".hidden"):
        (whole / name).write_text("new")
    publish(tmp_path)
    assert os.listdir(tmp_path) == ["samples.json"]


def test_a_disk_that_takes_no_request_keeps_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cgd_lightning.sampling.claim.whole", full)
    with pytest.raises(OSError, match="none of it is kept"), claim(tmp_path / "D", {}, keep=True):
        pytest.fail("claimed")
    assert not (tmp_path / "D").exists()
