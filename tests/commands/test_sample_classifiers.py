"""Classifiers that are named: judges, published ones, your own; calls are not made any more."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_sample import SAMPLE, Cgd, images, judge


def test_clean_classifiers_guide_a_judge_of_ours_and_one_of_another_library(
    workplace: Path, cgd: Cgd
) -> None:
    judge()
    few = (*SAMPLE, "--num_samples=3", "--guidance=CleanGuidance")
    published = "--classifier=torchvision:shufflenet_v2_x0_5.untrained:12"
    names = ("judge", "detached", "published")
    for name, words in zip(
        names,
        (
            ["--classifier=judge.ckpt"],
            ["--classifier=judge.ckpt", "--guidance.through_denoiser=false"],
            [published],
        ),
    ):
        code, _, err = cgd(*few, "--scale=900", *words, f"--out={name}")
        assert code == 0, err
    assert cgd(*SAMPLE, "--num_samples=3", "--scale=0", "--out=plain")[0] == 0
    assert len({tuple(images(Path(name)).values()) for name in (*names, "plain")}) == 4
    assert cgd(*few, published, "--labels=11", "--out=eleventh")[0] == 0
    assert "0000-11.png" in images(Path("eleventh"))
    assert cgd("sample", "--from=published/samples.json", "--out=again")[0] == 0
    assert images(Path("published")) == images(Path("again"))


def named_in(place: str, classifier: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What makes `cgd sample` find `classifier` in a file or in the environment."""
    guided = {"class_path": "CleanGuidance"}
    options: dict[str, Any] = {"guidance": guided, "classifier": classifier}
    if place == "environment":
        text = classifier if isinstance(classifier, str) else json.dumps(classifier)
        monkeypatch.setenv("CGD_SAMPLE__CLASSIFIER", text)
        return ["--guidance=CleanGuidance"]
    if place == "attribute":
        init_args = {"rule": guided, "classifier": classifier, "label": "3"}
        options = {"guidance": {"class_path": "Attribute", "init_args": init_args}}
    if place == "weak":
        options = {"guidance": {"class_path": "Autoguidance", "init_args": {"weak": classifier}}}
    if place == "discriminator":
        init_args = {"discriminator": classifier}
        options = {"guidance": {"class_path": "DiscriminatorGuidance", "init_args": init_args}}
    if place == "record":
        Path("record.json").write_text(json.dumps({"options": options}))
        return ["--from=record.json"]
    Path("options.yaml").write_text(json.dumps(options))
    return ["--config=options.yaml"]


PLACES = ["record", "config", "environment", "attribute", "weak", "discriminator"]


