"""A small pair of runs, trained once for all tests of the command line."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.commands.main import main
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.networks import ConvNet

TINY_DIFFUSION = [
    "--config=diffusion.yaml",
    "--model.network.model_channels=8",
    "--model.network.channel_mult=[1]",
    "--model.network.attention_resolutions=[]",
    "--model.network.num_heads=1",
    "--data.batch_size=32",
    "--trainer.max_steps=12",
    "--trainer.val_check_interval=6",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--guided_sampler.every_n_validations=0",
]
TINY_CLASSIFIER = [
    "--config=classifier.yaml",
    "--model.network=EncoderUNet",
    "--model.network.norm_groups=2",
    "--model.network.num_res_blocks=1",
    "--model.network.patch_size=2",
    *TINY_DIFFUSION[1:],
]


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def status(*words: str) -> int:
    """The exit status of `cgd WORDS`, run in this process."""
    try:
        main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/diffusion and runs/classifier. Tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    with inside(folder):
        assert status("fit", *TINY_DIFFUSION) == 0
        assert status("fit", *TINY_CLASSIFIER) == 0
    return folder


@pytest.fixture
def workplace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a copy of `trained` that a test may change."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def untrained_judge(runs: Path, seed: int = 0) -> Path:
    """The file of a judge of images (1, 16, 16), written into the folder `runs`."""
    torch.manual_seed(seed)
    data = DataSpec((1, 16, 16), tuple("0123456789"))
    file = runs / "judge" / "version_0" / "best.ckpt"
    file.parent.mkdir(parents=True)
    checkpoints.save(CleanClassifier(ConvNet(16, 1, 10, width=8), data).eval(), file)
    return file


@pytest.fixture
def cgd(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """cgd(WORDS) -> (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = status(*words)
        out, err = capfd.readouterr()
        return code, out, err

    return run
