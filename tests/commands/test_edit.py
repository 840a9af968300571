"""`cgd edit`: images as another class, in files, with what classifiers say of them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import DDIM, Request, Start, checkpoints, edit
from cgd_lightning.commands.main import COMMANDS, HELP
from cgd_lightning.data.pictures import decode
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.sampling.edit_maps import absolute_maps, signed_maps
from tests.command_line import untrained_judge
from tests.sampling.whole_source import read_source

Cgd = Callable[..., tuple[int, str, str]]

EDIT = ("edit", "--ckpt=runs/diffusion", "--device=cpu", "--steps=3", "--scale=4")
NAMES = tuple("0123456789")


def photographs(folder: str, count: int = 3, size: tuple[int, int] = (16, 16)) -> Path:
    """Grey pictures in sub-folders that are called as classes are."""
    random = np.random.default_rng(0)
    for index in range(count):
        file = Path(folder, str(index % 2 + 3), f"scan{index}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(file)
    return Path(folder)


def pixels(file: Path) -> Any:
    return np.asarray(Image.open(file)).astype(int)


def record(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "edits.json").read_text())


def last(err: str) -> str:
    """The one line of an error."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    return lines[0]


@pytest.fixture
def judge(workplace: Path) -> Path:
    """A judge beside the pair, which nobody trained."""
    return untrained_judge(workplace / "runs")


def test_a_folder_is_edited_and_every_image_is_told(judge: Path, cgd: Cgd) -> None:
    photographs("scans")
    code, out, err = cgd(*EDIT, "--images=scans", "--to=9,1", "--strength=0.6")
    assert code == 0, err
    summary, sheet = out.splitlines()
    folder = Path("runs/diffusion/version_0/edits/0")
    assert Path(sheet) == folder / "grid.png"
    assert "3 images" in summary
    assert "says the judge" in summary
    assert re.search(r"median distance .*, median share of changed pixels \d+\.\d%", summary)
    assert f"judge: {judge}" in err
    kinds = ("originals", "edited", "differences", "changes")
    assert {file.name for file in folder.iterdir()} == {"grid.png", "edits.json", *kinds}
    names = ["0000-scan0.png", "0001-scan2.png", "0002-scan1.png"]
    for kind in kinds:
        assert sorted(file.name for file in (folder / kind).iterdir()) == names
    found = record(str(folder))
    images = read_source(Path("scans"), (1, 16, 16), NAMES).images
    request = Request.from_plain(found["options"])
    assert request.sampler == DDIM(3)
    assert request.start == Start(0.6)
    wanted = edit(request, images, device="cpu")
    for index, (name, said) in enumerate(zip(names, found["edits"], strict=True)):
        before, after = pixels(folder / "originals" / name), pixels(folder / "edited" / name)
        assert np.array_equal(before, images[index, 0].numpy())
        assert np.array_equal(after, wanted.edited[index, 0].numpy())
        assert np.array_equal(pixels(folder / "changes" / name), abs(after - before))
        assert said["distance"] == pytest.approx(abs(after - before).mean(), abs=1e-5)
        assert said["changed"] == pytest.approx((abs(after - before) >= 8).mean(), abs=1e-5)
        assert said["to"] == ("9", "1", "9")[index]
        assert wanted.guide is not None
        assert said["guide"]["after"]["p_to"] == pytest.approx(
            wanted.guide.log_p[1].exp()[index].item(), abs=1e-5
        )
    assert [said["source"] for said in found["edits"]] == [
        "3/scan0.png",
        "3/scan2.png",
        "4/scan1.png",
    ]
    assert [said["label"] for said in found["edits"]] == ["3", "3", "4"]
    network = checkpoints.load(judge, CleanClassifier)
    judged = wanted.judged(network).judge
    assert judged is not None
    assert [said["judge"]["after"]["class"] for said in found["edits"]] == [
        NAMES[k] for k in judged.after.argmax(1)
    ]
    assert found["summary"]["flipped"] == int((judged.met & ~judged.met_before).sum())
    assert not list(folder.glob(".*"))


