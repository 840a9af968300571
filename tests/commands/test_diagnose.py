import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.commands.diagnose import as_command
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.evaluation.diagnosis import diagnose
from tests.evaluation.diagnosis import mixture

Cgd = Callable[..., tuple[int, str, str]]
FEW = ("diagnose", "--device=cpu", "--num_images=100", "--levels=4")


def test_the_pair_is_found_from_either_of_the_two_and_files_are_written(
    workplace: Path, cgd: Cgd
) -> None:
    code, out, _ = cgd(*FEW, "--ckpt=runs/classifier")
    assert code == 0
    folder = Path("runs/classifier/version_0/diagnosis")
    plain = json.loads((folder / "diagnosis.json").read_text())
    assert [level["level"]["t"] for level in plain["levels"]] == [0, 333, 666, 999]
    assert plain["images"] == 100
    assert plain["verdict"][0] in out
    assert all(level["score"] is not None for level in plain["levels"])
    assert len(plain["path"]) == 20
    with Image.open(folder / "diagnosis.png") as picture:
        assert picture.width > 1000
    code, again, _ = cgd(*FEW, "--ckpt=runs/diffusion", "--out=elsewhere")
    assert code == 0
    other = json.loads(Path("elsewhere/diagnosis.json").read_text())
    assert other == plain
    assert (
        out.partition("written:")[0].splitlines()[2:]
        == (again.partition("written:")[0].splitlines()[2:])
    )


def test_without_a_diffusion_model_the_rest_is_told(workplace: Path, cgd: Cgd) -> None:
    Path("runs/classifier/version_0/best.ckpt").rename("lone.ckpt")
    Path("runs/diffusion").rename("elsewhere")
    code, out, _ = cgd(*FEW, "--ckpt=lone.ckpt")
    assert code == 0
    assert "diffusion model: none" in out
    assert "could not be told" in out


def test_the_command_to_try_is_one_that_a_shell_takes() -> None:
    found = diagnose(mixture.classifier(), *mixture.images(500), mixture.denoiser(), levels=5)
    assert found.advice is not None
    words = shlex.split(as_command(found, Path("my classifier.ckpt"), Path("runs/my diffusion")))
    assert words[:6] == [
        *("cgd", "sample", "--ckpt", "runs/my diffusion"),
        *("--classifier", "my classifier.ckpt"),
    ]
    assert words[6:8] == ["--scale", f"{found.advice.scale:g}"]


def test_the_columns_are_explained_below_the_table(workplace: Path, cgd: Cgd) -> None:
    _, out, _ = cgd(*FEW, "--ckpt=runs/classifier")
    assert "\nmultiplier     the number its gradient should be multiplied by" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ckpt=nowhere"], "nowhere: no such checkpoint"),
        (["--ckpt=runs/classifier", "--num_images=20"], "needs 100 at least"),
        (["--ckpt=runs/classifier", "--levels=2"], "2 levels: wanted 4 to 1000"),
        (["--ckpt=runs/classifier", "--batch_size=0"], "batch_size 0"),
        (["--ckpt=runs/classifier", "--data.image_size=8"], "image shape [1, 8, 8]"),
        (["--ckpt=runs/classifier", "--classifier=runs/classifier"], "is one itself"),
        (["--ckpt=runs/classifier", "--diffusion=runs/classifier"], "a diffusion model was wanted"),
        (["--ckpt=runs/diffusion", "--classifier=runs/diffusion"], "a classifier of noisy images"),
        ([], "which classifier?"),
    ],
)
def test_wrong_inputs_get_one_line_and_write_nothing(
    words: list[str], says: str, workplace: Path, cgd: Cgd
) -> None:
    code, out, err = cgd(*FEW, *words, "--out=written")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: cgd diagnose: ")
    assert says in err.splitlines()[-1]
    assert not Path("written").exists()


def test_a_diffusion_model_without_any_classifier_is_one_line(workplace: Path, cgd: Cgd) -> None:
    Path("runs/classifier").rename("away")
    code, _, err = cgd(*FEW, "--ckpt=runs/diffusion")
    assert code == 1
    assert "no classifier beside it fits" in err.splitlines()[-1]


def test_other_class_names_than_the_data_are_one_line(workplace: Path, cgd: Cgd) -> None:
    ours = checkpoints.load("runs/classifier")
    letters = DataSpec(ours.data.shape, tuple("abcdefghij"))
    checkpoints.save(NoisyClassifier(ours.network, ours.schedule, letters), "letters.ckpt")
    code, _, err = cgd(*FEW, "--ckpt=letters.ckpt", "--data=Digits")
    assert code == 1
    assert "class names ['0', '1'" in err.splitlines()[-1]


def test_logits_that_are_not_finite_are_one_line(workplace: Path, cgd: Cgd) -> None:
    ours = checkpoints.load("runs/classifier")
    for weight in ours.network.parameters():
        weight.data.mul_(1e30)
    checkpoints.save(ours, "huge.ckpt")
    code, _, err = cgd(*FEW, "--ckpt=huge.ckpt", "--data=Digits", "--out=written")
    assert code == 1
    assert "not finite" in err.splitlines()[-1]
    assert not Path("written").exists()
