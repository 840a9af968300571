"""What several processes do together, and what the command line is made of."""

import csv
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from cgd_lightning.commands.main import COMMANDS, HELP
from cgd_lightning.peers import Peers
from cgd_lightning.sampling.processes import ending_together
from tests.command_line import TINY_CLASSIFIER, inside, status

Cgd = Callable[..., tuple[int, str, str]]

SMALL = [
    *TINY_CLASSIFIER,
    "--data.image_size=8",
    "--data.batch_size=128",
    "--model.decay=constant",
    "--trainer.val_check_interval=3",
]
FORKED = ["--trainer.devices=2", "--trainer.strategy=ddp_fork"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version folder of a run of 7 steps on two processes; an epoch has 5."""
    folder = tmp_path_factory.mktemp("both")
    with inside(folder):
        assert status("fit", *SMALL, *FORKED, "--trainer.max_steps=7") == 0
    return folder / "runs/classifier/version_0"


@pytest.mark.slow
def test_a_run_on_two_processes_goes_on_as_if_it_had_not_ended(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status("fit", *SMALL, *FORKED, "--trainer.max_steps=4") == 0
    assert status("fit", *SMALL, *FORKED, "--trainer.max_steps=7", "--ckpt_path=last") == 0
    assert [path.name for path in Path("runs/classifier").iterdir()] == ["version_0"]
    mine, theirs = (
        torch.load(folder / "last.ckpt", weights_only=True)
        for folder in (Path("runs/classifier/version_0"), both)
    )
    assert mine["global_step"] == theirs["global_step"] == 7
    assert mine["state_dict"].keys() == theirs["state_dict"].keys()
    assert all(
        torch.equal(value, theirs["state_dict"][name]) for name, value in mine["state_dict"].items()
    )


def test_two_processes_do_not_train_as_one_does(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status("fit", *SMALL, "--trainer.max_steps=7") == 0
    mine, theirs = (
        torch.load(folder / "last.ckpt", weights_only=True)
        for folder in (Path("runs/classifier/version_0"), both)
    )
    assert not all(
        torch.equal(value, theirs["state_dict"][name]) for name, value in mine["state_dict"].items()
    )


def test_two_processes_measure_what_one_does(
    both: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    monkeypatch.chdir(both.parent.parent.parent)
    with (both / "metrics.csv").open() as file:
        [logged] = [row for row in csv.DictReader(file) if row["step"] == "5"]
    code, out, err = cgd(
        "validate", f"--ckpt_path={both / 'best.ckpt'}", "--trainer.accelerator=cpu"
    )
    assert code == 0, err
    step = torch.load(both / "best.ckpt", weights_only=True)["global_step"]
    assert step == 6
    shown = dict(re.findall(r"(val/\w+)\W+([\d.]+)", out))
    assert len(shown) == 10
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(
        {name: float(logged[name]) for name in shown}, rel=1e-4
    )


def test_help_lists_the_commands_and_each_of_them_is_there(cgd: Cgd) -> None:
    code, out, _ = cgd()
    assert (code, out) == (0, HELP)
    assert cgd("--help") == cgd("help") == cgd() == (0, HELP, "")
    listed = re.findall(r"^  (\w+)  ", HELP.partition("commands:")[2], flags=re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    for command in COMMANDS:
        assert callable(import_module(f"cgd_lightning.commands.{COMMANDS[command]}").run)


def test_every_command_has_a_help_of_its_own(cgd: Cgd) -> None:
    for command in COMMANDS:
        code, out, err = cgd(command, "--help")
        assert code == 0, err
        assert re.match(rf"usage: cgd (\[options\] )?{command}\b", out), out[:100]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("smaple", "sample"), ("fti", "fit"), ("validat", "validate"), ("nonsense", None)],
)
def test_an_unknown_command_ends_with_status_2_and_the_nearest_one(
    word: str, meant: str | None, cgd: Cgd
) -> None:
    code, out, err = cgd(word)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: no command '{word}'")
    assert err.count("\n") == 1
    assert (f"did you mean {meant}?" in err) if meant else ("did you mean" not in err)
    assert all(command in err for command in COMMANDS)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_only_a_group_of_the_command_is_left_with_it_and_the_launcher_is_as_before(
    grouped: bool, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, left = [grouped], []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: now[-1])
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: left.append(1))
    launcher: Any = ModuleType("launcher")
    launcher._launch_process_observer = before = object()
    with Peers("cgd sample") as peers:
        with suppress(KeyboardInterrupt), ending_together(launcher):
            assert launcher._launch_process_observer == peers.watch
            now.append(True)
            if fails:
                raise KeyboardInterrupt
        assert launcher._launch_process_observer is before
    assert left == ([] if grouped else [1])
