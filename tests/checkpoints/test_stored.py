"""Files that were written before they met closed lists go on being read, and mean the same."""

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from tests.command_line import inside, status

STORED = Path(__file__).parents[1] / "stored"

Cgd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the stored files."""
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cgd(capfd: pytest.CaptureFixture[str]) -> Cgd:
    """cgd(WORDS) -> (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = status(*words)
        return code, *capfd.readouterr()

    return run


@pytest.mark.parametrize("kind", ["diffusion", "classifier", "judge"])
def test_stored_checkpoints_are_read_with_the_weights_that_torch_finds_in_them(
    kind: str, here: Path
) -> None:
    theirs = torch.load(f"{kind}.ckpt", weights_only=True)["state_dict"]
    for weights, prefix in (("ema", "ema."), ("raw", "model.")):
        state = checkpoints.load(f"{kind}.ckpt", weights=weights).state_dict()  # type: ignore[arg-type]
        assert state.keys() == {
            name.removeprefix(prefix) for name in theirs if name.startswith(prefix)
        }
        assert all(torch.equal(value, theirs[prefix + name]) for name, value in state.items())
    assert checkpoints.read(f"{kind}.ckpt").kind == kind
    assert checkpoints.sizes(f"{kind}.ckpt")["step"] == 4


def test_their_measures_are_those_of_their_trainings(here: Path, cgd: Cgd) -> None:
    """The diffusion model was trained with min_snr_gamma, which weighs its loss."""
    for kind, loss in (("diffusion", 0.31662), ("classifier", 2.41587), ("judge", 2.31749)):
        code, out, err = cgd(
            "validate",
            f"--ckpt_path={kind}.ckpt",
            "--trainer.accelerator=cpu",
            "--trainer.precision=32-true",
        )
        assert code == 0, err
        shown = re.search(r"val/loss\s+│\s+([\d.]+)", out)
        assert shown
        assert float(shown[1]) == pytest.approx(loss, rel=5e-3)  # it was measured in bfloat16


@pytest.mark.parametrize("name", ["guided", "chain"])
def test_their_records_make_the_same_images(name: str, here: Path, cgd: Cgd) -> None:
    code, _, err = cgd("sample", f"--from={name}.json", "--out=again")
    assert code == 0, err
    with np.load("images.npz") as arrays:
        wanted = arrays[name].astype(int)
    if name == "chain":
        with np.load("again/samples.npz") as arrays:
            made = arrays["arr_0"][..., 0].astype(int)
    else:
        made = np.stack(
            [
                np.asarray(Image.open(file), dtype=int)
                for file in sorted(Path("again/images").iterdir())
            ]
        )
    assert np.abs(made - wanted).max() <= 1  # processors round differently


def test_a_recorded_call_is_the_published_classifier_and_of_anything_else_is_refused(
    here: Path, cgd: Cgd
) -> None:
    code, _, err = cgd("sample", "--from=foreign.json", "--out=again")
    assert code == 0, err
    assert "classifier: torchvision:shufflenet_v2_x0_5.untrained:12" in err
    record = json.loads(Path("foreign.json").read_text())
    for call in (
        "torchvision.models.shufflenet_v2_x0_5(num_classes=1000000000)",
        "torch.nn.Linear(3, 4)",
        "torchvision.io.read_file(x)",
    ):
        record["options"]["classifier"] = call
        Path("other.json").write_text(json.dumps(record))
        code, _, err = cgd("sample", "--from=other.json", "--out=other")
        assert code == 1
        assert "calls are not made any more" in err
        assert not Path("other").exists()


def test_a_stored_training_goes_on(tmp_path: Path, cgd: Cgd) -> None:
    folder = tmp_path / "runs/classifier/version_0"
    folder.mkdir(parents=True)
    shutil.copy(STORED / "classifier.ckpt", folder / "last.ckpt")
    options = [
        "--config=classifier.yaml",
        "--model.network=MLPClassifier",
        "--model.network.width=8",
        "--model.network.depth=1",
        "--model.optimizer=torch.optim.AdamW",
        "--model.optimizer.lr=2e-3",
    ]
    options += [
        "--data.image_size=8",
        "--data.batch_size=32",
        "--trainer.max_steps=6",
        "--trainer.val_check_interval=2",
    ]
    options += [
        "--trainer.accelerator=cpu",
        "--guided_sampler.every_n_validations=0",
        "--ckpt_path=last",
    ]
    with inside(tmp_path), warnings.catch_warnings():
        code, out, err = cgd("fit", *options)
    assert code == 0, err
    assert "runs/classifier/version_0: 6 steps" in out
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 6
