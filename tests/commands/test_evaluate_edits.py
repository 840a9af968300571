"""`cgd evaluate --edits`: flips, closeness and maps of edits that `cgd edit` wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.lesions import Lesions
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.evaluation.between import between_classes
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.networks import ConvNet
from cgd_lightning.sampling.edit_source import read_edits
from cgd_lightning.sampling.lesion_files import write_lesions
from tests.command_line import inside, status

Cgd = Callable[..., tuple[int, str, str]]

EVALUATE = ("evaluate", "--judge=judge.ckpt", "--data=Digits", "--device=cpu")
NAMES = tuple("0123456789")
COUNT = 12


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a judge, edits of test digits, and edits of digits with lesions."""
    folder = tmp_path_factory.mktemp("edited")
    torch.manual_seed(0)
    network = ConvNet(16, 1, 10, width=4).eval()
    checkpoints.save(
        CleanClassifier(network, Digits().spec), folder / "judge.ckpt", dataset="digits"
    )
    other = CleanClassifier(ConvNet(8, 1, 10, width=4).eval(), DataSpec((1, 8, 8), NAMES))
    checkpoints.save(other, folder / "small.ckpt")
    other = CleanClassifier(ConvNet(16, 1, 2, width=4).eval(), DataSpec((1, 16, 16), ("a", "b")))
    checkpoints.save(other, folder / "two.ckpt")
    data = Lesions()
    for split in ("val", "test"):
        images, masks = data.split(split).images[:COUNT], data.masks(split)[:COUNT]
        write_lesions(folder / f"true-{split}", images, masks, data.kinds(split)[:COUNT])
    edit = ("edit", f"--ckpt={trained / 'runs/diffusion'}", "--steps=2", "--device=cpu")
    with inside(folder):
        assert status(*edit, "--images=test", "--to=next", "--num_images=20", "--out=edits") == 0
        for split in ("val", "test"):
            words = (f"--images=true-{split}/images", f"--out=sick-{split}", "--scale=0")
            assert status(*edit, *words, "--to=1") == 0
        assert status("sample", *edit[1:], "--scale=0", "--num_samples=2", "--out=samples") == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def facts(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "evaluation.json").read_text())


@pytest.mark.usefixtures("here")
def test_the_judge_and_the_pixels_say_what_became_of_edits(cgd: Cgd) -> None:
    code, out, err = cgd(*EVALUATE, "--edits=edits")
    assert code == 0, err
    found = facts("edits/evaluation")["edits"]
    edits = read_edits(Path("edits"), NAMES)
    assert edits.targets is not None
    assert edits.labels is not None
    look, test = JudgeFeatures(checkpoints.load("judge.ckpt")), Digits().split("test")
    before, after = look(edits.originals), look(edits.edited)
    asked = torch.tensor(edits.targets)
    was, now = before.classes == asked, after.classes == asked
    assert found["already"]["value"] == pytest.approx(was.double().mean().item())
    assert found["flips"]["value"] == pytest.approx((now & ~was).sum().item() / (~was).sum().item())
    record = json.loads(Path("edits/edits.json").read_text())["edits"]
    moved = [e for e in record if e["guide"]["before"]["class"] != e["to"]]
    flipped = sum(e["guide"]["after"]["class"] == e["to"] for e in moved)
    assert found["guide_flips"]["value"] == pytest.approx(flipped / len(moved))
    assert found["l1_median"] == pytest.approx(np.median([e["distance"] for e in record]), abs=1e-4)
    assert found["l1_mean"] == pytest.approx(np.mean([e["distance"] for e in record]), abs=1e-4)
    assert found["changed"] == pytest.approx(np.mean([e["changed"] for e in record]), abs=1e-4)
    unit = between_classes(test.images, test.labels, edits.labels, edits.targets)
    assert found["between_classes"] == unit
    assert "of 20, says the judge" in out
    assert "pixels changed, mean" in out
    assert "between random images of the two classes" in out
    assert "fid_lite@20" in out
    assert "20 of the originals are images of the reference" in out
    assert out.splitlines()[-1] == "edits/evaluation"
    assert facts("edits/evaluation")["maps"] is None
    assert not Path("edits/evaluation/maps.png").exists()


