"""The images that an edit begins with, and its masks, from files and from a data set."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning.data.images import ImageTensors
from cgd_lightning.diffusion.targets import parse_targets
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.edit_images import EditImages, Given, in_full, notes_on, read_given

SHAPE, NAMES = (1, 8, 8), ("a", "b", "c")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with images of two classes and pictures that are no masks."""
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("c", "a", "a")):
        Path("scans", name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * index).save(Path("scans", name, f"{index}.png"))
    Path("empty").mkdir()
    Path("edits").mkdir()
    Path("edits/edits.json").write_text("{}")
    Path("h.py").write_text("print()")
    Image.fromarray(np.eye(8, dtype=np.uint16)).save("faint.png")
    for name, level in (("black", 0), ("white", 255)):
        Image.new("L", (8, 8), level).save(f"{name}.png")
    sides = np.zeros((8, 12), dtype=np.uint8)
    sides[:, 0] = 255
    Image.fromarray(sides).save("sides.png")
    halved = np.zeros((14, 12), dtype=np.uint8)
    halved[3:5, 2:4] = 255
    Image.fromarray(halved).save("halved.png")
    Image.new("L", (8, 8), 1).save("dark.png")
    Image.new("L", (8, 4), 255).save("wide.png")
    white = Image.new("L", (4, 4), 0)
    white.paste(255, (0, 0, 2, 4))
    white.save("small.png")
    Image.new("RGB", (8, 8), "red").save("red.png")


def read(shape: tuple[int, int, int] = SHAPE, **wanted: Any) -> Given:
    return read_given(EditImages(**wanted), shape, NAMES)


def test_images_of_a_folder_keep_names_and_classes() -> None:
    given = read(images="scans")
    assert given.names == ("a/1.png", "a/2.png", "c/0.png")
    assert given.labels == [0, 0, 2]
    assert given.images[:, 0, 0, 0].tolist() == [10, 20, 0]
    assert given.masks is None
    few = read(images="scans", num_images=2)
    assert few.names == given.names[:2]
    assert torch.equal(few.images, given.images[:2])
    assert few.labels == [0, 0]


def test_images_of_a_file_or_an_array_have_no_classes_unless_it_tells_them() -> None:
    assert read(images="scans/a/1.png").names == ("1.png",)
    array = np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8, 1)
    np.savez("two.npz", arr_0=array)
    given = read(images="two.npz")
    assert (given.names, given.labels) == (("0", "1"), None)
    assert np.array_equal(given.images.permute(0, 2, 3, 1).numpy(), array)
    np.savez("told.npz", arr_0=array, arr_1=np.array([2, 1]))
    assert read(images="told.npz", num_images=1).labels == [2]


def test_images_of_a_split_are_always_the_same_and_keep_their_classes() -> None:
    images = torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1).repeat(1, 1, 8, 8)
    split = ImageTensors(images, torch.arange(100) % 3)
    given = read_given(EditImages("test", num_images=5), SHAPE, NAMES, split)
    places = given.images[:, 0, 0, 0].tolist()
    assert given.names == tuple(f"test-{place}" for place in places)
    assert given.labels == [place % 3 for place in places]
    again = read_given(EditImages("test"), SHAPE, NAMES, split)
    assert len(again.names) == 64
    assert set(given.names) <= set(again.names)


def test_a_mask_is_brought_to_the_size_of_the_images_with_them() -> None:
    given = read(images="small.png", mask="small.png", resize=True)
    assert given.masks is not None
    assert given.masks.shape == (1, 1, 8, 8)
    assert given.masks[0, 0].all(dim=0).tolist() == [True] * 4 + [False] * 4
    inside = read(images="small.png", mask="small.png", resize=True, keep="inside")
    assert inside.masks is not None
    assert torch.equal(inside.masks, ~given.masks)


def test_small_white_parts_of_a_large_mask_stay() -> None:
    Image.new("L", (160, 160)).save("large.png")
    spot = np.zeros((160, 160), dtype=np.uint8)
    spot[63:66, 0] = 255
    Image.fromarray(spot).save("spot.png")
    given = read(images="large.png", mask="spot.png", resize=True)
    assert given.masks is not None
    assert given.masks[0, 0].nonzero().tolist() == [[3, 0]]
    halved = read(images="large.png", mask="halved.png", resize=True)  # by 1.5, and 2 cut off
    assert halved.masks is not None
    assert halved.masks[0, 0].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_what_is_transparent_in_a_mask_is_black() -> None:
    for mode in ("RGBA", "LA"):
        clear = np.full((8, 8, len(mode)), 255, dtype=np.uint8)
        clear[2:, :, -1] = 0
        Image.fromarray(clear, mode).save("clear.png")
        given = read(images="scans", mask="clear.png")
        assert given.masks is not None
        assert given.masks[0, 0].all(dim=1).tolist() == [True] * 2 + [False] * 6
        assert not given.masks[0, 0, 2:].any()


def test_a_mask_of_16_bits_is_white_from_half_of_them() -> None:
    for level, white in ((65535, True), (32768, True), (32767, False)):
        wide = np.zeros((8, 8), dtype=np.uint16)
        wide[0], wide[1] = 65535, level
        for name in ("wide-mask.png", "wide-mask.tif"):
            Image.fromarray(wide).save(name)
            given = read(images="scans", mask=name)
            assert given.masks is not None
            assert given.masks[0, 0, :, 3].tolist() == [True, white] + [False] * 6


