"""What a folder holds already, of the job that is asked for or of another one."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.made import KINDS, differences, identity, is_made


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
    (tmp_path / "images").mkdir()
    files = [tmp_path / "grid.png", tmp_path / "images/0.png", tmp_path / "images/1.png"]
    if kind == "npz":
        files[1:] = [tmp_path / "samples.npz"]
        np.savez(files[1], arr_0=np.zeros((2, 4, 4, 1), np.uint8))
    for file in files:
        if not file.exists():
            file.write_bytes(b"x")
    assert not is_made(tmp_path, request)
    (tmp_path / "samples.json").write_text(json.dumps(record))
    assert is_made(tmp_path, request)
    left = "samples.npz is damaged" if kind == "npz" else "only 1 of its 2 images are left"
    for file, told in ((files[-1], left), (files[0], "grid.png is gone")):
        file.write_bytes(b"")
        with pytest.raises(InputError, match=told):
            is_made(tmp_path, request)
    for file, told in ((files[-1], "only . of its 2 images are left"), (files[0], "grid")):
        file.unlink()
        if file == files[-1]:
            files[0].write_bytes(b"x")
        with pytest.raises(InputError, match=told):
            is_made(tmp_path, request)


@pytest.mark.parametrize("name", ["samples", "edits"])
def test_an_npz_that_holds_other_images_than_its_record_says_is_damaged(
    name: str, tmp_path: Path
) -> None:
    job = EDITS if name == "edits" else {"options": {}, "networks": "n", "images": {"count": 1}}
    (tmp_path / "grid.png").write_bytes(b"x")
    (tmp_path / f"{name}.json").write_text(json.dumps(job))
    image = np.zeros((1, 4, 4, 1), np.uint8)
    np.savez(tmp_path / f"{name}.npz", arr_0=image, edited=image)
    assert is_made(tmp_path, identity(job))
    two = image[[0, 0]]
    wrong: tuple[dict[str, Any], ...] = ({"arr_0": two, "edited": two}, {"other": image})
    for arrays in wrong:
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(InputError, match=f"{name}.npz is damaged"):
            is_made(tmp_path, identity(job))


def test_a_record_that_is_too_deep_is_of_nobody(tmp_path: Path) -> None:
    for depth in range(900, 1000):
        networks = "[" * depth + "]" * depth
        text = '{"options": {}, "images": {"count": 1}, "networks": ' + networks + "}"
        (tmp_path / "samples.json").write_text(text)
        with suppress(InputError):  # of another request
            assert not is_made(tmp_path, {"networks": "n"})


EDITS: dict[str, Any] = {
    "options": {"seed": 0},
    "networks": "n",
    "judge_hash": "j",
    "images": {"hash": "i", "names_hash": "s", "masks_hash": "m", "count": 1},
}


@pytest.mark.parametrize("kind", [*KINDS, "masks"])
def test_edits_of_which_pictures_of_any_kind_are_gone_are_not_whole(
    kind: str, tmp_path: Path
) -> None:
    for name in (*KINDS, "masks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0000-a.png").write_bytes(b"x")
    (tmp_path / "grid.png").write_bytes(b"x")
    (tmp_path / "edits.json").write_text(json.dumps(EDITS))
    assert is_made(tmp_path, identity(EDITS))
    (tmp_path / kind / ".DS_Store").touch()
    (tmp_path / kind / "mine.txt").write_text("mine")
    assert is_made(tmp_path, identity(EDITS))
    (tmp_path / kind / "0000-a.png").unlink()
    with pytest.raises(InputError, match=f"only 0 of its 1 images are left in {kind}"):
        is_made(tmp_path, identity(EDITS))


@pytest.mark.parametrize("name", ["networks", "judge_hash", "images"])
def test_edits_by_other_networks_of_other_images_or_judged_by_another_are_told(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "edits.json").write_text(json.dumps(EDITS))
    other = {**EDITS["images"], "hash": "other"} if name == "images" else "other"
    with pytest.raises(InputError, match=r'holds edits of another request .* there, "other" here'):
        is_made(tmp_path, identity({**EDITS, name: other}))


@pytest.mark.parametrize(
    "images",
    [[], "abc", None, {}, {"count": "1"}, {"count": True}, {"count": 0}, {"hash": "i", "count": 1}],
)
@pytest.mark.parametrize("record", ["samples.json", "edits.json"])
def test_a_record_that_does_not_say_what_it_is_of_is_of_nobody(
    record: str, images: Any, tmp_path: Path
) -> None:
    said = {"options": {"seed": 0}, "networks": "n", "images": images}
    (tmp_path / record).write_text(json.dumps(said))
    (tmp_path / record).with_suffix(".npz").write_bytes(b"x")
    job = EDITS if record == "edits.json" else {"options": {"seed": 0}, "networks": "n"}
    assert not is_made(tmp_path, identity(job))
