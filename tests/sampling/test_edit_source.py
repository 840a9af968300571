"""Folders of edits are read back, and what is wrong with one is told in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.edit_source import read_edits
from tests.sampling.edit_folders import NAMES, pair, record_of, write_edits_folder
from tests.sampling.whole_source import read_source


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_edits_come_back_as_they_were_written(kind: str, tmp_path: Path) -> None:
    originals, edited = pair()
    folder = write_edits_folder(tmp_path / "edits", originals, edited, kind)
    found = read_edits(folder, NAMES, (1, 8, 8))
    assert torch.equal(found.originals, originals)
    assert torch.equal(found.edited, edited)
    assert found.sources == tuple(f"{index}.png" for index in range(6))
    assert found.files == (() if kind == "npz" else tuple(f"000{i}-{i}.png" for i in range(6)))
    assert found.labels == [0, 1, 2, 0, 1, 2]
    assert found.targets == [1, 2, 0, 1, 2, 0]
    assert found.guide is not None
    assert found.guide.flipped.tolist() == [False, True, True, True, True, True]
    pixels = read_edits(folder)
    assert (pixels.targets, pixels.labels, pixels.guide) == (None, None, None)


def test_what_nobody_said_is_none(tmp_path: Path) -> None:
    originals, edited = pair()
    entries = [
        {**entry, "label": None, "to": None, "guide": None}
        for entry in record_of(originals, edited)["edits"]
    ]
    nameless = {
        **record_of(originals, edited)["images"],
        "class_names": [],
    }  # of a model without classes
    folder = write_edits_folder(tmp_path / "e", originals, edited, edits=entries, images=nameless)
    found = read_edits(folder, NAMES)
    assert (found.targets, found.labels, found.guide) == (None, None, None)
    several = [{**entry, "to": "!a" if i else "a|c"} for i, entry in enumerate(entries)]
    found = read_edits(write_edits_folder(tmp_path / "s", originals, edited, edits=several), NAMES)
    assert found.targets == [(1.0, 0.0, 1.0), *[(0.0, 1.0, 1.0)] * 5]


def changed(**changes: Any) -> Callable[[Path], None]:
    """edits.json with other entries of its first image."""

    def change(folder: Path) -> None:
        record = json.loads((folder / "edits.json").read_text())
        record["edits"][0] |= changes
        (folder / "edits.json").write_text(json.dumps(record))

    return change


def about(**changes: Any) -> Callable[[Path], None]:
    """edits.json that says otherwise of all images together."""

    def change(folder: Path) -> None:
        record = json.loads((folder / "edits.json").read_text())
        record["images"] |= changes
        (folder / "edits.json").write_text(json.dumps(record))

    return change


def text(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "edits.json"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))

    return change


def linked(folder: Path) -> None:
    shutil.move(folder / "edited", folder.parent / "elsewhere")
    (folder / "edited").symlink_to(folder.parent / "elsewhere")


def one_linked(folder: Path) -> None:
    shutil.move(folder / "edited/0002-2.png", folder.parent)
    (folder / "edited/0002-2.png").symlink_to(folder.parent / "0002-2.png")


HOSTILE: dict[str, Callable[[Path], object]] = {
    "5 files in edited where 6 were wanted": lambda f: (f / "edited/0005-5.png").unlink(),
    "No such file": lambda f: shutil.rmtree(f / "originals"),
    "more than 6 files in originals": lambda f: (f / "originals/x.png").touch(),
    "'0003-3.png' in originals, and '0003-4.png' in edited": lambda f: (
        f / "edited/0003-3.png"
    ).rename(f / "edited/0003-4.png"),
    "images of shape [1, 4, 4]; wanted shape [1, 8, 8]": lambda f: Image.new("L", (4, 4)).save(
        f / "edited/0001-1.png"
    ),
    "images of shape [3, 8, 8]": lambda f: Image.new("RGB", (8, 8)).save(f / "edited/0001-1.png"),
    "is not a PNG": lambda f: (f / "edited/0001-1.png").write_bytes(b"GIF89a"),
    "edited is a link": linked,
    "0002-2.png": one_linked,
    "its originals are of hash": lambda f: Image.new("L", (8, 8)).save(f / "originals/0000-0.png"),
    "its edited images are of hash": lambda f: Image.new("L", (8, 8)).save(f / "edited/0000-0.png"),
    "6 entries for 7 images": about(count=7),
    "class_names: wanted a list": about(class_names="abc"),
    "edits by models that know the classes x, y": about(class_names=["x", "y"]),
    "the unknown entry 'more'": changed(more=1),
    "a list, where a name was wanted": changed(source=["x"]),
    "a name was wanted": changed(to=3),
    "the class 'z': the judge knows a, b, c": changed(label="z"),
    "the class '1': the judge knows a, b, c": changed(to="1"),
    "label z: wanted a class name": changed(to="z"),
    "label: said of 5 of 6 images": changed(label=None),
    "-1.0, where a number from 0": changed(distance=-1.0),
    "where one below 2^63 was wanted": changed(changed=10**30),
    "a mapping was wanted": changed(guide=[1]),
    "NaN, which is no number": text('"distance": 15.0', '"distance": NaN'),
    "a name that is there twice": text('"distance": 15.0', '"distance": 1, "distance": 2'),
    "a int, where a string was wanted": text('"options"', '"guide_hash": 3, "options"'),
    "a list, where a mapping was wanted": text('{"images": "scans"}', "[1]"),
    "the unknown entry 'Edits'": text('"edits"', '"Edits"'),
    "not a folder that cgd edit wrote whole": lambda f: (f / "edits.json").write_text("[1"),
    "edits.json has": lambda f: (f / "edits.json").write_text(" " * 17 * 2**20),
}


@pytest.mark.parametrize(("says", "spoil"), HOSTILE.items(), ids=HOSTILE)
def test_a_folder_that_lies_is_refused_in_one_line(
    says: str, spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = write_edits_folder(tmp_path / "edits", *pair())
    spoil(folder)
    with pytest.raises(InputError) as caught:
        read_edits(folder, NAMES, (1, 8, 8))
    assert str(caught.value).startswith(f"--edits {folder}: ")
    assert says in str(caught.value)


def test_a_folder_of_something_else_is_told_what_it_is(tmp_path: Path) -> None:
    edits = write_edits_folder(tmp_path / "edits", *pair())
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/samples.json").write_text("{}")
    for folder, says in (
        (tmp_path / "samples", "a folder of samples, which cgd sample wrote; give it as --samples"),
        (edits / "edited", f"a part of edits; give {edits}"),
        (tmp_path, "no edits there; wanted a folder that cgd edit wrote"),
        (tmp_path / "nowhere", "not there; wanted a folder that cgd edit wrote"),
    ):
        with pytest.raises(InputError) as caught:
            read_edits(folder)
        assert says in str(caught.value)
    with pytest.raises(InputError, match=r"a folder that cgd edit wrote.* give it as --edits"):
        read_source(edits)
    assert torch.equal(read_source(edits / "edited").images, pair()[1])
