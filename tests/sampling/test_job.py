"""The same request makes the same samples from Python as from the shell, in parts or at once."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cgd_lightning import (
    DDIM,
    DDPM,
    Attribute,
    Autoguidance,
    ClassifierGuidance,
    CleanGuidance,
    Heun,
    Interval,
    Request,
    Rescale,
    checkpoints,
    read_request,
    resolve,
    sample,
)
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.request import RequestError

Cgd = Callable[..., tuple[int, str, str]]

FEW = Request(ckpt="runs/diffusion", num_samples=5, sampler=DDIM(steps=3), precision="fp32")


def written(folder: str) -> Tensor:
    with np.load(Path(folder) / "samples.npz") as arrays:
        return torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2)


CASES = {
    "the defaults": (FEW, []),
    "a scale, labels and a seed": (
        replace(FEW, scale=5, labels="3|7,!0", seed=4),
        ["--scale=5", "--labels=3|7,!0", "--seed=4"],
    ),
    "another sampler": (
        replace(FEW, sampler=DDPM(steps=4, variance="fixed_large")),
        ["--sampler=DDPM", "--sampler.steps=4", "--sampler.variance=fixed_large"],
    ),
    "a weight, and the clamp inside": (
        replace(FEW, guidance=ClassifierGuidance(weight=Interval(-3, 5)), clamp="inside", scale=2),
        [
            *("--guidance.weight=Interval", "--guidance.weight.low=-3", "--guidance.weight.high=5"),
            *("--clamp=inside", "--scale=2"),
        ],
    ),
    "a list of rules that name models": (
        replace(
            FEW,
            guidance=[
                ClassifierGuidance(2.0),
                Attribute(ClassifierGuidance(3.0), "runs/classifier", "4"),
                Autoguidance("runs/diffusion", 0.5),
                Rescale(0.2),
            ],
            weights="raw",
        ),
        [
            "--guidance=[{class_path: ClassifierGuidance, init_args: {scale: 2}}, "
            "{class_path: Attribute, init_args: {rule: {class_path: ClassifierGuidance, "
            "init_args: {scale: 3}}, classifier: runs/classifier, label: '4'}}, "
            "{class_path: Autoguidance, init_args: {weak: runs/diffusion, scale: 0.5}}, "
            "{class_path: Rescale, init_args: {phi: 0.2}}]",
            "--weights=raw",
        ],
    ),
    "none": (replace(FEW, scale=0), ["--scale=0"]),
}


@pytest.mark.parametrize(("request_", "words"), CASES.values(), ids=CASES)
def test_python_makes_the_samples_of_the_shell(
    request_: Request, words: list[str], workplace: Path, cgd: Cgd
) -> None:
    first = ["sample", "--ckpt=runs/diffusion", "--num_samples=5", "--precision=fp32"]
    steps = [] if any(word.startswith("--sampler=") for word in words) else ["--sampler.steps=3"]
    code, _, err = cgd(*first, *steps, *words, "--format=npz", "--out=shell", "--device=cpu")
    assert code == 0, err
    samples = sample(request_, device="cpu")
    assert samples.dtype == torch.uint8
    assert torch.equal(samples, written("shell"))
    again = read_request("shell/samples.json")
    assert torch.equal(sample(again, device="cpu"), samples)
    assert again == resolve(request_, device="cpu").request


def test_a_loop_over_scales_loads_the_networks_once(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    load = checkpoints.load

    def counted(path, *args, **options):
        loaded.append(path)
        return load(path, *args, **options)

    monkeypatch.setattr(checkpoints, "load", counted)
    job = resolve(FEW, device="cpu")
    made = [job.again(scale=scale).samples() for scale in (0, 1, 30)]
    assert len(loaded) == 2
    for scale, samples in zip((0, 1, 30), made):
        assert torch.equal(samples, sample(replace(FEW, scale=scale), device="cpu"))
    assert not torch.equal(made[0], made[2])
    assert torch.equal(job.again(seed=7).samples(), sample(replace(FEW, seed=7), device="cpu"))


def test_what_wants_other_networks_is_refused(workplace: Path) -> None:
    job = resolve(replace(FEW, scale=0), device="cpu")
    with pytest.raises(RequestError, match="needs a NoisyClassifier, and none was loaded"):
        job.again(scale=1)
    with pytest.raises(RequestError, match="ckpt decides what is loaded"):
        job.again(ckpt="runs/other")
    with pytest.raises(RequestError, match=r"names runs/weak, which is not loaded"):
        job.again(guidance=Autoguidance("runs/weak"), scale=1)


def test_a_job_stops_anywhere_and_goes_on(workplace: Path) -> None:
    job = resolve(replace(FEW, num_samples=7, batch_size=2), device="cpu")
    assert job.total == 7
    whole = dict(job)
    assert list(whole) == [0, 2, 4, 6]
    begun = job.chunks()
    kept = dict(next(begun) for _ in range(2))
    rest = dict(job.chunks(skip=kept.keys()))
    assert list(rest) == [4, 6]
    assert torch.equal(torch.cat([*kept.values(), *rest.values()]), job.samples())
    dealt = {**dict(job.chunks((0, 2))), **dict(job.chunks((1, 2)))}
    assert all(torch.equal(dealt[start], chunk) for start, chunk in whole.items())


def test_a_request_is_a_value(workplace: Path) -> None:
    request = replace(FEW, guidance=[ClassifierGuidance(2.0), Rescale()], scale=3)
    assert request == replace(request)
    assert hash(request) == hash(replace(request))
    assert request != replace(request, scale=4)
    assert Request.from_plain(request.to_plain()) == request
    assert eval(repr(request.sampler)) == request.sampler
    with pytest.raises(FrozenInstanceError):
        request.scale = 5  # type: ignore[misc]
    resolve(request, device="cpu").samples()
    assert request.rules == (ClassifierGuidance(2.0), Rescale())


def test_nothing_that_is_built_is_changed_by_a_job(workplace: Path) -> None:
    rule = Attribute(ClassifierGuidance(), "runs/classifier", "3")
    request = replace(FEW, guidance=rule, scale=2)
    job = resolve(request, device="cpu")
    assert rule == Attribute(ClassifierGuidance(1.0), "runs/classifier", "3")
    assert job.request.rules[0].names[0].endswith("runs/classifier/version_0/best.ckpt")
    assert job.rule.names == ()


WRONG = {
    "no model": (Request(), "which diffusion model"),
    "a model that is nowhere": (replace(FEW, ckpt="runs/x"), "runs/x: no such checkpoint"),
    "a classifier as the model": (
        replace(FEW, ckpt="runs/classifier"),
        r"ckpt .*: a classifier, and a diffusion model was wanted; .* goes to `classifier`",
    ),
    "a classifier for nobody": (
        replace(FEW, guidance=Autoguidance("runs/diffusion"), classifier="runs/classifier"),
        "classifier runs/classifier: no rule of this guidance takes it",
    ),
    "labels for nobody": (
        replace(FEW, guidance=Autoguidance("runs/diffusion"), labels="3"),
        "labels 3: neither the diffusion model nor the guidance",
    ),
    "an unknown label": (replace(FEW, labels="x"), "label x: wanted a class name"),
    "a variance that nobody learned": (
        replace(FEW, sampler=DDPM(variance="learned")),
        "sampler.variance learned: runs/diffusion/.* did not learn any",
    ),
    "a shift of the mean past the clamp": (
        replace(FEW, sampler=DDPM(mean_shift=True)),
        "add clamp=inside",
    ),
    "too many steps": (replace(FEW, sampler=Heun(steps=2000)), "2000 steps"),
}


@pytest.mark.parametrize(("request_", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_told_in_the_words_of_python(
    request_: Request, says: str, workplace: Path
) -> None:
    with pytest.raises(InputError, match=says) as told:
        sample(request_, device="cpu")
    assert "--" not in str(told.value)


VALUES = {
    "num_samples 0: wanted 1 to 1,000,000": {"num_samples": 0},
    "batch_size 0: wanted": {"batch_size": 0},
    "clamp 'near': wanted one of outside, inside, off": {"clamp": "near"},
    "weights 'best': wanted one of ema, raw": {"weights": "best"},
    r"guidance \[\]: no rule": {"guidance": []},
    "guidance: Rescale alone guides nowhere": {"guidance": Rescale()},
    "guidance 'Rescale': wanted a Rule, as ClassifierGuidance": {"guidance": "Rescale"},
    "scale 'high': wanted a finite number": {"scale": "high"},
    "scale nan: wanted a finite number": {"scale": float("nan")},
    "scale inf: wanted a finite number": {"scale": float("inf")},
    "classifier {}: wanted a path": {"classifier": {}},
    r"labels \[3, 7\]: wanted text": {"labels": [3, 7]},
    "seed 0.5: wanted an integer": {"seed": 0.5},
    "sampler 'DDIM': wanted a Sampler": {"sampler": "DDIM"},
}


@pytest.mark.parametrize(("says", "values"), VALUES.items(), ids=VALUES)
def test_values_out_of_range_are_refused_when_the_request_is_made(says: str, values: dict) -> None:
    with pytest.raises(RequestError, match=says):
        Request(**values)


@pytest.mark.parametrize("scale", [float("inf"), float("nan"), 1e30])
def test_a_scale_in_a_list_that_is_no_number_is_refused(scale: float, workplace: Path) -> None:
    """A samples.json could not be read that has one."""
    rules = [ClassifierGuidance(scale), ClassifierGuidance()]
    with pytest.raises(RequestError, match=r"ClassifierGuidance at scale .*; wanted a finite num"):
        resolve(replace(FEW, guidance=rules), device="cpu")


def test_again_checks_what_resolve_checks(workplace: Path) -> None:
    job = resolve(FEW, device="cpu")
    for changes, says in (
        ({"sampler": DDPM(4, mean_shift=True)}, "add clamp=inside"),
        ({"sampler": DDPM(4, variance="learned")}, "did not learn any"),
        ({"labels": "12"}, "label 12"),
        ({"guidance": CleanGuidance()}, "needs a CleanClassifier"),
    ):
        with pytest.raises(InputError, match=says):
            job.again(**changes)
    assert job.again(ckpt=job.request.ckpt).samples().shape[0] == 5


def test_a_new_guidance_brings_its_own_scale(workplace: Path) -> None:
    job = resolve(replace(FEW, scale=2), device="cpu")
    rule = ClassifierGuidance(30.0)
    wanted = sample(replace(FEW, guidance=rule), device="cpu")
    assert torch.equal(job.again(guidance=rule).samples(), wanted)
    assert torch.equal(sample(replace(job.request, guidance=rule), device="cpu"), wanted)


def test_a_job_names_its_models_as_its_request_did(workplace: Path) -> None:
    job = resolve(replace(FEW, guidance=Autoguidance("runs/diffusion", 0.5)), device="cpu")
    again = job.again(guidance=Autoguidance("runs/diffusion", 2.0))
    assert again.rule.strength == 2.0
    assert again.rule.parts()[0].weak is job.models["runs/diffusion"]
    assert again.samples().shape == job.samples().shape


def test_chunks_of_another_batch_size_are_not_skipped(workplace: Path) -> None:
    job = resolve(replace(FEW, num_samples=8, batch_size=4), device="cpu")
    with pytest.raises(RequestError, match="no chunk of this job begins at 2"):
        job.chunks(skip={0, 2})


def test_a_limiter_outside_the_guidance_is_no_clamp(workplace: Path) -> None:
    request = replace(
        FEW,
        sampler=DDPM(3, mean_shift=True),
        guidance=[ClassifierGuidance(), Rescale()],
        clamp="inside",
    )
    assert sample(request, device="cpu").shape[0] == 5
