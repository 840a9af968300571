"""The pages on classes of one's own: what they print is run, and does what they say.

A block with a title is a file, one that begins with `test_` a file of tests. The others are run in
the order of the page: commands, of which long ones are made short by options behind them, and
Python.
"""

import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cgd_lightning import load

Cgd = Callable[..., tuple[int, str, str]]

PAGES = Path(__file__).parents[2] / "docs" / "extending"
BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)

FIT = (
    *("--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--guided_sampler.every_n_validations=0"),
    *("--trainer.limit_val_batches=1", "--data.batch_size=16"),
)
UNET = ("--model.network.model_channels=8", "--model.network.channel_mult=[1]")
SHORT = {
    "fit": FIT,
    "validate": ("--trainer.limit_val_batches=1",),
}
"""By command, what stands behind it."""

IN_PYTHON = {
    "steps=20": "steps=3",
    "max_steps=300": "max_steps=1, logger=False, accelerator='cpu', enable_progress_bar=False",
    "partial(UNet, model_channels=32, channel_mult=(1, 2)": "partial(UNet, model_channels=8, "
    "channel_mult=(1,)",
}


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, title, text) of the blocks of a page."""
    return BLOCK.findall((PAGES / f"{page}.md").read_text())


def shortened(words: list[str]) -> list[str]:
    """A command that takes a second: of few steps and images, by a small network."""
    if any(word.endswith(".help") for word in words):
        return words
    extra = [*SHORT.get(words[0], ())]
    if "diffusion.yaml" in words and "--model.network" not in words:
        extra += UNET
    if words[0] == "sample":
        extra += ["--format=npz"]
        extra += [] if {"--num_samples", "--from"} & {*words} else ["--num_samples=8"]
        extra += [] if "--from" in words else ["--sampler.steps=3"]
    return [*words, *extra]


STEPS = ("--sampler.steps=3", "--format=npz", "--num_samples=8")


class Page:
    """A page whose files lie in the current folder, and what came of its blocks."""

    def __init__(self, name: str, cgd: Cgd) -> None:
        self.cgd, self.outputs, self.names = cgd, {}, {}
        found = blocks(name)
        for _, title, text in found:
            if title:
                Path(title).write_text(text)
        self.tests = [title for _, title, _ in found if title.startswith("test_")]
        self.runs = [(language, text) for language, title, text in found if not title]

    def run(self) -> None:
        for language, text in self.runs:
            if language == "python":
                self.execute(text)
            for line in text.splitlines() if language == "bash" else ():
                code, out, err = self.cgd(*shortened(shlex.split(line)[1:]))
                assert code == 0, f"{line}: {err}"
                self.outputs[line] = out

    def execute(self, text: str) -> None:
        for long, short in IN_PYTHON.items():
            text = text.replace(long, short)
        for start in re.findall(r"Request\(.*", text):
            few = "" if "num_samples=" in start else ", num_samples=8"
            steps = "" if "sampler=" in start else ", sampler=DDIM(3)"
            text = text.replace(
                start, start.replace('"runs/diffusion"', f'"runs/diffusion"{few}{steps}')
            )
        exec("from cgd_lightning import DDIM\n" + text, self.names)

    def output(self, part: str) -> str:
        """What the first command that holds `part` printed."""
        return next(out for line, out in self.outputs.items() if part in line)


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder from which Python imports, and of which no other test knows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def page(in_a_folder: None, workplace: Path, cgd: Cgd, request: pytest.FixtureRequest) -> Page:
    """The page after which the test is called."""
    return Page(request.node.originalname.removeprefix("test_the_page_on_"), cgd)


def written(folder: str) -> Tensor:
    with np.load(Path(folder) / "samples.npz") as arrays:
        return torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2)


def printed_tests() -> list[tuple[str, str]]:
    """(page, name) of every test on the pages."""
    return [
        (page.stem, name)
        for page in sorted(PAGES.glob("*.md"))
        for _, title, text in blocks(page.stem)
        if title.startswith("test_")
        for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    ]


def test_every_page_has_tests_commands_and_python() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"index"}
    assert pages == {"sampler", "rule", "schedule", "data", "network", "codec", "metric"}
    assert {page for page, _ in printed_tests()} == pages
    for page in pages:
        assert {language for language, title, _ in blocks(page) if not title} == {"bash", "python"}


@pytest.mark.parametrize(("name", "test"), printed_tests())
def test_the_tests_that_a_page_prints_pass(
    name: str, test: str, tmp_path: Path, in_a_folder: None, cgd: Cgd
) -> None:
    page = Page(name, cgd)
    function = getattr(importlib.import_module(page.tests[0].removesuffix(".py")), test)
    function(*([tmp_path] if "tmp_path" in signature(function).parameters else []))


def test_the_page_on_sampler(page: Page) -> None:
    page.run()
    typed = written("typed")
    assert torch.equal(typed, page.names["images"])
    assert torch.equal(typed, written("again"))
    assert torch.equal(typed, written("configured"))
    assert "how often each step but the last is taken again" in page.output("--sampler.help")
    euler = page.cgd("sample", "--ckpt=runs/diffusion", "--scale=5", "--sampler=Euler", *STEPS)
    same = "--sampler=recurrence.Recurrence", "--sampler.rounds=0", *STEPS
    assert page.cgd("sample", "--ckpt=runs/diffusion", "--scale=5", *same, "--out=none")[0] == 0
    assert euler[0] == 0
    assert torch.equal(written("runs/diffusion/version_0/samples/0"), written("none"))
    assert not torch.equal(typed, written("none"))


def test_the_page_on_rule(page: Page) -> None:
    page.run()
    assert torch.equal(written("bright"), page.names["bright"])
    assert torch.equal(written("clipped"), page.names["clipped"])
    assert torch.equal(written("clipped"), written("again"))
    assert "at most `share` times as long" in page.output("--guidance.help")
    x0 = written("bright").double() / 127.5 - 1
    assert (x0.mean(dim=(1, 2, 3)) + 0.2).abs().max() < 0.05  # the clamp behind it is felt
    sample = (
        "sample",
        "--ckpt=runs/diffusion",
        "--sampler.steps=3",
        "--format=npz",
        "--num_samples=8",
    )
    off = ("--guidance=steering.Brightness", "--scale=0")
    assert page.cgd(*sample, *off, "--out=off")[0] == 0
    assert page.cgd(*sample, "--scale=0", "--out=unguided")[0] == 0
    assert torch.equal(written("off"), written("unguided"))
    assert not torch.equal(written("off"), written("bright"))


def test_the_page_on_schedule(page: Page) -> None:
    page.run()
    assert torch.equal(written("made"), page.names["images"])
    own = import_module("laplace").Laplace(width=0.8)
    assert load("runs/diffusion", trust="laplace").schedule == own
    config = Path("runs/diffusion/version_2/config.yaml").read_text()
    assert "laplace.Laplace" in config
    assert "--trust laplace" in page.cgd("sample", "--ckpt=runs/diffusion", "--out=refused")[2]


def test_the_page_on_data(page: Page) -> None:
    page.run()
    assert torch.equal(written("made"), page.names["images"])
    assert load("runs/classifier").class_names == ("lying", "standing")
    assert "accuracy" in page.output("validate")


def test_the_page_on_network(page: Page) -> None:
    page.run()
    assert torch.equal(written("made"), page.names["images"])
    assert page.names["network"].init_args["width"] == 64
    assert "--trust plain" in page.cgd("sample", "--ckpt=runs/diffusion", "--out=refused")[2]


def test_the_page_on_codec(page: Page) -> None:
    page.run()
    assert torch.equal(written("made"), page.names["images"])
    assert written("made").shape == (8, 1, 16, 16)
    assert page.names["x0"].shape == (250, 4, 8, 8)
    assert page.names["denoiser"].network.init_args["image_size"] == 8
    pixels = ("--classifier=runs/classifier/version_0", "--trust=haar", "--out=refused")
    code, _, err = page.cgd("sample", "--ckpt=runs/diffusion", *pixels)
    assert code == 1
    assert "haar.Haar" in err


def test_the_page_on_metric(page: Page) -> None:
    assert page.cgd("fit", "--config=judge.yaml", *FIT)[0] == 0
    page.run()
    assert torch.equal(written("made"), page.names["images"])
    outputs = [out for line, out in page.outputs.items() if "evaluate" in line]
    for name in ("vendi", "vendi_real"):
        for out in outputs:
            shown = re.search(rf"^{name}@200 +([\d.e+-]+)", out, flags=re.MULTILINE)
            assert shown, out
            assert float(shown[1]) == pytest.approx(page.names["report"][name], rel=1e-3)