def test_the_test_images_of_the_data_set_become_the_next_class(workplace: Path, cgd: Cgd) -> None:
    words = (*EDIT, "--images=test", "--to=next", "--from=true", "--num_images=5")
    code, out, err = cgd(*words, "--out=a", "--format=npz")
    assert code == 0, err
    assert "judge: none fits beside the run" in err
    assert "says the guide itself" in out
    with np.load("a/edits.npz") as arrays:
        stored = {name: arrays[name] for name in arrays}
    assert {file.name for file in Path("a").iterdir()} == {"edits.npz", "edits.json", "grid.png"}
    assert stored["originals"].shape == (5, 16, 16, 1)
    assert stored["difference"].dtype == np.int16
    assert np.array_equal(
        stored["originals"].astype(int) + stored["difference"], stored["edited"].astype(int)
    )
    found = record("a")
    labels = stored["labels"].tolist()
    assert [int(said["to"]) for said in found["edits"]] == [(k + 1) % 10 for k in labels]
    assert [int(said["label"]) for said in found["edits"]] == labels
    assert found["options"]["start"]["source"] == ",".join(map(str, labels))
    assert all(said["source"].startswith("test-") for said in found["edits"])
    assert found["summary"]["by"] == "guide"

    code, _, err = cgd("edit", "--again=a/edits.json", "--out=b")
    assert code == 0, err
    with np.load("b/edits.npz") as arrays:
        assert all(np.array_equal(arrays[name], stored[name]) for name in stored)
    code, _, err = cgd("edit", "--again", "a/edits.json", "--out=c", "--strength=0")
    assert code == 0, err
    with np.load("c/edits.npz") as arrays:
        assert np.array_equal(arrays["edited"], stored["originals"])
        assert not arrays["difference"].any()
    assert record("c")["options"]["labels"] == found["options"]["labels"]
    assert record("c")["images"]["hash"] == found["images"]["hash"]


def test_a_mask_keeps_its_outside_or_its_inside(workplace: Path, cgd: Cgd) -> None:
    folder = photographs("scans")
    white = np.zeros((16, 16), dtype=np.uint8)
    white[:, :5] = 255
    Image.fromarray(white).save("mask.png")
    words = (*EDIT, "--images=scans", "--to=9", "--mask=mask.png")
    assert cgd(*words, "--out=a")[0] == 0
    assert cgd(*words, "--out=b", "--keep=inside", "--by=noise", "--resamplings=1")[0] == 0
    for name in ("0000-scan0.png", "0001-scan2.png", "0002-scan1.png"):
        before = pixels(Path("a/originals", name))
        outside, inside = pixels(Path("a/edited", name)), pixels(Path("b/edited", name))
        assert np.array_equal(outside[:, 5:], before[:, 5:])
        assert not np.array_equal(outside[:, :5], before[:, :5])
        assert np.array_equal(inside[:, :5], before[:, :5])
        assert not np.array_equal(inside[:, 5:], before[:, 5:])
        assert np.array_equal(pixels(Path("a/masks", name)), white)
        assert np.array_equal(pixels(Path("b/masks", name)), 255 - white)
    # One for each, of the same names; of another kind of picture as well.
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        own = np.zeros((16, 16), dtype=np.uint8)
        own[number] = 255
        place = Path("masks", file.relative_to(folder)).with_suffix(".bmp")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(own).save(place)
    assert cgd(*EDIT, "--images=scans", "--to=9", "--mask=masks", "--out=c")[0] == 0
    for number, file in enumerate(sorted(Path("c/edited").iterdir())):
        changed = pixels(file) != pixels(Path("c/originals", file.name))
        assert set(np.nonzero(changed)[0]) == {number}


