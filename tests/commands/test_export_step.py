"""`cgd export --to onnx` and `--to torch`, and the program of docs/export.md that samples."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cgd_lightning import DDIM, Request, sample
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.guided_step import OUTPUTS
from cgd_lightning.exchange.step_files import SUFFIXES, check_place
from cgd_lightning.networks import MLP, MLPClassifier
from tests.checkpoints.test_checkpoints import judge, randomised, saved
from tests.command_line import inside, status
from tests.docs.test_python import blocks

onnxruntime = pytest.importorskip("onnxruntime")

Cgd = Callable[..., tuple[int, str, str]]
DATA = DataSpec((1, 8, 8), tuple("0123456789"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of a small pair and its pair.onnx. Tests only read it.

    An export takes seconds; that of weights in float16 is in test_page.py.
    """
    folder = tmp_path_factory.mktemp("exported")
    network = randomised(MLP(8, 1, 1, width=32, depth=1))
    guide = randomised(MLPClassifier(8, 1, 10, width=32, depth=1))
    runs = folder / "runs"
    saved(runs / "diffusion/version_0/best.ckpt", Denoiser(network, Cosine(), "v", DATA))
    saved(runs / "classifier/version_0/best.ckpt", NoisyClassifier(guide, Cosine(), DATA))
    with inside(folder):
        assert status("export", "runs/diffusion", "--to=onnx", "--out=pair.onnx") == 0
    return folder


@pytest.fixture
def here(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_program_of_the_docs_makes_the_images_of_cgd_sample(here: Path) -> None:
    (program,) = blocks("docs/export.md")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["images"].shape == (8, 1, 8, 8)
    noise = SeededNoise(4, torch.arange(6), (1, 8, 8))().numpy()
    for scale, steps in ((0, 7), (5, 20)):
        theirs = names["sample"](noise.astype(np.float64), "3", scale, steps)
        request = Request(
            "runs/diffusion",
            scale=scale,
            labels=None if scale == 0 else "3",
            num_samples=6,
            sampler=DDIM(steps),
            seed=4,
            precision="fp32",
        )
        ours = sample(request, device="cpu").numpy()
        assert np.abs(theirs.astype(int) - ours.astype(int)).max() <= 1
        assert ours.std() > 20


def test_the_json_says_what_a_sampler_needs(here: Path) -> None:
    facts = json.loads(Path("pair.json").read_text(encoding="utf-8"))
    contents = Path("pair.onnx").read_bytes()
    assert facts["model"] == {
        "file": "pair.onnx",
        "sha256": hashlib.sha256(contents).hexdigest(),
        "bytes": len(contents),
    }
    levels = [Cosine().level(t) for t in range(1000)]
    assert facts["alpha"] == [level.alpha for level in levels]
    assert facts["sigma"] == [level.sigma for level in levels]
    assert facts["class_names"] == list("0123456789")
    assert facts["classifier"] == {"covers": [0.0, 999.0], "schedule": None}
    assert list(facts["largest_difference"]) == list(OUTPUTS)
    assert max(facts["largest_difference"].values()) < 1e-4
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in facts if name != "classifier")


def test_nothing_of_this_machine_is_in_the_graph(here: Path) -> None:
    contents = Path("pair.onnx").read_bytes()
    for word in (str(here), "site-packages", ".py", str(Path.home())):
        assert word.encode() not in contents


