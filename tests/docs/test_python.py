"""The Python of the README and of the recipes does what they say."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import cgd_lightning
from cgd_lightning.commands.main import COMMANDS, HELP

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


FEW = (
    "--trainer.max_steps=2",
    "--trainer.val_check_interval=2",
    "--trainer.accelerator=cpu",
    "--guided_sampler.every_n_validations=0",
)
SAMPLES, NETWORKS, MEASURES, TRAINS = blocks("docs/recipes.md")


@pytest.mark.slow
def test_the_python_makes_the_images_of_the_command_line(
    workplace: Path, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    names: dict = {}
    exec(SAMPLES, names)
    exec(NETWORKS, names)
    few = ("sample", "--ckpt=runs/diffusion", "--num_samples=16", "--format=npz")
    assert cgd(*few, "--scale=5", "--labels=3,7", "--out=result")[0] == 0
    assert torch.equal(names["images"], written("result"))
    for scale, samples in names["by_scale"].items():
        assert cgd(*few, f"--scale={scale}", f"--out={scale}")[0] == 0
        assert torch.equal(samples, written(f"{scale}"))
    exact = ("--scale=5", "--labels=3,7", "--precision=fp32", "--device=cpu")
    assert cgd(*few, *exact, "--out=exact")[0] == 0
    assert torch.equal(names["own"], written("exact"))


def written(folder: str) -> torch.Tensor:
    with np.load(Path(folder) / "samples.npz") as arrays:
        return torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2)


def test_the_readmes_python_is_that_of_the_recipes() -> None:
    assert [block.split("\n") for block in blocks("README.md")] == [
        SAMPLES.replace("\n\njob", "\njob").split("\n")
    ]


def test_the_python_measures(workplace: Path, cgd: Callable[..., tuple[int, str, str]]) -> None:
    assert cgd("fit", "--config=judge.yaml", *FEW)[0] == 0
    names: dict = {}
    exec(SAMPLES, names)
    exec("from cgd_lightning import DDIM, load", names)
    exec(MEASURES.replace("num_samples=200", "num_samples=40, sampler=DDIM(steps=4)"), names)
    assert 0 <= names["report"]["accuracy"] <= 1
    assert names["result"].chosen.scale in (1, 2, 5)
    assert Path("sweep", "points").is_dir()


def test_the_python_trains(workplace: Path) -> None:
    names: dict = {}
    exec(
        TRAINS.replace(
            "max_steps=300",
            "max_steps=2, logger=False, accelerator='cpu', enable_progress_bar=False",
        ),
        names,
    )
    assert Path("checkpoints").is_dir()


def test_every_public_name_can_be_imported_and_is_typed() -> None:
    source = Path(cgd_lightning.__file__).read_text()
    for name in cgd_lightning.__all__:
        assert getattr(cgd_lightning, name).__name__ == name
        assert f"import {name} as {name}" in source
    assert set(re.findall(r"import \w+ as (\w+)", source)) == set(cgd_lightning.__all__)


def test_the_help_names_every_command() -> None:
    assert re.findall(r"^  ([a-z]+)  ", HELP, re.MULTILINE) == [
        "fit",
        "sample",
        "edit",
        *[c for c in COMMANDS if c not in ("fit", "sample", "edit")],
    ]
