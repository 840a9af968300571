"""True masks by the names of images, with their kinds, and what difference maps find of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.anomaly import anomaly_report
from cgd_lightning.evaluation.maps import difference_map
from cgd_lightning.sampling.edit_evaluation import check_apart, measure_maps, threshold_of
from cgd_lightning.sampling.edit_source import StoredEdits, read_edits
from cgd_lightning.sampling.lesion_files import write_lesions
from cgd_lightning.sampling.true_masks import read_true_masks
from cgd_lightning.strokes import dilated_strokes
from tests.sampling.edit_folders import NAMES, pair, record_of, write_edits_folder, write_masks

MASKS = torch.zeros(6, 1, 8, 8, dtype=torch.bool)
MASKS[:4, :, 1:4, 2:5] = True
KINDS = torch.tensor([1, 2, 3, 1, 0, 0])


@pytest.fixture
def edits(tmp_path: Path) -> StoredEdits:
    return read_edits(write_edits_folder(tmp_path / "edits", *pair()), NAMES)


def test_masks_are_found_by_the_name_of_the_image_or_of_its_picture(
    edits: StoredEdits, tmp_path: Path
) -> None:
    folder = write_masks(tmp_path / "masks", MASKS)
    found = read_true_masks(folder, edits)
    assert torch.equal(found.masks, MASKS)
    assert found.kinds is None
    for index, name in enumerate(edits.files):
        (folder / f"{index}.png").rename(folder / name)
    assert torch.equal(read_true_masks(folder, edits).masks, MASKS)


def test_a_folder_of_lesions_gives_masks_and_kinds(tmp_path: Path) -> None:
    originals, edited = pair()
    write_lesions(tmp_path / "lesions", originals, MASKS, KINDS)
    entries = record_of(originals, originals)["edits"]
    named = [{**entry, "source": f"{i:04}.png"} for i, entry in enumerate(entries)]
    folder = write_edits_folder(tmp_path / "edits", originals, edited, edits=named)
    edits = read_edits(folder, NAMES)
    found = read_true_masks(tmp_path / "lesions", edits)
    assert torch.equal(found.masks, MASKS)
    assert found.kinds is not None
    kinds = ["stroke", "blot", "missing", "stroke", "none", "none"]
    assert [found.kind_names[kind] for kind in found.kinds] == kinds
    report = measure_maps(edits, found).report
    assert {name: own.n for name, own in report.by_kind.items()} == {
        "blot": 1,
        "missing": 1,
        "stroke": 2,
    }
    (tmp_path / "lesions/kinds.csv").write_text("file,kind\n0000.png,blot\n")
    with pytest.raises(InputError, match=r"kinds.csv says nothing of '0001.png'"):
        read_true_masks(tmp_path / "lesions", edits)
    for text, says in (
        ("0000.png,blot\n", "wanted the line file,kind at its head"),
        ("file;kind\n0000.png;blot\n", "file,kind at its head, separated by a comma"),
        ("file,kind\n\n0000.png;blot\n", "line 3: wanted FILE,KIND, separated by a comma"),
        ("file,kind\n0000.png\n", "line 2: wanted FILE,KIND"),
        ("file,kind\na,b\na,c\n", "line 3: wanted FILE,KIND, separated by a comma, each file once"),
        ("file,kind\na,\x1b[31m\n", "cannot be printed"),
        ('file,kind\n"a', "kinds.csv: unexpected end of data"),
    ):
        (tmp_path / "lesions/kinds.csv").write_text(text)
        with pytest.raises(InputError) as caught:
            read_true_masks(tmp_path / "lesions", edits)
        assert says in str(caught.value)


def test_kinds_that_a_spreadsheet_wrote_are_read(edits: StoredEdits, tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", MASKS)
    lines = "".join(f"{index}.png,blot\r\n" for index in range(6))
    (folder / "kinds.csv").write_bytes(f"\ufefffile,kind\r\n{lines}\r\n,\r\n".encode())
    assert read_true_masks(folder, edits).kind_names == ("blot",)


def test_masks_of_images_that_were_resized_are_resized_as_they_were(
    edits: StoredEdits, tmp_path: Path
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for index in range(6):
        large = np.zeros((80, 96), dtype=np.uint8)
        large[10 + index, 18] = 255  # of 10 x 10 pixels: at row 1, and at 1 after 8 are cut off
        large[:, :8] = large[:, 88:] = 255
        Image.fromarray(large).save(folder / f"{index}.png")
    for option in ("--masks", "--validation_masks"):
        with pytest.raises(
            InputError, match=rf"^{option} .*80 x 96 .*wanted the same, or --resize"
        ):
            read_true_masks(folder, edits, option)
    masks = read_true_masks(folder, edits, resize=True).masks
    wanted = torch.zeros(6, 1, 8, 8, dtype=torch.bool)
    wanted[:, :, 1, 1] = True
    assert torch.equal(masks, wanted)


def test_maps_are_measured_as_of_tensors_with_a_threshold_of_other_images(
    edits: StoredEdits, tmp_path: Path
) -> None:
    true = read_true_masks(write_masks(tmp_path / "masks", MASKS), edits)
    other = read_edits(write_edits_folder(tmp_path / "val", *pair(seed=1)), NAMES)
    check_apart(edits, other)
    threshold = threshold_of(other, true, 1)
    found = measure_maps(edits, true, threshold, 1, 1)
    maps = difference_map(edits.originals, edits.edited, 1)
    region = dilated_strokes(edits.originals, 1)
    assert found.report == anomaly_report(maps, MASKS, threshold, region)
    assert measure_maps(edits, true).report.found.dice is None
    both = read_edits(write_edits_folder(tmp_path / "both", *pair(3)), NAMES)
    with pytest.raises(InputError, match="3 of its 3 images are among those"):
        check_apart(read_edits(tmp_path / "both"), both)


def test_masks_that_do_not_fit_are_refused_in_one_line(edits: StoredEdits, tmp_path: Path) -> None:
    black = write_masks(tmp_path / "black", MASKS & False)
    few = write_masks(tmp_path / "few", MASKS[:5])
    small = write_masks(tmp_path / "small", MASKS[..., :4])
    grey = write_masks(tmp_path / "grey", MASKS)
    Image.new("L", (8, 8), 100).save(grey / "2.png")
    broken = write_masks(tmp_path / "broken", MASKS)
    (broken / "3.png").write_bytes(b"PNG")
    for folder, says in (
        (black, "no lesion in any of 6 masks"),
        (few, "no mask for the image '5.png'"),
        (small, "8 x 4 pixels, and the images have 8 x 8; wanted the same"),
        (grey, "no grey level above 100; wanted white, 255, where the lesion is"),
        (broken, "not an image that can be read"),
        (tmp_path / "edits", "a folder that cgd edit wrote, whose masks say where an image might"),
        (tmp_path / "nowhere", "no such folder"),
    ):
        with pytest.raises(InputError) as caught:
            read_true_masks(folder, edits)
        assert str(caught.value).startswith("--masks ")
        assert says in str(caught.value)


@pytest.mark.parametrize("name", ["../0.png", "/etc/0.png", "C:\\0.png", "..\\0.png", ""])
def test_no_mask_is_looked_for_outside_its_folder(name: str, tmp_path: Path) -> None:
    originals, edited = pair(1)
    [entry] = record_of(originals, originals)["edits"]
    folder = write_edits_folder(
        tmp_path / "edits", originals, edited, edits=[{**entry, "source": name}]
    )
    masks = write_masks(tmp_path / "below/masks", MASKS[:1])
    (masks / "0.png").rename(tmp_path / "below/0.png")
    with pytest.raises(InputError, match=r"edits\.json calls an image"):
        read_true_masks(masks, read_edits(folder, NAMES))