def test_torch_export_has_the_same_step(here: Path, cgd: Cgd) -> None:
    code, out, err = cgd("export", "runs/diffusion", "--to=torch", "--out=new/pair.pt2")
    assert code == 0, err
    assert "largest difference: " in out
    assert out.splitlines()[-1] == "new/pair.pt2"
    step = torch.export.load("new/pair.pt2").module()
    given = {
        "x": torch.randn(5, 1, 8, 8),
        "weights": torch.eye(10)[:5],
        **{name: torch.tensor(0.6) for name in ("alpha", "sigma", "scale")},
        "t": torch.tensor(500.0),
    }
    ours = step(*[given[name] for name in json.loads(Path("new/pair.json").read_text())["inputs"]])
    session = onnxruntime.InferenceSession("pair.onnx")
    theirs = session.run(None, {name: value.numpy() for name, value in given.items()})
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, atol=1e-4)


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "a folder": (("--to=onnx", "--out=x"), "wanted a file FILE.onnx, beside which FILE.json"),
    "a file of the other form": (("--to=torch", "--out=x.onnx"), "wanted a file FILE.pt2"),
    "a place that is taken": (("--to=onnx", "--out=pair.onnx"), "pair.onnx is there already"),
    "a JSON that is there": (("--to=torch", "--out=pair.pt2"), "pair.json is there already"),
    "no classifier": (("--to=onnx", "--out=x.onnx", "--classifier=none"), "--classifier none"),
    "half of a folder": (("--out=x", "--half"), "--half: is of files of ONNX"),
    "half of torch": (("--to=torch", "--out=x.pt2", "--half"), "--half: is of files of ONNX"),
    "the Hub": (("--to=onnx", "--out=x.onnx", "--push=a/b"), "--push a/b: is of a folder"),
    "samples": (("--to=onnx", "--out=x.onnx", "--samples=x"), "--samples x: is of a folder"),
    "a licence": (("--to=torch", "--out=x.pt2", "--license=mit"), "--license mit: is of a folder"),
    "a scale": (("--to=onnx", "--out=x.onnx", "--scale=3"), "--scale 3.0: is of a folder"),
    "a device": (("--to=torch", "--out=x.pt2", "--device=cpu"), "--device cpu: is of a folder"),
}


@pytest.mark.parametrize(("words", "says"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(
    words: tuple[str, ...], says: str, here: Path, cgd: Cgd
) -> None:
    before = sorted(Path().rglob("*"))
    code, _, err = cgd("export", "runs/diffusion", *words)
    assert code == 1
    assert says in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in err
    assert sorted(Path().rglob("*")) == before


def test_a_model_that_is_no_pair_has_no_step(here: Path, cgd: Cgd) -> None:
    saved(here / "runs/judge/version_0/best.ckpt", judge())
    for run in ("runs/classifier", "runs/judge"):
        code, _, err = cgd("export", run, "--to=onnx", "--out=x.onnx")
        assert code == 1
        assert "needs a diffusion model and a classifier of noisy images" in err
    assert not Path("x.onnx").exists()


def test_a_missing_package_is_named(here: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgd_lightning.exchange.onnx_graph.PACKAGES", ("onnx", "not_there"))
    code, _, err = cgd("export", "runs/diffusion", "--to=onnx", "--out=x.onnx")
    assert code == 1
    assert "not_there: not installed" in err
    assert 'pip install "cgd-lightning[onnx]"' in err


def test_a_graph_with_other_numbers_is_not_written(
    here: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgd_lightning.exchange.step_files.BOUND", 1e-12)
    before = sorted(os.listdir())
    code, _, err = cgd("export", "runs/diffusion", "--to=torch", "--out=new/of/x.pt2")
    assert code == 1
    assert "the graph gives other numbers than guidance does here: the largest difference" in err
    assert sorted(os.listdir()) == before


def test_a_json_that_a_kill_left_alone_is_replaced(here: Path) -> None:
    Path("pair.onnx").unlink()
    for form, suffix in SUFFIXES.items():
        check_place(here / f"pair{suffix}", form)
    Path("pair.pt2").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"pair\.json is there already"):
        check_place(here / "pair.onnx", "onnx")


MANY = '{"format": "cgd-lightning guided step", "alpha": [' + "0," * 2**20 + "0]}"
"""More values than are read: 16 MiB of JSON may be half a gigabyte of lists."""


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": "mine"}', "[" * 100_000, MANY], ids=lambda text: text[:20]
)
def test_a_json_of_another_is_kept(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json is there already; give another name"):
        check_place(tmp_path / "x.onnx", "onnx")
