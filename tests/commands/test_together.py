"""Processes of one command: who starts them, and that all end when one of them does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.denoiser import Denoiser
from tests.command_line import TINY_CLASSIFIER
from tests.launched import (
    LONGEST,
    TWO,
    children,
    elastic,
    ended,
    fork,
    fork_two,
    is_alive,
    said,
    slurm,
    wait_until,
)

FIT = (
    "fit",
    *TINY_CLASSIFIER,
    "--data.image_size=8",
    "--data.batch_size=64",
    "--trainer.max_steps=6",
    "--trainer.val_check_interval=3",
)
LONG = (*FIT, "--trainer.max_steps=100000")
SAMPLE = ("sample", "--device=cpu", "--scale=0", "--sampler.steps=4", "--batch_size=3", "--out=S")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [version] = (folder / "runs/classifier").iterdir()
    state: dict[str, torch.Tensor] = torch.load(version / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    return state


def fitted_by_cgd(folder: Path) -> str:
    first = fork(folder, {}, *FIT, *TWO)
    assert ended(first) == 0, said(folder, first)
    return said(folder, first)


def fitted_by_torchrun(folder: Path) -> str:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    words = (*torchrun, "-m", "cgd_lightning.commands.main", *FIT, *TWO)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def fitted_under_slurm(folder: Path) -> str:
    both = fork_two(folder, slurm, *FIT)
    assert [ended(process) for process in both] == [0, 0], said(folder, both[0])
    return "".join(said(folder, process) for process in both)


@pytest.mark.slow
def test_cgd_torchrun_and_slurm_start_the_same_training(tmp_path: Path) -> None:
    starts = (fitted_by_cgd, fitted_by_torchrun, fitted_under_slurm)
    for start in starts:
        folder = tmp_path / start.__name__
        folder.mkdir()
        text = start(folder)
        for once in ("config: ", "run: ", "cost: classifier", "6 steps, val/loss"):
            assert text.count(once) == 1, text
        [version] = (folder / "runs/classifier").iterdir()
        assert version.name == "version_0"
    first, *others = (weights(tmp_path / start.__name__) for start in starts)
    for other in others:
        assert first.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in first.items())


def test_torchrun_and_slurm_start_the_same_samples_as_one_process(workplace: Path) -> None:
    words = (*SAMPLE, "--ckpt=runs/diffusion", "--num_samples=8")
    # Not in this process: what it forks would wait for the threads that computed.
    assert ended(fork(workplace, {}, *words, "--out=alone")) == 0
    for name, variables in (("torchrun", elastic), ("slurm", slurm)):
        both = fork_two(workplace, variables, *words, f"--out={name}")
        texts = [said(workplace, process) for process in both if ended(process) == 0]
        assert len(texts) == 2
        assert "".join(texts).count("diffusion model: runs/diffusion/version_0") == 1
        assert "".join(texts).count(f"{name}/grid.png") == 1
    alone, *others = (
        {file.name: file.read_bytes() for file in (workplace / name).rglob("*.*") if file.is_file()}
        for name in ("alone", "torchrun", "slurm")
    )
    assert len(alone) == 8 + len(("grid.png", "samples.json"))
    assert all(other == alone for other in others)


def test_processes_that_read_other_networks_make_no_samples(workplace: Path) -> None:
    other = checkpoints.load("runs/diffusion", Denoiser)
    with torch.no_grad():
        next(iter(other.network.parameters())).mul_(1.01)
    checkpoints.save(other, "other.ckpt")
    own = ("--ckpt=runs/diffusion", "--ckpt=other.ckpt")
    both = fork_two(workplace, slurm, *SAMPLE, "--num_samples=8", own=own)
    assert [ended(process) for process in both] == [1, 1]
    told = said(workplace, both[0])
    assert "error: cgd sample: several processes have read different files (networks" in told
    assert not Path("S").exists()


def test_processes_of_which_some_are_fast_at_bf16_make_no_samples(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cgd_lightning.sampling.hardware.fast_bf16",
        lambda _: os.environ.get("SLURM_PROCID") == "0",
    )
    both = fork_two(workplace, slurm, *SAMPLE, "--ckpt=runs/diffusion", "--num_samples=8")
    assert [ended(process) for process in both] == [1, 1]
    told = said(workplace, both[0])
    assert "chose different precisions (bf16, fp32); give --precision fp32" in told
    assert not Path("S").exists()


def running(folder: Path) -> tuple[int, int]:
    """`cgd fit` in `folder`, and the process that it started and waits for."""
    folder.mkdir()
    first = fork(folder, {}, *LONG, *TWO)
    wait_until(lambda: len(children(first)) == 1)
    [second] = children(first)
    return first, second


@pytest.mark.slow
def test_all_end_when_one_does_while_they_wait_for_each_other(tmp_path: Path) -> None:
    faults = [(rank, number) for rank in (0, 1) for number in (signal.SIGKILL, signal.SIGTERM)]
    started = {fault: running(tmp_path / "{}-{}".format(*fault)) for fault in faults}
    for (rank, number), both in started.items():
        os.kill(both[rank], number)
    codes = {fault: ended(first) for fault, (first, _) in started.items()}
    wait_until(lambda: not any(is_alive(second) for _, second in started.values()))
    assert list(codes.values()) == [-9, 143, 1, 1]
    texts = [said(tmp_path / "{}-{}".format(*fault), both[0]) for fault, both in started.items()]
    for text, told in zip(
        texts,
        (
            "error: cgd fit: the process that started this one has ended, and so does this one",
            "error: cgd fit: terminated",
            "error: cgd fit: process 1 of 0 to 1 ended by SIGKILL, and so do the others",
            "error: cgd fit: process 1 of 0 to 1 ended ",
        ),
    ):
        # A signal that comes before they wait is heard by the training.
        stopped = told.endswith("terminated") and "stopped, before a checkpoint was" in text
        assert text.count(told) == 1 or stopped, text
        assert "Traceback" not in text
    left = [path.name for path in tmp_path.glob("*/runs/*/version_0")]
    assert len(left) == 1  # of the first process that could not remove it


CALLBACK = """
from lightning.pytorch import Callback