@pytest.mark.parametrize("place", PLACES)
def test_a_file_makes_no_calls_and_names_nothing_but_published_classifiers(
    place: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    Path("foreign_guide.py").write_text(GUIDE)
    for name, says in {
        "os.system('touch ran')": "calls are not made any more",
        "foreign_guide.Net(10)": "calls are not made any more",
        "torch.hub.load('.', net, source=local)": "calls are not made any more",
        "torch.load('ran.pt')": "calls are not made any more",
        "torchvision:os.system": "torchvision lists no classifier os",
        "torchvision:fcn_resnet50": "wanted a classifier of images",
        "torchvision:../ran": "no name of a published classifier",
        "timm:hf-hub:evil/net": "no name of a published classifier",
    }.items():
        code, _, err = cgd(
            *SAMPLE, "--num_samples=1", "--out=result", *named_in(place, name, monkeypatch)
        )
        assert code == 1, name
        *_, error = err.strip().splitlines()
        assert error.startswith("error: cgd sample: ")
        assert says in error
        assert not Path("ran").exists()
        assert not Path("result").exists()
    assert "foreign_guide" not in sys.modules


@pytest.mark.parametrize("place", ["record", "config", "environment"])
def test_an_own_class_in_a_file_is_not_imported_unless_its_package_is_trusted(
    place: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    Path("foreign_guide.py").write_text(GUIDE)
    own = {"class_path": "foreign_guide.Net", "init_args": {"classes": 10}}
    few = (*SAMPLE, "--num_samples=1", *named_in(place, own, monkeypatch))
    code, _, err = cgd(*few, "--out=result")
    assert code == 1
    assert "--trust foreign_guide" in err.strip().splitlines()[-1]
    assert not Path("ran").exists()
    assert not Path("result").exists()
    assert "foreign_guide" not in sys.modules
    code, _, err = cgd(*few, "--out=result", "--trust=foreign_guide")
    assert code == 0, err
    assert Path("ran").exists()
    sys.modules.pop("foreign_guide")


def test_an_own_class_that_is_typed_is_made(workplace: Path, cgd: Cgd) -> None:
    Path("foreign_guide.py").write_text(GUIDE)
    few = (*SAMPLE, "--num_samples=1")
    own = json.dumps({"class_path": "foreign_guide.Net", "init_args": {"classes": 10}})
    code, _, err = cgd(*few, "--guidance=CleanGuidance", "--classifier", own, "--out=typed")
    assert code == 0, err
    assert "--trust foreign_guide" in cgd("sample", "--from=typed/samples.json", "--out=again")[2]
    again = ("sample", "--from=typed/samples.json", "--out=again", "--trust=foreign_guide")
    assert cgd(*again)[0] == 0
    assert images(Path("typed")) == images(Path("again"))
    sys.modules.pop("foreign_guide")


GUIDE = """
from pathlib import Path
Path("ran").touch()
import torch
class Net(torch.nn.Module):
    def __init__(self, classes=10, channels=1):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(channels, classes, 3)
    def forward(self, x):
        return self.conv(x).mean((2, 3))
class Boxes(torch.nn.Module):
    def forward(self, x):
        return [x]
class NoNet:
    pass
"""


CLEAN = "--guidance=CleanGuidance"
WRONG = {
    "a call of a published guide": (
        [CLEAN, "--classifier=torchvision.models.resnet18(weights=DEFAULT)"],
        "calls are not made any more; give torchvision:resnet18",
    ),
    "a call of something else": (
        [CLEAN, "--classifier=os.system('touch ran')"],
        "calls are not made any more; give a published classifier",
    ),
    "a published guide of noisy images": (
        ["--classifier=torchvision:resnet18"],
        "has never seen noise",
    ),
    "a published guide that is nowhere": (
        [CLEAN, "--classifier=torchvision:resnet7"],
        "did you mean resnet",
    ),
    "a published guide that finds objects": (
        [CLEAN, "--classifier=torchvision:ssdlite320_mobilenet_v3_large"],
        "one of torchvision.models.detection.ssdlite",
    ),
    "a published guide of unknown weights": (
        [CLEAN, "--classifier=torchvision:resnet18.best"],
        "wanted IMAGENET1K_V1, DEFAULT, untrained",
    ),
    "an own guide without logits": (
        [CLEAN, '--classifier={"class_path": "torch.nn.ReLU"}'],
        "logits (K,) were wanted",
    ),
    "an own guide without logits, of grey images": (
        [
            CLEAN,
            '--classifier={"class_path": "torch.nn.Conv2d", "init_args": '
            '{"in_channels": 1, "out_channels": 10, "kernel_size": 3}}',
        ],
        "logits (K,) were wanted",
    ),
    "an own guide of two channels": (
        [
            CLEAN,
            '--classifier={"class_path": "torch.nn.Conv2d", "init_args": '
            '{"in_channels": 2, "out_channels": 10, "kernel_size": 3}}',
        ],
        "RuntimeError",
    ),
    "an own guide that is no network": (
        [CLEAN, '--classifier={"class_path": "collections.OrderedDict"}'],
        "which is not a Module",
    ),
    "an own guide of the wrong arguments": (
        [CLEAN, '--classifier={"class_path": "torch.nn.Flatten", "init_args": {"a": 1}}'],
        "does not take the arguments",
    ),
}


@pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_gets_one_line_and_leaves_nothing(
    words: list[str], says: str, workplace: Path, cgd: Cgd
) -> None:
    code, out, err = cgd(*SAMPLE, "--num_samples=2", "--out=result", *words)
    assert code in (1, 2)
    assert out == ""
    *before, last = err.strip().splitlines()
    assert last.startswith("error: ")
    assert says in last, last
    known = ("diffusion model: ", "classifier: ", "model in the guidance: ", "sampling")
    assert all(line.startswith(known) for line in before), err
    assert not Path("ran").exists()
    assert not Path("result").exists()