@pytest.mark.usefixtures("here")
def test_classes_of_other_data_are_not_taken_for_those_of_the_judge(cgd: Cgd) -> None:
    """Digits with lesions are healthy and sick, which are no digits 0 and 1."""
    words = [word for word in EVALUATE if not word.startswith("--data")]
    code, _, err = cgd(*words, "--data=Lesions", "--edits=edits", "--out=lesions")
    assert code == 0, err
    edits = read_edits(Path("edits"), NAMES)
    assert edits.labels is not None
    assert edits.targets is not None
    own = between_classes(edits.originals, torch.tensor(edits.labels), edits.labels, edits.targets)
    assert facts("lesions")["edits"]["between_classes"] == own


@pytest.mark.usefixtures("here")
def test_maps_are_held_against_true_masks_by_kind(cgd: Cgd) -> None:
    words = (*EVALUATE, "--edits=sick-test", "--masks=true-test")
    code, out, err = cgd(*words)
    assert code == 0, err
    assert "no Dice: its threshold is fixed on validation images" in out
    maps = facts("sick-test/evaluation")["maps"]
    assert (maps["threshold"], maps["found"]["dice"]) == (None, None)
    assert set(maps["by_kind"]) == {"stroke", "blot", "missing"}
    assert maps["found"]["n"] + maps["healthy"] == COUNT
    fixed = ("--validation=sick-val", "--validation_masks=true-val", "--blur=1")
    code, out, err = cgd(*words, *fixed)
    assert code == 0, err
    assert out.splitlines()[-1] == "sick-test/evaluation-2"  # of other things than the first
    blurred = facts("sick-test/evaluation-2")["maps"]
    assert 0 < blurred["found"]["dice"] <= 1
    assert f"Dice from {blurred['threshold']['value']:.4g} on" in out
    assert "no Dice" not in out
    assert "--validation sick-val: made with" not in out
    assert blurred["found"]["auroc"] != maps["found"]["auroc"]
    with Image.open("sick-test/evaluation-2/maps.png") as picture:
        assert picture.width > picture.height > 5 * 48
    code, out, err = cgd(*words, *fixed)
    assert out.splitlines()[-1] == "sick-test/evaluation-2"
    record = Path("sick-val/edits.json")
    as_made = record.read_text()
    record.write_text(as_made.replace('"strength": 0.5', '"strength": 0.25'))
    code, out, err = cgd(*words, *fixed)
    record.write_text(as_made)
    assert code == 0, err
    said = "made with start.strength 0.25, and the edits with 0.5: its threshold is of other maps"
    assert f"note: --validation sick-val: {said}" in out


@pytest.mark.usefixtures("here")
def test_large_masks_of_images_that_were_resized_find_the_same(tmp_path: Path, cgd: Cgd) -> None:
    for split in ("test", "val"):
        (tmp_path / split).mkdir()
        for file in Path(f"true-{split}/masks").iterdir():
            with Image.open(file) as mask:
                mask.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / split / file.name)
    reports: list[tuple[Any, Any]] = []
    for root, more in (("true-", ()), (f"{tmp_path}/", ("--resize",))):
        masks = (f"--masks={root}test", f"--validation_masks={root}val")
        words = ("--edits=sick-test", "--validation=sick-val", *masks, *more)
        out = tmp_path / f"out{len(reports)}"
        code, _, err = cgd(*EVALUATE, *words, f"--out={out}")
        assert code == 0, err
        maps = facts(str(out))["maps"]
        reports.append((maps["found"], maps["threshold"]))
    assert reports[0] == reports[1]
    code, said, err = cgd(*EVALUATE, *words[:-1])
    assert (code, said) == (1, "")
    assert "64 x 64 pixels, and the images have 16 x 16; wanted the same, or --resize" in err


WRONG = {
    "--edits and --samples: wanted one of them": ("--edits=edits", "--samples=samples"),
    "--edits samples: a folder of samples, which cgd sample wrote": ("--edits=samples",),
    "--samples edits: a folder that cgd edit wrote; wanted images": ("--samples=edits",),
    "--reference edits: a folder that cgd edit wrote": ("--edits=edits", "--reference=edits"),
    "--edits nowhere: not there": ("--edits=nowhere",),
    "images of shape [1, 16, 16]; wanted shape [1, 8, 8]": (
        "--edits=edits",
        "--judge=small.ckpt",
    ),
    "the judge knows a, b: wanted the same": ("--edits=edits", "--judge=two.ckpt"),
    "--masks true-test: of which edits?": ("--samples=samples", "--masks=true-test"),
    "no mask for the image 'test-": ("--edits=edits", "--masks=true-test"),
    "--validation sick-val: of which maps?": ("--edits=sick-test", "--validation=sick-val"),
    "give --validation_masks, too": (
        "--edits=sick-test",
        "--masks=true-test",
        "--validation=sick-val",
    ),
    "12 of its 12 images are among those that the threshold is tried on": (
        "--edits=sick-test",
        "--masks=true-test",
        "--validation=sick-test",
        "--validation_masks=true-test",
    ),
    "--blur 2: of which maps?": ("--edits=edits", "--blur=2"),
    "--near 99999999: wanted 0 to 1,000 pixels": ("--edits=edits", "--near=99999999"),
    "--blur 1001: wanted 0 to 1,000 pixels": ("--edits=edits", "--blur=1001"),
    "--blur -1: wanted 0 to 1,000 pixels": ("--edits=sick-test", "--masks=true-test", "--blur=-1"),
}


