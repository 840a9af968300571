"""Own classes, each from a file of one's own: typed, in a list, from a configuration, in Python."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from cgd_lightning import (
    ClassifierGuidance,
    CleanClassifier,
    Digits,
    Measure,
    Request,
    load,
    read_request,
    sample,
    save,
)
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.networks import ConvNet
from cgd_lightning.sampling.stored import read_samples

Cgd = Callable[..., tuple[int, str, str]]

MINE = Path(__file__).parents[1] / "own" / "mine.py"
SAMPLE = ("sample", "--ckpt=runs/diffusion", "--device=cpu", "--num_samples=3", "--precision=fp32")


@pytest.fixture
def mine(workplace: Path) -> Iterator[Path]:
    """The current folder with runs and mine.py, which no other test knows of."""
    shutil.copy(MINE, workplace)
    yield workplace
    sys.modules.pop("mine", None)


def images(folder: str) -> list[bytes]:
    return [Image.open(file).tobytes() for file in sorted(Path(folder, "images").iterdir())]


def samples(request: Request) -> list[bytes]:
    made = sample(request, device="cpu", trust="mine")
    return [image.permute(1, 2, 0).numpy().tobytes() for image in made]


SAMPLERS = {
    "a frozen dataclass": ("Plain", {"steps": 2, "stretch": 0.9}),
    "a constructor of its own": ("Older", {"steps": 2, "share": 0.25}),
}


@pytest.mark.parametrize(("name", "options"), SAMPLERS.values(), ids=SAMPLERS)
def test_an_own_sampler(name: str, options: dict, mine: Path, cgd: Cgd) -> None:
    words = [f"--sampler.{option}={value}" for option, value in options.items()]
    code, _, err = cgd(*SAMPLE, f"--sampler=mine.{name}", *words, "--scale=0", "--out=typed")
    assert code == 0, err
    spec = {"sampler": {"class_path": f"mine.{name}", "init_args": options}, "scale": 0}
    Path("own.yaml").write_text(json.dumps(spec))
    assert "--trust mine" in cgd(*SAMPLE, "--config=own.yaml", "--out=refused")[2]
    assert cgd(*SAMPLE, "--config=own.yaml", "--trust=mine", "--out=config")[0] == 0
    assert "--trust mine" in cgd("sample", "--from=typed/samples.json", "--out=refused")[2]
    again = ("sample", "--from=typed/samples.json", "--trust=mine", "--out=again")
    assert cgd(*again)[0] == 0
    assert not Path("refused").exists()
    from mine import Older, Plain  # type: ignore[import-not-found]

    sampler = {"Plain": Plain, "Older": Older}[name](**options)
    python = Request("runs/diffusion", sampler=sampler, scale=0, num_samples=3, precision="fp32")
    assert images("typed") == images("config") == images("again") == samples(python)
    with pytest.raises(InputError, match="trust"):
        read_request("typed/samples.json")
    assert read_request("typed/samples.json", trust="mine").sampler.steps == 2


RULES = {
    "a rule": "{class_path: mine.Brighter, init_args: {scale: 0.3}}",
    "a rule with a constructor of its own": "{class_path: mine.OlderRule, init_args: {scale: 0.3}}",
    "one in a list": "[ClassifierGuidance, {class_path: mine.Brighter, init_args: {scale: 0.3}}]",
    "a rule made of others": (
        "{class_path: mine.Between, init_args: {one: {class_path: ClassifierGuidance}, other: "
        "{class_path: mine.Brighter, init_args: {scale: 0.1}}, then: [{class_path: mine.OlderRule, "
        "init_args: {scale: 0.3}}, {class_path: Rescale}]}}"
    ),
    "a rule of ours made of one's own": (
        "{class_path: Chain, init_args: {rules: [ClassifierGuidance, {class_path: mine.Brighter, "
        "init_args: {scale: 0.3}}]}}"
    ),
}


@pytest.mark.parametrize("text", RULES.values(), ids=RULES)
def test_an_own_rule(text: str, mine: Path, cgd: Cgd) -> None:
    few = (*SAMPLE, "--sampler.steps=3")
    code, _, err = cgd(*few, f"--guidance={text}", "--out=typed")
    assert code == 0, err
    Path("own.yaml").write_text(f"guidance: {text}\n")
    assert "--trust mine" in cgd(*few, "--config=own.yaml", "--out=refused")[2]
    assert cgd(*few, "--config=own.yaml", "--trust=mine", "--out=config")[0] == 0
    assert images("typed") == images("config")
    record = json.loads(Path("typed/samples.json").read_text())["options"]
    assert record["scale"] == 0.3
    assert (
        cgd(*few, f"--guidance={text.replace('0.3', '1.0')}", "--scale=0.3", "--out=scaled")[0] == 0
    )
    assert images("scaled") == images("typed")
    again = ("sample", "--from=typed/samples.json", "--trust=mine")
    assert cgd(*again, "--out=again")[0] == 0
    assert cgd(*again, "--scale=0.7", "--out=other")[0] == 0
    assert images("again") == images("typed") != images("other")
    request = read_request("typed/samples.json", trust="mine")
    assert samples(request) == images("typed")
    assert samples(replace(request, scale=0.7)) == images("other")


def test_a_composite_rule_says_its_parts_its_scale_and_its_guides(mine: Path) -> None:
    sys.path.append(str(mine))
    try:
        from mine import Between, Brighter
    finally:
        sys.path.remove(str(mine))
    rule = Between(ClassifierGuidance(2.0), Brighter(0.1), [Brighter(0.2), Brighter(0.2)])
    assert rule.parts() == (
        ClassifierGuidance(2.0),
        Brighter(0.1),
        Brighter(0.2),
        Brighter(0.2),
    )
    assert rule.strength == 0.2
    assert rule.scaled(3).parts()[2:] == (Brighter(0.2), Brighter(3))
    assert rule.parts()[3] == Brighter(0.2)
    assert rule.guides == ClassifierGuidance().guides
    assert rule.names == ()


@pytest.mark.slow
def test_an_own_schedule_data_set_and_network_train_and_sample(mine: Path, cgd: Cgd) -> None:
    short = [
        *("--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.accelerator=cpu"),
        *("--guided_sampler.every_n_validations=0", "--data.batch_size=16"),
        *("--data=mine.Bars", "--data.schedule=mine.Steep", "--data.schedule.last=0.98"),
    ]
    code, _, err = cgd("fit", "--config=diffusion.yaml", *short, "--model.network=mine.Thin")
    assert code == 0, err
    own = ["--model.network=mine.ThinClassifier", "--model.network.width=5"]
    code, _, err = cgd("fit", "--config=classifier.yaml", *short, *own)
    assert code == 0, err
    few = (
        "sample",
        "--ckpt=runs/diffusion",
        "--sampler.steps=3",
        "--num_samples=4",
        "--device=cpu",
    )
    assert "--trust mine" in cgd(*few, "--out=refused")[2]
    code, _, err = cgd(*few, "--trust=mine", "--out=made", "--precision=fp32")
    assert code == 0, err
    assert [file.name for file in sorted(Path("made/images").iterdir())][:2] == [
        "0000-lying.png",
        "0001-standing.png",
    ]
    assert samples(read_request("made/samples.json", trust="mine")) == images("made")
    config = Path("runs/diffusion/version_1/config.yaml")
    assert "mine.Steep" in config.read_text()
    again = ("fit", f"--config={config}", "--trainer.default_root_dir=runs")
    assert "--trust mine" in cgd(*again)[2]
    code, _, err = cgd(*again, "--trust=mine")
    assert code == 0, err
    first, second = (
        torch.load(f"runs/{run}/last.ckpt", weights_only=True)["state_dict"]
        for run in ("diffusion/version_1", "config/version_0")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_own_metric(mine: Path, cgd: Cgd) -> None:
    ours = load("runs/classifier")
    judge = CleanClassifier(ConvNet(16, 1, 10, width=8).eval(), ours.data)
    save(judge, "judge.ckpt", dataset="digits")
    assert cgd(*SAMPLE, "--num_samples=8", "--sampler.steps=2", "--scale=0", "--out=made")[0] == 0
    measure = ("evaluate", "--samples=made", "--judge=judge.ckpt", "--data=Digits", "--device=cpu")
    measure = (*measure, "--metrics")
    listed = "[{class_path: mine.MeanDistance, init_args: {power: 2.0}}]"
    typed, in_a_list = (
        cgd(*measure, *words) for words in (["mine.MeanDistance", "--metrics.power=2.0"], [listed])
    )
    assert typed[0] == 0, typed[2]
    assert typed[1] == in_a_list[1]
    Path("own.yaml").write_text(f"metrics: {listed}\n")
    config = (*measure[:-1], "--config=own.yaml")
    assert "--trust mine" in cgd(*config)[2]
    assert cgd(*config, "--trust=mine")[1] == typed[1]
    assert "two metrics are called" in cgd(*measure, "PrecisionRecall")[2]

    from mine import MeanDistance

    digits = Digits().split("test")
    made = Measure(JudgeFeatures(judge), digits.images, metrics=[partial(MeanDistance, power=2.0)])
    report = made(read_samples(Path("made"))[0])
    shown = re.search(r"^mean_distance@8 +([\d.e+-]+)", typed[1], flags=re.MULTILINE)
    assert shown
    assert float(shown[1]) == pytest.approx(report["mean_distance"], rel=1e-3)


def test_an_argument_without_a_type_is_no_place_for_an_object(mine: Path, cgd: Cgd) -> None:
    Path("mine_untyped.py").write_text(
        MINE.read_text()
        + "\n\n@dataclass(frozen=True)\nclass Untyped(Brighter):\n    inner: Any = None\n"
    )
    inner = "{class_path: ClassifierGuidance}"
    text = f"{{class_path: mine_untyped.Untyped, init_args: {{inner: {inner}}}}}"
    code, _, err = cgd(*SAMPLE, "--sampler.steps=2", f"--guidance={text}", "--out=result")
    assert code == 1, err
    assert "Untyped.inner: describes an object, and its type is not declared" in err
    assert not Path("result").exists()