class Fails(Callback):
    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_rank == self.rank:
            raise ValueError(f"a fault of {self.rank}")
"""

PROGRAM = """
import os, sys, time
from cgd_lightning import peers
from cgd_lightning.commands.main import main

peers.GRACE = 1.0
for rank in "10":
    try:
        main([*sys.argv[1:], f"--trainer.callbacks.rank={rank}"])
    except SystemExit as end:
        print("status", end.code)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("alone")
time.sleep(3 * peers.GRACE)
sys.exit(7)
"""


@pytest.mark.slow
def test_a_program_goes_on_after_commands_of_which_one_process_failed(tmp_path: Path) -> None:
    (tmp_path / "own_fault.py").write_text(CALLBACK)
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    words = (*FIT, *TWO, "--trainer.callbacks=own_fault.Fails")
    done = subprocess.run(
        (sys.executable, "-W", "ignore", "-c", PROGRAM, *words),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines() == ["status 1", "alone"] * 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: cgd fit: ValueError: a fault of 1; CGD_DEBUG=1 shows where",
        "error: cgd fit: process 1 of 0 to 1 ended with status 1, and so do the others",
        "error: cgd fit: ValueError: a fault of 0; CGD_DEBUG=1 shows where",
    ], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_training_that_any_of_its_processes_is_told_to_stop_is_saved_by_all(
    rank: int, tmp_path: Path
) -> None:
    both = fork_two(tmp_path, elastic, *LONG)
    wait_until(lambda: any(tmp_path.glob("runs/*/version_0/last.ckpt")))
    os.kill(both[rank], signal.SIGTERM)
    assert [ended(process) for process in both] == [143, 143]
    texts = [said(tmp_path, process) for process in both]
    assert texts[0].count("stopped; last.ckpt is written") == 1
    assert "stopped" not in texts[1]
    assert "error" not in "".join(texts)


@pytest.mark.slow
def test_samples_that_are_finished_stay_when_one_of_two_processes_is_killed(
    workplace: Path,
) -> None:
    words = (*SAMPLE, "--ckpt=runs/diffusion", "--num_samples=100000")
    first = fork(workplace, {}, *words, *TWO)
    wait_until(lambda: any(workplace.glob("S/.unfinished/*/0*")))
    [second] = children(first)
    os.kill(second, signal.SIGKILL)
    assert ended(first) == 1
    text = said(workplace, first)
    assert "error: cgd sample: process 1 of 0 to 1 ended by SIGKILL, and so do the oth" in text
    assert "S keeps the batches that are finished; the same command goes on" in text
    assert text.count("error: ") == 1
    assert any(workplace.glob("S/.unfinished/*/0*"))


def ctrl_c(first: int) -> list[int]:
    """What a terminal does: all processes of the command are told. The others of `first`."""
    others = children(first)
    for process in (first, *others):
        os.kill(process, signal.SIGINT)
    return others


@pytest.mark.slow
def test_ctrl_c_ends_a_training_on_two_processes_after_the_step(tmp_path: Path) -> None:
    first = fork(tmp_path, {}, *LONG, *TWO)
    wait_until(lambda: any(tmp_path.glob("runs/classifier/version_0/best.ckpt")))
    [second] = ctrl_c(first)
    assert ended(first) == 130
    wait_until(lambda: not is_alive(second))
    assert said(tmp_path, first).count("stopped; last.ckpt is written") == 1
    assert "error" not in said(tmp_path, first)
    assert weights(tmp_path)


@pytest.mark.slow
def test_ctrl_c_ends_samples_on_two_processes_and_what_is_finished_stays(workplace: Path) -> None:
    words = (*SAMPLE, "--ckpt=runs/diffusion", "--num_samples=100000")
    first = fork(workplace, {}, *words, *TWO)
    wait_until(lambda: any(workplace.glob("S/.unfinished/*/0*")))
    [second] = ctrl_c(first)
    assert ended(first) == 130
    wait_until(lambda: not is_alive(second))
    text = said(workplace, first)
    assert text.count("error: ") == 1
    assert "error: cgd sample: interrupted" in text
    assert "S keeps the batches that are finished; the same command goes on" in text
    assert any(workplace.glob("S/.unfinished/*/0*"))