@pytest.mark.parametrize(("says", "words"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_measured_is_one_line_and_nothing_is_written(
    says: str, words: tuple[str, ...], here: Path, cgd: Cgd
) -> None:
    before = sorted(here.rglob("*"))
    code, out, err = cgd(*EVALUATE, *words)
    assert (code, out) == (1, "")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert sorted(here.rglob("*")) == before


@pytest.mark.usefixtures("here")
def test_edits_want_a_judge(cgd: Cgd) -> None:
    code, out, err = cgd("evaluate", "--edits=edits", "--features=random", "--data=Digits")
    assert (code, out) == (1, "")
    assert "--edits: wanted a judge" in err


@pytest.mark.usefixtures("here")
def test_one_edit_is_measured_without_a_distance_to_real_ones(trained: Path, cgd: Cgd) -> None:
    edit = ("edit", f"--ckpt={trained / 'runs/diffusion'}", "--steps=2", "--device=cpu")
    assert cgd(*edit, "--images=true-test/images/0000.png", "--to=3", "--out=one")[0] == 0
    code, out, err = cgd(*EVALUATE, "--edits=one")
    assert code == 0, err
    assert "one edit: to be compared with real images it takes two" in out
    found = facts("one/evaluation")["edits"]
    assert (found["samples"], found["between_classes"]) == (None, None)


@pytest.mark.usefixtures("here")
def test_who_guided_edits_does_not_judge_them(trained: Path, cgd: Cgd) -> None:
    words = ("edit", f"--ckpt={trained / 'runs/diffusion'}", "--steps=2", "--device=cpu")
    guided = ("--classifier=judge.ckpt", "--guidance=CleanGuidance", "--scale=2")
    images = ("--images=test", "--num_images=3", "--to=next", "--out=guided")
    code, _, err = cgd(*words, *guided, *images)
    assert code == 0, err
    refused = "guides these edits itself; give another one"
    shutil.copy("judge.ckpt", "copy.ckpt")
    for judge in ("judge.ckpt", "copy.ckpt"):  # by its weights, wherever they lie
        code, out, err = cgd("evaluate", f"--judge={judge}", *EVALUATE[2:], "--edits=guided")
        assert (code, out) == (1, "")
        assert f"--judge {judge}: {refused}" in err
    record = Path("guided/edits.json")
    said = json.loads(record.read_text())
    del said["guide_hash"]  # as older ones are
    record.write_text(json.dumps(said))
    code, out, err = cgd(*EVALUATE, "--edits=guided")
    assert (code, out) == (1, "")
    assert f"--judge judge.ckpt: {refused}" in err


@pytest.mark.usefixtures("here")
def test_the_judge_that_edits_name_is_taken(trained: Path, cgd: Cgd) -> None:
    words = ("edit", f"--ckpt={trained / 'runs/diffusion'}", "--steps=2", "--device=cpu")
    images = ("--images=test", "--num_images=3", "--to=next", "--out=judged")
    shutil.copy("judge.ckpt", "own.ckpt")
    assert cgd(*words, *images, "--judge=own.ckpt")[0] == 0
    code, out, err = cgd("evaluate", "--data=Digits", "--device=cpu", "--edits=judged")
    assert code == 0, err
    assert f"judge: {Path('own.ckpt').absolute()}" in err
    assert f"judge: {Path('own.ckpt').absolute()}" in out
    Path("own.ckpt").unlink()
    code, out, err = cgd("evaluate", "--data=Digits", "--device=cpu", "--edits=judged")
    assert (code, out) == (1, "")
    assert "--edits: wanted a judge" in err
