"""What starts what: processes, imports, commands."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cgd_lightning.commands.main import COMMANDS
from tests.command_line import TINY_DIFFUSION

CGD = str(Path(sys.executable).with_name("cgd"))
TWO = ("--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp")


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("CGD_", "PYTEST"))
    }
    return subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


def imported_by(statement: str, tmp_path: Path) -> set[str]:
    done = run(
        sys.executable,
        "-c",
        f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_package_imports_neither_torch_nor_lightning_until_a_name_is_used(
    tmp_path: Path,
) -> None:
    assert not {"torch", "lightning"} & imported_by("import cgd_lightning", tmp_path)
    assert "torch" in imported_by("from cgd_lightning import DDIM", tmp_path)


def test_sampling_imports_neither_lightning_nor_torchvision(tmp_path: Path) -> None:
    assert not {"lightning", "torchvision", "matplotlib", "wandb"} & imported_by(
        "import cgd_lightning.commands.sample", tmp_path
    )


def test_help_version_and_a_wrong_command_answer_without_torch(tmp_path: Path) -> None:
    helped, named, wrong = (
        run(CGD, *words, cwd=tmp_path) for words in ((), ("--version",), ("smaple",))
    )
    assert all(command in helped.stdout for command in COMMANDS)
    assert re.fullmatch(r"cgd-lightning \d+\.\d+\.\d+\n", named.stdout)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no command 'smaple'; did you mean sample?")
    assert "torch" not in imported_by(
        "from cgd_lightning.commands.main import main\nmain(['--help'])", tmp_path
    )


@pytest.mark.slow
def test_samples_are_bit_equal_on_one_and_on_two_processes(workplace: Path) -> None:
    words = (
        CGD,
        "sample",
        "--ckpt=runs/diffusion",
        "--scale=4",
        "--num_samples=8",
        "--batch_size=3",
        "--sampler.steps=4",
        "--device=cpu",
    )
    alone, both = (
        run(*words, "--out=one", cwd=workplace),
        run(*words, "--out=two", *TWO, cwd=workplace),
    )
    assert alone.returncode == 0, alone.stderr
    assert both.returncode == 0, both.stderr
    files = [
        {file.name: file.read_bytes() for file in (workplace / name / "images").iterdir()}
        for name in ("one", "two")
    ]
    assert len(files[0]) == 8
    assert files[0] == files[1]
    assert (workplace / "one/samples.json").read_bytes() == (
        workplace / "two/samples.json"
    ).read_bytes()
    assert both.stdout.strip() == "two/grid.png"


NOTES = """
from pathlib import Path
import torch
from lightning.pytorch import Callback

class Notes(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        seen = (batch.index.clone(), batch.t.clone(), batch.eps.clone())
        torch.save(seen, f"seen-{trainer.global_rank}-{trainer.global_step}.pt")
    def on_train_end(self, trainer, module):
        torch.save(module.state_dict(), f"weights-{trainer.global_rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_one_run_on_different_images_and_noise(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text(NOTES)
    done = run(
        CGD,
        "fit",
        *TINY_DIFFUSION,
        "--trainer.max_steps=4",
        "--trainer.val_check_interval=2",
        "--trainer.callbacks=notes.Notes",
        *TWO,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    [cost] = [line for line in done.stderr.splitlines() if line.startswith("cost: ")]
    assert cost.endswith(" parameters to train, 4 steps of 2 processes x 32 images")
    assert [path.name for path in (tmp_path / "runs/diffusion").iterdir()] == ["version_0"]
    assert {path.name for path in (tmp_path / "runs/diffusion/version_0").iterdir()} == {
        "config.yaml",
        "best.ckpt",
        "last.ckpt",
        "metrics.csv",
        "curves.png",
    }
    seen = [
        [torch.load(tmp_path / f"seen-{rank}-{step}.pt") for step in range(1, 5)]
        for rank in range(2)
    ]
    for (index, t, eps), (other_index, other_t, other_eps) in zip(*seen):
        assert not set(index.tolist()) & set(other_index.tolist())
        assert not torch.equal(t, other_t)
        assert not torch.equal(eps, other_eps)
    first, second = (torch.load(tmp_path / f"weights-{rank}.pt") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with (tmp_path / "runs/diffusion/version_0/metrics.csv").open() as file:
        assert len([row for row in csv.DictReader(file) if row["val/loss"]]) == 2
