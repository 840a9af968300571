"""Where a run logs."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import TINY_CLASSIFIER

Cgd = Callable[..., tuple[int, str, str]]

SHORT = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


WITHOUT_TENSORBOARD = """
import lightning.fabric.loggers.tensorboard as theirs
theirs._TENSORBOARD_AVAILABLE = theirs._TENSORBOARDX_AVAILABLE = False
"""


def alone(*words: str, first: str = "") -> tuple[int, str]:
    """(exit status, standard error) of a `cgd` in a process of its own, without an account.

    wandb keeps much in a process, and jsonargparse what a class takes. `first` is run before it.
    """
    known = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    settings = {"HOME": os.getcwd(), "WANDB_SILENT": "true", "WANDB_BASE_URL": "http://127.0.0.1:9"}
    program = first + "from cgd_lightning.commands.main import main; main()"
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(
        command,
        env={**known, **settings},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
    )
    return done.returncode, done.stderr


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_tensorboard_that_is_not_installed_is_one_line() -> None:
    words = ["fit", *TINY_CLASSIFIER, "--config=tensorboard.yaml", *SHORT]
    code, err = alone(*words, first=WITHOUT_TENSORBOARD)
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: cgd fit: ")
    assert "pip install 'cgd-lightning[tensorboard]'" in last
    assert not list(Path("runs/classifier").glob("version_*"))


def test_tensorboard_and_metrics_stand_in_the_folder_of_the_run(cgd: Cgd) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, err = cgd("fit", *TINY_CLASSIFIER, "--config=tensorboard.yaml", *SHORT)
    assert code == 0, err
    folder = Path("runs/classifier/version_0")
    assert {path.name for path in Path("runs").iterdir()} == {"classifier"}
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    [event] = board.Scalars("val/loss")
    assert [event.value] == pytest.approx(
        [float(row["val/loss"]) for row in rows(folder) if row["val/loss"]]
    )


@pytest.mark.slow
def test_wandb_offline_stands_in_the_folder_of_the_run() -> None:
    code, err = alone(
        "fit",
        *TINY_CLASSIFIER,
        "--config=wandb.yaml",
        "--trainer.logger.init_args.offline=true",
        *SHORT,
    )
    assert code == 0, err
    folder = Path("runs/classifier/version_0")
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert rows(folder)
    assert not Path("wandb").exists()


@pytest.mark.slow
def test_wandb_without_an_account_is_one_line_before_anything_is_trained() -> None:
    code, err = alone("fit", *TINY_CLASSIFIER, "--config=wandb.yaml", *SHORT)
    assert code == 1
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "Weights & Biases" in line
    assert "--trainer.logger.init_args.offline true" in line
    assert not list(Path("runs/classifier/version_0").glob("*.ckpt"))


def test_no_logger_means_no_log(cgd: Cgd) -> None:
    assert cgd("fit", *TINY_CLASSIFIER, "--trainer.logger=false", *SHORT)[0] == 0
    assert not Path("runs/classifier/version_0/metrics.csv").exists()
