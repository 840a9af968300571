"""What the README says is what happens."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import cgd_lightning
from cgd_lightning.commands.main import COMMANDS, HELP

README = (Path(__file__).parents[2] / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readmes_python_makes_the_images_of_the_command_line(
    workplace: Path, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    names: dict = {}
    exec(PYTHON[0], names)
    exec(PYTHON[1], names)
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


def test_the_readmes_python_trains(workplace: Path) -> None:
    names: dict = {}
    exec(
        PYTHON[2].replace(
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
        *[c for c in COMMANDS if c not in ("fit", "sample")],
    ]


def test_the_readmes_data_set_and_network_train_and_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, source in zip(("shapes", "plain"), PYTHON[3:], strict=True):
        Path(f"{name}.py").write_text(source)
    words = next(line for line in README.splitlines() if "shapes.Shapes" in line).split()[1:]
    short = [
        "--trainer.max_steps=2",
        "--trainer.val_check_interval=2",
        "--trainer.accelerator=cpu",
        "--guided_sampler.every_n_validations=0",
    ]
    code, _, err = cgd(*words, *short)
    assert code == 0, err
    sample = next(line for line in README.splitlines() if "--trust plain" in line).split()[1:]
    assert cgd(*sample, "--sampler.steps=2", "--num_samples=4", "--device=cpu")[0] == 0
    assert "--trust plain" in cgd(*sample[:-2], "--num_samples=4")[2]