def test_images_of_another_size_are_resized_if_that_is_asked(workplace: Path, cgd: Cgd) -> None:
    wide = np.zeros((32, 64, 3), dtype=np.uint8)
    wide[:, 16:48] = 200
    Image.fromarray(wide).save("wide.png")
    words = (*EDIT, "--images=wide.png", "--to=9")
    code, _, err = cgd(*words, "--out=a")
    assert code == 1
    assert "--images wide.png: 'wide.png' has shape [3, 32, 64]; wanted [1, 16, 16], or " in err
    assert "--resize to bring images to it" in last(err)
    assert not Path("a").exists()
    code, out, err = cgd(*words, "--out=a", "--resize")
    assert code == 0, err
    assert "images are brought to 16 x 16 as data sets of folders do it: upright" in err
    assert "1 image" in out
    of_a_data_set = decode(Path("wide.png"), (1, 16, 16))[0].numpy()
    assert np.array_equal(pixels(Path("a/originals/0000-wide.png")), of_a_data_set)
    np.savez("one.npz", arr_0=of_a_data_set[None, :, :, None])
    code, _, err = cgd(*EDIT, "--images=one.npz", "--to=9", "--out=b", "--resize")
    assert code == 0, err
    assert "images are brought to" not in err


def test_a_class_that_is_met_is_said_and_the_image_still_edited(workplace: Path, cgd: Cgd) -> None:
    photographs("scans")
    assert cgd(*EDIT, "--images=scans", "--to=0|1|2|3|4|5|6|7|8|9", "--out=a")[0] == 0
    found = record("a")
    assert found["summary"]["met_before"] == 3
    assert found["summary"]["flipped"] == 0
    assert all(said["distance"] > 0 for said in found["edits"])
    assert all(said["guide"]["after"]["p_to"] == pytest.approx(1) for said in found["edits"])
    _, out, _ = cgd(*EDIT, "--images=scans", "--to=0|1|2|3|4|5|6|7|8|9", "--out=b")
    assert "3 images, 3 of which showed the class already and were edited too" in out
    assert "0 of 0 flipped" in out


def test_without_guidance_there_is_no_class_to_tell(workplace: Path, cgd: Cgd) -> None:
    photographs("scans", 1)
    code, out, err = cgd(
        "edit", "--ckpt=runs/diffusion", "--images=scans", "--scale=0", "--steps=2"
    )
    assert code == 0, err
    assert out.startswith("1 image: median distance ")
    [said] = record("runs/diffusion/version_0/edits/0")["edits"]
    assert (said["to"], said["guide"], said["judge"]) == (None, None, None)


WRONG = {
    "which images? give --images FILE": ("--images=null", "--to=9"),
    "what shall the images become? give --to CLASS, or --from CLASS for": (),
    "label x: wanted a class name": ("--to=x",),
    "label y: wanted a class name": ("--to=9", "--from=y"),
    "--strength 1.5: wanted a share": ("--to=9", "--strength=1.5"),
    "--strength 0.002: that is 2 of 1000 timesteps": ("--to=9", "--strength=0.002"),
    "--from 3: is for an inversion": ("--to=9", "--from=3", "--by=noise"),
    "--refinements 2: are of an inversion": ("--to=9", "--by=noise", "--refinements=2"),
    "--mask small.png: 8 x 8 pixels, and the images have 16 x 16": ("--to=9", "--mask=small.png"),
    "--images empty: no images in it": ("--to=9", "--images=empty"),
    "judge runs/classifier": ("--to=9", "--judge=runs/classifier"),
    "--again runs: no such file; give the edits.json that an earlier cgd edit": ("--again=runs",),
    "holds edits already": ("--to=9", "--out=full"),
}


