"""What a claim says of another request, and of samples of which something is gone."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import claim, differences, is_made, publish


@pytest.mark.parametrize(
    ("there", "here", "told"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, ""),
        ({"a": (1, 2)}, {"a": [1, 2]}, ""),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b 1 there, 2 here"),
        ({"a": 1, "b": 1}, {"b": 1}, "a 1 there, not given here"),
        ({"b": 1}, {"a": 1, "b": 1}, "a not given there, 1 here"),
        (
            {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
            {"a": 2, "b": 2, "c": 2, "d": 2, "e": 1},
            "a 1 there, 2 here, b 1 there, 2 here, c 1 there, 2 here, and 1 more",
        ),
    ],
)
def test_what_differs_is_told_wherever_it_stands(there: Any, here: Any, told: str) -> None:
    assert differences(json.loads(json.dumps(there)), here) == told


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_samples_of_which_something_is_gone_or_empty_are_not_whole(
    kind: str, tmp_path: Path
) -> None:
    record = {"options": {"seed": 0}, "networks": "n", "images": {"count": 2}}
    request = {"seed": 0, "networks": "n"}
    names = ["samples.npz"] if kind == "npz" else ["images/0.png", "images/1.png"]
    (tmp_path / "images").mkdir()
    for name in ("grid.png", *names):
        (tmp_path / name).write_bytes(b"x")
    assert not is_made(tmp_path, request)
    (tmp_path / "samples.json").write_text(json.dumps(record))
    assert is_made(tmp_path, request)
    left = f"only {len(names) - 1} of its 2 images are left"
    for name, told in ((names[-1], left), ("grid.png", "grid.png is gone")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match=told):
            is_made(tmp_path, request)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=told):
            is_made(tmp_path, request)


def test_the_record_comes_last_and_nothing_that_is_there_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / ".unfinished/whole"
    whole.mkdir(parents=True)
    for name in ("edits.json", "grid.png", "samples.json", "zeros"):
        (whole / name).write_text("new")
    (tmp_path / "zeros").write_text("mine")
    with pytest.raises(InputError, match="holds zeros, which came while the samples were made"):
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
