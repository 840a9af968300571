import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.networks import UNet

Cgd = Callable[..., tuple[int, str, str]]
FEW = ("likelihood", "--ckpt=runs/diffusion", "--device=cpu", "--steps=3")


def test_the_likelihood_has_a_mean_and_an_error_and_does_not_depend_on_the_batch(
    workplace: Path, cgd: Cgd
) -> None:
    code, out, _ = cgd(*FEW, "--num_images=5")
    assert code == 0
    match = re.fullmatch(
        r"runs/diffusion\S+: (\S+) \+- (\S+) bits per dimension of 5 test images of digits, .*\n",
        out,
    )
    assert match is not None
    _, again, _ = cgd(*FEW, "--num_images=5", "--batch_size=2")
    mean = re.search(r": (\S+) \+-", again)
    assert mean is not None
    assert float(mean[1]) == pytest.approx(float(match[1]), abs=2e-3)
    assert 6 < float(match[1]) < 12  # hardly trained: about as many bits as a grey level has


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ckpt=runs/classifier"], "a classifier, and a diffusion model was wanted"),
        (["--ckpt=nowhere"], "nowhere: no such checkpoint"),
        (["--steps=0"], "0 steps"),
        (["--probes=0"], "probes 0"),
        (["--num_images=0"], "--num_images 0"),
        (["--data.image_size=8"], "images of shape [1, 8, 8]"),
    ],
)
def test_wrong_inputs_get_one_line(words: list[str], says: str, workplace: Path, cgd: Cgd) -> None:
    code, out, err = cgd(*FEW, *words)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: cgd likelihood: ")
    assert says in err.splitlines()[-1]


def test_a_model_that_is_told_the_class_wants_data_of_its_classes(
    workplace: Path, cgd: Cgd
) -> None:
    ours = checkpoints.load("runs/diffusion")
    letters = DataSpec(ours.data.shape, tuple("abcdefghij"))
    told = UNet(**{**ours.network.init_args, "num_classes": 10}).eval()
    checkpoints.save(
        Denoiser(told, ours.schedule, ours.prediction, letters),
        "letters.ckpt",
    )
    checkpoints.save(
        Denoiser(told, ours.schedule, ours.prediction, ours.data),
        "digits.ckpt",
    )
    few = ("likelihood", "--device=cpu", "--steps=2", "--num_images=1", "--data=Digits")
    code, _, err = cgd(*few, "--ckpt=letters.ckpt")
    assert code == 1
    assert "is told the class, and was trained on ['a', 'b'" in err.splitlines()[-1]
    assert cgd(*few, "--ckpt=digits.ckpt")[0] == 0


def test_a_likelihood_that_is_not_finite_is_an_error_that_says_where(
    workplace: Path, cgd: Cgd
) -> None:
    model = checkpoints.load("runs/diffusion")
    for parameter in model.network.parameters():
        parameter.data.mul_(1e30)
    checkpoints.save(model, "large.ckpt")
    words = ["--ckpt=large.ckpt", "--num_images=2", "--data=Digits", "--device=cpu", "--steps=3"]
    code, out, err = cgd("likelihood", *words)
    assert (code, out) == (1, "")
    says = "images 0 to 1: the diffusion model's prediction is not finite at step 1 of 3 (t = 0)"
    assert says in err.splitlines()[-1]
