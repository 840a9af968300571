import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.commands.evaluate import read_samples
from cgd_lightning.commands.sample_files import write_targets
from cgd_lightning.data.digits import Digits
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import look
from cgd_lightning.evaluation.metrics import accuracy, frechet_distance, precision_recall
from tests.commands.conftest import TINY_CLASSIFIER, inside, status

Cgd = Callable[..., tuple[int, str, str]]

JUDGE = ["--config=judge.yaml", "--model.network.width=4", "--trainer.max_steps=12", "--trainer.val_check_interval=12"]


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/judge and samples `png` and `npz` of the same 20 images."""
    folder = tmp_path_factory.mktemp("judged")
    with inside(folder):
        assert status("fit", *JUDGE, *TINY_CLASSIFIER[-3:]) == 0
        sample = ["sample", f"--ckpt={trained / 'runs/diffusion'}", "--scale=0", "--num_samples=20", "--sampler.steps=2", "--device=cpu"]
        for kind in ("png", "npz"):
            assert status(*sample, f"--format={kind}", f"--out={kind}") == 0
    return folder


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_the_table_holds_what_the_judge_sees(kind: str, place: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd) -> None:
    monkeypatch.chdir(place)
    code, out, err = cgd("evaluate", f"--samples={kind}", "--judge=runs/judge", "--device=cpu")
    assert code == 0, err
    judge, digits = checkpoints.load("runs/judge"), Digits()
    test = digits.split("test")
    with np.load("npz/samples.npz") as arrays:
        images, labels = torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2), torch.from_numpy(arrays["arr_1"])
    reference, classes = look(judge, test.images)
    seen, seen_classes = look(judge, images)
    assert f"recognises {accuracy(classes, test.labels):.2%} of 250 test images of digits" in out
    wanted = [accuracy(seen_classes, labels), frechet_distance(reference, seen), *precision_recall(reference, seen)]
    row = re.search(r"^samples +(\d+) +([\d.]+)% +([\d.]+) +([\d.]+) +([\d.]+)$", out, flags=re.MULTILINE)
    assert row
    n, share, *rest = map(float, row.groups())
    assert n == 20
    assert [share / 100, *rest] == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    assert re.search(r"^real training images +20 ", out, flags=re.MULTILINE)


def test_a_setting_of_the_data_changes_those_that_the_judge_was_trained_on(place: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd) -> None:
    monkeypatch.chdir(place)
    words = ("evaluate", "--samples=npz", "--judge=runs/judge", "--device=cpu")
    assert cgd(*words, "--data.batch_size=7") == cgd(*words)


def test_wrong_inputs_get_one_line(place: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd) -> None:
    monkeypatch.chdir(place)
    wide = tmp_path / "wide"
    wide.mkdir()
    np.savez(wide / "samples.npz", arr_0=np.zeros((3, 8, 8, 1), np.uint8), arr_1=np.zeros(3, np.int64))
    (wide / "samples.json").write_text(json.dumps({"images": {"labels": [0, 1, 2]}}))
    for words, says, *other in (
        (["--judge=runs/judge"], "wanted the samples and the judge"),
        (["--samples=png", f"--judge={trained / 'runs/classifier'}"], "a classifier, and a judge was wanted"),
        (["--samples=nowhere", "--judge=runs/judge"], "--samples nowhere: not a folder that cgd sample wrote whole"),
        ([f"--samples={wide}", "--judge=runs/judge"], "images of shape [1, 8, 8]"),
        (["--samples=png", "--judge=nowhere"], "nowhere: no such checkpoint"),
        (["--samples=png", "--judge=png/grid.png"], "png/grid.png: not a readable checkpoint"),
        (["--samples=png", "--judge=runs/judge", "--data.seed=x"], "data.seed", 2),
    ):
        code, out, err = cgd("evaluate", *words)
        assert (code, out) == (other[0] if other else 1, "")
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert says in errors[0]


def test_targets_are_read_as_a_list_of_either_kind_and_as_a_table(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "samples.npz", arr_0=array)
    pair = [0.0, 1.0, 1.0]
    for said in ({"labels": [2, pair, 2]}, {"targets": [2, pair], "target_of_image": [0, 1, 0]}, write_targets([2, tuple(pair), 2])):
        (tmp_path / "samples.json").write_text(json.dumps({"images": said}))
        assert read_samples(tmp_path)[1] == [2, tuple(pair), 2]
    assert write_targets([2, 1, 2]) == {"labels": [2, 1, 2]}
    for said in ({"targets": [2], "target_of_image": [0, 1, 0]}, {"targets": [2]}, {}):
        (tmp_path / "samples.json").write_text(json.dumps({"images": said}))
        with pytest.raises(InputError, match="not a folder that cgd sample wrote whole"):
            read_samples(tmp_path)