def notes(**wanted: Any) -> list[str]:
    return list(notes_on(read(**wanted), EditImages(**wanted)))


def test_images_of_12_bits_in_16_are_told() -> None:
    Image.fromarray(np.full((8, 8), 4080, dtype=np.uint16)).save("scans/a/3.png")
    said = "note: {} is nearly black: its brightest pixel is 4080 of 65535; stretch the range of"
    for images, name in (("scans", "'a/3.png'"), ("scans/a/3.png", "'3.png'")):
        [note] = notes(images=images)
        assert note.startswith(said.format(name))
    Image.fromarray(np.full((8, 8), 40800, dtype=np.uint16)).save("scans/a/3.png")
    assert not notes(images="scans")


def test_masks_that_let_nothing_change_in_their_image_are_counted() -> None:
    for index, folder in enumerate(("masks/a", "masks/c")):
        Path(folder).mkdir(parents=True)
        Image.new("L", (8, 8), 255 * index).save(Path(folder, "0.png"))
    for name in ("1.png", "2.png"):
        Image.new("L", (8, 8)).save(Path("masks/a", name))
    said = ["note: 2 of 3 masks let nothing change in their image"]
    assert notes(images="scans", mask="masks") == said
    assert not notes(images="scans", mask="white.png")


WRONG: dict[str, dict[str, Any]] = {
    "which images": {"images": None},
    "--num_images 0: wanted 1 to": {"num_images": 0},
    "--keep inside: of which mask": {"keep": "inside"},
    "--mask no.png: no such file": {"mask": "no.png"},
    "--mask wide.png: 4 x 8 pixels, and the images have 8 x 8": {"mask": "wide.png"},
    "--mask dark.png: no grey level above 1; wanted white": {"mask": "dark.png"},
    "--mask faint.png: no grey level above 1; wanted white, 65535": {"mask": "faint.png"},
    "--mask black.png: all black: nothing may change with --keep outside": {"mask": "black.png"},
    "--mask black.png: all black: nothing is kept with --keep inside": {
        "mask": "black.png",
        "keep": "inside",
    },
    "--mask white.png: all white: nothing may change with --keep inside": {
        "mask": "white.png",
        "keep": "inside",
    },
    "--mask sides.png: all black, or white only where --resize cuts it off": {
        "mask": "sides.png",
        "resize": True,
    },
    "--mask '': wanted a file": {"mask": ""},
    "--mask empty: no mask for the image 'a/1.png'": {"mask": "empty"},
    "--mask .*not-a-mask.png: not an image": {"mask": "not-a-mask.png"},
    "--mask scans: a folder, and --images two.npz has no files": {
        "images": "two.npz",
        "mask": "scans",
    },
    "--images empty: no images in it": {"images": "empty"},
    "--images nowhere: not there": {"images": "nowhere"},
    r"--images h.py: is there, but no picture, which would end in .*, .png, .*DICOM": {
        "images": "h.py"
    },
    "which images[?] give": {"images": ""},
    r"--images edits: a folder that cgd edit wrote; wanted images; give its edits/edited as --im": {
        "images": "edits"
    },
    r"--images two.npz: images of shape \[1, 8, 8\]; wanted shape \[1, 4, 4\]; --resize is of": {
        "images": "two.npz",
        "resize": True,
        "shape": (1, 4, 4),
    },
    r"--images red.png: 'red.png' has shape \[3, 8, 8\]; wanted \[1, 8, 8\], or --resize": {
        "images": "red.png"
    },
    "--images not-a-mask.png: .*not an image": {"images": "not-a-mask.png"},
}


@pytest.mark.parametrize(("says", "wanted"), WRONG.items(), ids=WRONG)
def test_what_is_no_image_and_no_mask_is_refused(says: str, wanted: dict[str, Any]) -> None:
    np.savez("two.npz", arr_0=np.zeros((2, 8, 8, 1), dtype=np.uint8))
    Path("not-a-mask.png").write_text("hello")
    with pytest.raises(InputError, match=says):
        read(**{"images": "scans", **wanted})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_no_pipe_is_waited_on() -> None:
    os.mkfifo("pipe.png")
    with pytest.raises(InputError, match=r"--images pipe\.png: is there, but no picture"):
        read(images="pipe.png")


def test_a_mask_with_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgd_lightning.data.pictures.MOST_PIXELS", 40)
    with pytest.raises(InputError, match=r"--mask dark.png: 8 x 8 pixels; wanted at most 40"):
        read(images="small.png", mask="dark.png", resize=True)


def test_labels_are_written_so_that_they_come_back() -> None:
    names = ("a", "b, or c", "!d")
    assert in_full("--to next", 1, [0, 1, 2], names) == '"b, or c","!d",a'
    for known in (names, ("1", "x,y", "0")):
        written = in_full("--to next", 1, [0, 1, 2], known)
        assert parse_targets(written, known, 3)[0] == [1, 2, 0]
    with pytest.raises(InputError, match="--to next: wants the class"):
        in_full("--to next", 1, None, names)