@pytest.mark.parametrize(("says", "words"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(
    says: str, words: tuple[str, ...], workplace: Path, cgd: Cgd
) -> None:
    photographs("scans", 2)
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/edits.json").write_text("{}")
    Image.new("L", (8, 8), 255).save("small.png")
    before = sorted(Path().rglob("*"))
    code, out, err = cgd(*EDIT, "--images=scans", *words)
    assert code == 1
    if says.startswith("judge"):
        assert "a classifier" in last(err)
    else:
        assert says in last(err)
    assert not out
    assert sorted(Path().rglob("*")) == before


def test_a_model_must_be_named(cgd: Cgd) -> None:
    for images in ("test", "scans"):
        code, _, err = cgd("edit", f"--images={images}", "--to=9")
        assert code == 1
        assert "which diffusion model? give --ckpt" in last(err)


def test_an_edit_that_fails_half_way_leaves_nothing(
    workplace: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs("scans", 2)
    monkeypatch.setattr("cgd_lightning.sampling.edit_files.sheet", _full_disk)
    code, _, err = cgd(*EDIT, "--images=scans", "--to=9")
    assert code == 1
    assert "No space left" in last(err)
    assert not list(Path("runs/diffusion/version_0").glob("edits/*"))


def test_an_edit_is_not_made_again_of_other_images(workplace: Path, cgd: Cgd) -> None:
    photographs("scans", 2)
    Image.new("L", (16, 16), 255).save("mask.png")
    assert cgd(*EDIT, "--images=scans", "--to=9", "--mask=mask.png", "--out=a")[0] == 0
    again = ("edit", "--again=a/edits.json", "--device=cpu")
    code, _, err = cgd(*again, "--out=b", "--scale=1")
    assert code == 0, err
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("mask.png")
    code, out, err = cgd(*again, "--out=c")
    assert (code, out) == (1, "")
    assert "--again a/edits.json: masks are not those of it" in last(err)
    Image.new("L", (16, 16), 7).save("scans/3/scan0.png")
    code, out, err = cgd(*again, "--out=c")
    assert (code, out) == (1, "")
    assert "--again a/edits.json: images are not those of it" in last(err)
    assert not Path("c").exists()
    code, _, err = cgd(*again, "--out=c", "--images=scans")
    assert code == 0, err
    code, _, err = cgd(*again, "--out=d", "--num_images=1")
    assert code == 0, err


def test_pieces_of_another_edit_are_told_by_the_options_that_were_typed(
    workplace: Path, cgd: Cgd
) -> None:
    photographs("scans", 2)
    words = (*EDIT, "--images=scans")
    assert cgd(*words, "--to=3", "--out=a", "--strength=0.4")[0] == 0
    Path("killed/.unfinished").mkdir(parents=True)
    Path("killed/.unfinished/request.json").write_text(json.dumps(record("a")["options"]))
    code, _, err = cgd(*words, "--to=4", "--out=killed", "--strength=0.6", "--num_images=1")
    assert code == 1
    assert '--to "3" there, "4" here' in last(err)
    assert "--num_images 2 there, 1 here" in last(err)
    assert "--strength 0.4 there, 0.6 here" in last(err)


def _full_disk(*args: object) -> None:
    raise OSError(28, "No space left on device")


def test_options_of_samples_are_answered_with_those_of_edits(workplace: Path, cgd: Cgd) -> None:
    for given, meant in (("labels=3", "--to"), ("num_samples=3", "--num_images")):
        code, _, err = cgd(*EDIT, "--images=scans", f"--{given}")
        assert code == 2
        assert f"did you mean {meant}?" in last(err)


def test_a_record_of_samples_is_not_one_of_edits(workplace: Path, cgd: Cgd) -> None:
    words = ("sample", "--ckpt=runs/diffusion", "--num_samples=1", "--steps=2", "--scale=0")
    assert cgd(*words, "--out=a")[0] == 0
    code, _, err = cgd("edit", "--again=a/samples.json")
    assert code == 1
    assert "records samples, not edits; cgd sample makes them again" in last(err)


def test_the_maps_say_how_much_and_which_way() -> None:
    difference = torch.tensor([[[[0, 100], [-100, 50]]]], dtype=torch.int16)
    [found] = signed_maps(difference, 100)
    colours = found.permute(1, 2, 0).reshape(4, 3).tolist()
    assert colours == [[255, 255, 255], [255, 0, 0], [0, 0, 255], [255, 128, 128]]
    assert absolute_maps(difference).flatten().tolist() == [0, 100, 100, 50]


def test_the_command_is_in_the_list() -> None:
    assert "edit" in COMMANDS
    assert re.search(r"^  edit ", HELP, re.MULTILINE)
