"""`cgd sweep --images` from words to files, on small trained networks."""

import errno
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.edit_sweep_run import HELD
from tests.command_line import untrained_judge

Cgd = Callable[..., tuple[int, str, str]]

FEW = ("--device=cpu", "--steps=2", "--num_images=6", "--precision=fp32")
SWEEP = ("sweep", "--ckpt=runs/diffusion", "--images=test", "--to=next", "--scales=5,2", *FEW)
OUT = Path("runs/diffusion/version_0/edit-sweep")


@pytest.fixture
def judge(workplace: Path) -> Path:
    """A judge beside the pair, which nobody trained."""
    return untrained_judge(workplace / "runs")


def test_it_makes_judges_draws_and_names_a_point_that_can_be_typed(judge: Path, cgd: Cgd) -> None:
    words = (
        *SWEEP,
        "--scales=1.23456789",
        "--strength=0.4,0.8",
        "--by=inversion,noise",
        "--flips=0.001",
    )
    code, out, err = cgd(*words)
    assert code == 0, err
    assert f"judge: {judge}" in err
    head, *rows = out.partition("\n\n")[0].splitlines()
    assert head.split()[:4] == ["strength", "by", "scale", "n"]
    assert [row.split()[:4] for row in rows] == [
        [strength, by, "1.23456789", "6"]
        for strength in ("0.4", "0.8")
        for by in ("inversion", "noise")
    ]
    facts = json.loads((OUT / "sweep.json").read_text())
    assert (facts["kind"], facts["goal"], len(facts["points"])) == ("edits", 0.001, 4)
    assert facts["distance_of_classes"] > 0
    assert facts["advice"][0] in out
    for name in ("sweep.png", "strip.png"):
        assert str(OUT / name) in out
        assert Image.open(OUT / name).width > 100

    command = next(line for line in out.splitlines() if line.startswith("it is made by: "))
    typed = shlex.split(command.removeprefix("it is made by: "))
    assert typed[:2] == ["cgd", "edit"]
    assert typed[-1] == "--scale=1.23456789"
    code, _, err = cgd(*typed[1:], "--format=npz", "--out=again")
    assert code == 0, err
    point = Path(facts["chosen"]["folder"]) / "edits.npz"
    with np.load("again/edits.npz") as made, np.load(point) as swept:
        assert all(np.array_equal(made[name], swept[name]) for name in swept)

    before = {file: file.stat().st_mtime_ns for file in OUT.rglob("edits.npz")}
    code, out, err = cgd(*words[:-1], "--flips=1")
    assert code == 0, err
    assert {file: file.stat().st_mtime_ns for file in OUT.rglob("edits.npz")} == before
    assert "none reaches 100% flips; most has strength" in out


def test_no_other_sweep_is_in_the_folder_while_its_files_are_written(
    judge: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def met_by_another(*_: object) -> list[Path]:
        with (
            pytest.raises(InputError, match="another command is at work there"),
            claim(OUT, HELD),
        ):
            pytest.fail("held twice")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cgd_lightning.commands.sweep_edits.write_edit_sweep", met_by_another)
    code, out, err = cgd(*SWEEP)
    assert (code, out) == (1, "")
    assert "No space left on device" in err
    assert "none of it is kept" not in err
    assert len(list((OUT / "points").glob("*/edits.json"))) == 2


def test_an_earlier_edit_is_swept_over_other_scales(judge: Path, cgd: Cgd) -> None:
    code, _, err = cgd("edit", *SWEEP[1:4], *FEW, "--scale=3", "--out=first")
    assert code == 0, err
    words = ("--scales=1", "--out=swept", "--device=cpu")
    code, out, err = cgd("sweep", "--again=first/edits.json", *words)
    assert code == 0, err
    assert "strength 0.5, scale 1" in out


WRONG = {
    ("--to=",): "what shall the images become? give --to CLASS",
    ("--scales=",): "--scales '': wanted numbers",
    ("--scales=-1",): "--scales -1.0: wanted numbers from 0",
    ("--strength=0.5,1.5",): "--strength 1.5: wanted a share of the way to noise, from 0",
    ("--strength=0.5,much",): "--strength 'much': wanted numbers from 0 to 1",
    ("--strength=0.001",): "--strength 0.001: that is 1 of 1000 timesteps, too few for 2 steps",
    ("--flips=95",): "--flips 95.0: wanted a share of the images, above 0 to 1",
    ("--flips=all",): "--flips 'all': wanted a share of the images",
    ("--num_samples=9",): "--num_samples: not for cgd sweep of edits; give --num_images",
    ("--labels=3",): "--labels: not for cgd sweep of edits; give --to",
    ("--scale=3",): "--scale: not for cgd sweep of edits; give --scales",
    ("--num_images=3,4",): "--num_images: takes one value, and 2 were given",
    ("--to=3", "--to=4"): "--to: takes one value, and",
    ("--colour=red",): "unrecognized arguments: --colour",
    ("--judge=runs/classifier",): "a judge was wanted",
    ("--images=nowhere",): "--images nowhere: not there; wanted a folder",
}


@pytest.mark.parametrize(("words", "said"), WRONG.items(), ids=" ".join)
def test_bad_input_is_said_in_one_line(
    words: tuple[str, ...], said: str, judge: Path, cgd: Cgd
) -> None:
    names = [word.partition("=")[0] for word in words]
    rest = [word for word in SWEEP if word.partition("=")[0] not in names]
    if words == ("--to=",):
        words = ()
    code, _, err = cgd(*rest, *words)
    assert code in (1, 2)
    errors = [line for line in err.splitlines() if "error: " in line]
    assert len(errors) == 1, err
    assert said in errors[0]
    assert "Traceback" not in err
    assert not OUT.exists()


def test_images_are_asked_for_and_a_judge_is_needed(workplace: Path, cgd: Cgd) -> None:
    code, _, err = cgd("sweep", "--ckpt=runs/diffusion", "--to=next")
    assert (code, "which images? give --images" in err) == (1, True), err
    code, _, err = cgd(*SWEEP)
    assert (code, "no judge beside" in err) == (1, True), err
    assert "the guide alone would say what it was asked" in err
