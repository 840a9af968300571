"""`cgd sweep` from words to files, on small trained networks."""

import csv
import errno
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from cgd_lightning import DDIM, Request, sample
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.stored import read_samples
from cgd_lightning.sampling.sweep_run import HELD
from tests.command_line import inside, status

Cgd = Callable[..., tuple[int, str, str]]

FEW = ["--num_samples=40", "--steps=2", "--precision=fp32", "--device=cpu"]
SWEEP = ["sweep", "--ckpt=runs/diffusion", "--scales=1,5", *FEW]


@pytest.fixture(scope="module")
def judged(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/judge beside copies of the other two."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(trained / "runs", folder / "runs")
    with inside(folder):
        words = ["--config=judge.yaml", "--trainer.max_steps=12", "--trainer.accelerator=cpu"]
        assert status("fit", *words, "--trainer.enable_progress_bar=false") == 0
    return folder


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def place(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a copy of `judged` that a test may change."""
    shutil.copytree(judged / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


OUT = "runs/diffusion/version_0/sweep"


def test_no_other_sweep_is_in_the_folder_while_tables_are_written(
    place: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def met_by_another(*_: object) -> list[Path]:
        with (
            pytest.raises(InputError, match="another command is at work there"),
            claim(Path(OUT), HELD),
        ):
            pytest.fail("held twice")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cgd_lightning.commands.sweep.write_sweep", met_by_another)
    code, out, err = cgd(*SWEEP)
    assert (code, out) == (1, "")
    assert "No space left on device" in err
    assert "none of it is kept" not in err
    assert len(list(Path(OUT, "points").glob("*/samples.json"))) == 3


def test_it_makes_measures_and_chooses(place: Path, cgd: Cgd) -> None:
    code, out, err = cgd(*SWEEP)
    assert code == 0, err
    found = rows(OUT)
    assert [float(row["scale"]) for row in found] == [0, 1, 5]
    facts = json.loads((Path(OUT) / "sweep.json").read_text())
    best = min(found, key=lambda row: float(row["energy_by_class@40"]))
    assert facts["chosen"]["scale"] == float(best["scale"])
    assert f"choose scale {float(best['scale']):g} " in out
    assert facts["advice"][0] in out
    heads = ("accuracy", "fid_lite", "kid", "precision", "recall", "energy_by_class")
    assert all(f"{name}@40" in out.splitlines()[0] for name in heads)
    assert "real" in out
    for name in ("fidelity", "precision-recall", "metrics", "strip"):
        assert f"{OUT}/{name}.png" in out
        assert Image.open(Path(OUT) / f"{name}.png").width > 100
    for point in facts["points"]:
        request = Request(
            "runs/diffusion",
            scale=point["scale"],
            num_samples=40,
            sampler=DDIM(2),
            precision="fp32",
        )
        images, _ = read_samples(Path(point["folder"]))
        assert torch.equal(images, sample(request, device="cpu"))


def test_other_commands_read_its_points_and_it_goes_on(place: Path, cgd: Cgd) -> None:
    assert cgd(*SWEEP)[0] == 0
    folder = json.loads((Path(OUT) / "sweep.json").read_text())["points"][2]["folder"]
    code, _, err = cgd("sample", f"--from={folder}/samples.json", "--out=again", "--device=cpu")
    assert code == 0, err
    assert torch.equal(read_samples(Path("again"))[0], read_samples(Path(folder))[0])
    code, out, err = cgd("evaluate", f"--samples={folder}", "--judge=runs/judge", "--device=cpu")
    assert code == 0, err
    assert "accuracy" in out
    before = {file: file.stat().st_mtime_ns for file in Path(OUT).rglob("samples.npz")}
    code, _, err = cgd(*SWEEP[:2], "--scales=5,2", *FEW)
    assert code == 0, err
    after = {file: file.stat().st_mtime_ns for file in Path(OUT).rglob("samples.npz")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert [float(row["scale"]) for row in rows(OUT)] == [0, 2, 5]


def test_any_option_of_sample_takes_several_values(place: Path, cgd: Cgd) -> None:
    words = ["--scales=2", "--steps=1,2", "--sampler=DDIM,Euler", "--out=two", *FEW[:1], *FEW[2:]]
    code, out, err = cgd("sweep", "--ckpt=runs/diffusion", *words)
    assert code == 0, err
    found = [(row["sampler"], row["sampler.steps"], float(row["scale"])) for row in rows("two")]
    assert found == [
        (sampler, steps, scale)
        for steps in ("1", "2")
        for sampler in ("DDIM", "Euler")
        for scale in (0, 2)
    ]
    assert "choose sampler.steps=" in out
    strips = sorted(file.name for file in Path("two").glob("strip*.png"))
    assert strips[0] == "strip-1-sampler.steps_1_sampler_DDIM.png"
    assert len(strips) == 4
    images = Path(json.loads(Path("two/sweep.json").read_text())["points"][3]["folder"])
    options = json.loads((images / "samples.json").read_text())["options"]
    assert options["sampler"]["class_path"].endswith("Euler")
    assert options["sampler"]["init_args"]["steps"] == 1


def test_the_advice_can_be_typed(place: Path, cgd: Cgd) -> None:
    code, out, err = cgd(*SWEEP)
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if "cgd sample " in line)
    words = shlex.split(line.partition("cgd sample ")[2])
    code, out, err = cgd("sample", *words, "--num_samples=2", "--device=cpu")
    assert code == 0, err
    assert Path(out.strip()).is_file()


def test_variants_with_other_numbers_of_samples_each_choose(place: Path, cgd: Cgd) -> None:
    code, out, err = cgd(*SWEEP[:2], "--scales=2", "--steps=2", "--num_samples=40,50", "--out=n")
    assert code == 0, err
    assert json.loads(Path("n/sweep.json").read_text())["chosen"] is None
    assert "none of them is chosen before the others" in out
    assert "real" not in out.split("\n\n")[0]
    first, *_, last = rows("n")
    assert [bool(row["fid_lite@40"]) for row in (first, last)] == [True, False]
    assert [bool(row["fid_lite@50"]) for row in (first, last)] == [False, True]


def test_labels_of_several_classes_have_their_real_images(place: Path, cgd: Cgd) -> None:
    code, out, err = cgd(*SWEEP, "--labels=3|7,!0", "--out=labels")
    assert code == 0, err
    assert "choose scale" in out


def test_without_a_judge_other_features_measure(workplace: Path, cgd: Cgd) -> None:
    import shutil

    shutil.rmtree("runs/judge", ignore_errors=True)
    code, _, err = cgd(*SWEEP, "--features=random")
    assert code == 0, err
    assert "accuracy@40" not in rows(OUT)[0]
    assert "energy_by_class@40" in rows(OUT)[0]


WRONG = {
    "--scales=": "--scales '': wanted numbers, as --scales 0,1,2,5,10",
    "--scales=1,five": "--scales 'five': wanted numbers",
    "--scales=1,nan": "--scales 'nan': wanted numbers",
    "--scales=-1": "--scales -1.0: wanted numbers from 0, less than 2**63",
    "--scales": "--scales none: wanted numbers",
    "--scale=3": "--scale: not for cgd sweep; give --scales 0,1,2,5",
    "--num_samples=39": "--num_samples 39 of 10 labels: too few to compare; wanted at least 40",
    "--colour=red": "unrecognized arguments: --colour",
    "--sampler.stepps=3": "stepps",
    "--ckpt=runs/nothing": "runs/nothing: no such checkpoint",
    "--judge=runs/classifier": "a judge was wanted",
    "--device=cpu,cuda": "--device: takes one value, and 2 were given",
    "--out=a,b": "--out: takes one value, and 2 were given",
    "--features=nothing": "--features nothing: no such network",
}


@pytest.mark.parametrize(("word", "said"), WRONG.items())
def test_bad_input_is_said_in_one_line(word: str, said: str, place: Path, cgd: Cgd) -> None:
    code, _, err = cgd(*SWEEP, word)
    assert code in (1, 2)
    errors = [line for line in err.splitlines() if "error: " in line]
    assert len(errors) == 1, err
    assert said in errors[0]
    assert not list(Path().rglob("samples.npz"))


def test_the_guide_may_not_judge_itself(workplace: Path, cgd: Cgd) -> None:
    import shutil

    shutil.rmtree("runs/judge", ignore_errors=True)
    code, _, err = cgd(*SWEEP)
    assert code == 1
    assert "no judge beside" in err
    assert "the guide may not judge itself" in err


def test_a_judge_that_guides_is_refused(place: Path, cgd: Cgd) -> None:
    clean = ["--guidance=CleanGuidance", "--classifier=runs/judge"]
    code, _, err = cgd(*SWEEP, *clean)
    assert code == 1
    assert "guides these samples itself" in err


def test_help_says_what_it_takes(cgd: Cgd) -> None:
    code, out, _ = cgd("sweep", "--help")
    assert code == 0
    for option in ("--scales", "--judge", "--features", "--out", "--data"):
        assert option in out
