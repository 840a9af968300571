"""What happens to real trainings: whatever ends one, it goes on to the same weights."""

import os
import random
import re
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, Trainer

from cgd_lightning.files import unfinished_of
from cgd_lightning.training import slurm
from cgd_lightning.training.run_folder import discard_unused, run_folder
from tests.kills import KILLS
from tests.training.processes import FIT, run, start, weights

RUN = "runs/classifier/version_0"
ON = (*FIT, "--ckpt_path=last")


class At(Callback):
    """Does something to its process when `hook` is called at `step`."""

    def __init__(self, hook: str, step: int, what: str) -> None:
        def act(trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == step and trainer.is_global_zero:
                WHAT[what]()

        setattr(self, hook, act)


def fail() -> None:
    raise ValueError("a fault of its own")


def fill_the_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def wait_for_a_word() -> None:
    Path("waits").touch()
    deadline = time.monotonic() + 100
    while not Path("go").exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def interrupt_twice() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


WHAT: dict[str, Callable[[], object]] = {
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGUSR1": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "two SIGINTs": interrupt_twice,
    "an error": fail,
    "a full disk": fill_the_disk,
    "wait": wait_for_a_word,
}


def at(hook: str, step: int, what: str) -> tuple[str, ...]:
    name = "--trainer.callbacks"
    return (
        *(f"{name}={__name__}.At", f"{name}.hook={hook}", f"{name}.step={step}"),
        f"{name}.what={what}",
    )


@dataclass(frozen=True)
class Whole:
    """The final weights of a training that was left alone, and the seconds that it took."""

    weights: dict[str, torch.Tensor]
    seconds: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Whole]:
    """Of so many processes."""
    done: dict[int, Whole] = {}

    def trained(count: int = 1) -> Whole:
        if count not in done:
            folder, begin = tmp_path_factory.mktemp("whole"), time.monotonic()
            code, told = run(folder, *FIT, count=count)
            assert code == 0, told
            done[count] = Whole(weights(folder), time.monotonic() - begin)
        return done[count]

    return trained


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def left(folder: Path) -> list[str]:
    """Hidden files of the run."""
    return sorted(path.name for path in folder.glob("runs/*/version_*/.*"))


def errors(told: str) -> list[str]:
    assert "Traceback" not in told
    return [line for line in told.splitlines() if line.startswith("error: ")]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "kills"), [(1, KILLS), (2, max(1, KILLS // 4))])
def test_killed_at_random_moments_a_training_goes_on_to_the_same_weights(
    count: int, kills: int, whole: Callable[..., Whole], tmp_path: Path
) -> None:
    alone, moments, outcomes = whole(count), random.Random(7), []
    for kill in range(kills):
        folder = tmp_path / f"{kill}"
        training = start(folder, *FIT, count=count)
        time.sleep(moments.uniform(0.3, 1) * alone.seconds)
        training.kill()
        assert set(training.end()) <= {-signal.SIGKILL, 0}, training.told()
        begun = (folder / RUN).exists()
        code, told = run(folder, *(ON if begun else FIT), count=count)
        assert code == 0, told
        assert begun == (("starts anew: " in told) != ("continuing from " in told))
        assert same(weights(folder), alone.weights)
        outcomes.append("resumed" if "continuing from " in told else "anew")
    print(f"{count} processes: {outcomes.count('resumed')} resumed, {outcomes.count('anew')} anew")


FAULTS = {
    "killed in mid-epoch": (at("on_train_batch_end", 6, "SIGKILL"), -signal.SIGKILL),
    "killed in a validation": (at("on_validation_batch_end", 8, "SIGKILL"), -signal.SIGKILL),
    "an error": (at("on_train_batch_end", 6, "an error"), 1),
    "a full disk": (at("on_train_batch_end", 6, "a full disk"), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "ends"), FAULTS.values(), ids=FAULTS)
def test_whatever_ends_a_training_it_goes_on_to_the_same_weights(
    fault: tuple[str, ...],
    ends: int,
    whole: Callable[..., Whole],
    tmp_path: Path,
) -> None:
    code, told = run(tmp_path, *FIT, *fault)
    assert code == ends, told
    last = tmp_path / RUN / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 4
    if ends == 1:
        [error] = errors(told)
        if "full" in fault[-1]:
            told_of = re.search(r"; it took (\S+) kB of about (\S+) kB, and about ", error)
            assert told_of is not None, error
            took, wanted = (1000 * float(number) for number in told_of.groups())
            assert took <= 100_000 < wanted
            assert abs(wanted - last.stat().st_size) < 0.2 * wanted
            assert error.endswith(" more are needed; what was there before is kept")
    assert left(tmp_path) == ([".training.lock"] if ends < 0 else [])
    code, told = run(tmp_path, *ON)
    assert code == 0, told
    assert f"continuing from {RUN}/last.ckpt" in told
    assert same(weights(tmp_path), whole().weights)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("hook", "step", "count"),
    [
        ("on_before_backward", 0, 1),
        ("on_validation_batch_end", 8, 1),
        ("on_save_checkpoint", 8, 1),
        ("on_before_backward", 8, 2),
    ],
)
def test_the_second_ctrl_c_ends_a_training_at_once_and_tells_what_is_kept(
    hook: str, step: int, count: int, tmp_path: Path
) -> None:
    training = start(tmp_path, *FIT, *at(hook, step, "two SIGINTs"), count=count)
    code, *others = training.end()
    told = training.told()
    assert code == 130, told
    assert all(others), others
    line = [line for line in told.splitlines() if "interrupt" in line.lower()]
    assert "Traceback" not in told
    if step == 0:
        assert line == ["interrupted at once, before a checkpoint was written"]
        assert not (tmp_path / RUN).exists()
        return
    assert line == [
        f"interrupted at once; last.ckpt from before is kept, in {RUN}, and --ckpt_path last goes "
        "on from there"
    ]
    assert torch.load(tmp_path / RUN / "last.ckpt", weights_only=True)["global_step"] in (4, 8)
    assert left(tmp_path) == []


def test_killed_while_it_writes_a_checkpoint_a_training_leaves_the_one_before_and_nothing_else(
    whole: Callable[..., Whole], tmp_path: Path
) -> None:
    folder, own = tmp_path / "run", tmp_path / "temporary"
    own.mkdir()
    training = start(folder, *FIT, variables={"TMPDIR": str(own)})
    half, last = folder / RUN / ".last.ckpt.tmp", folder / RUN / "last.ckpt"
    training.wait(lambda: last.exists() and half.exists())
    training.kill()
    assert training.end() == (-signal.SIGKILL,)
    assert list(own.iterdir()) == []
    step = torch.load(last, weights_only=True)["global_step"]
    # The kill may have come too late; and none of the others is written by what follows.
    others = ("best.ckpt", "curves.png", "samples/step_0000001.png", ".slurm-123")
    halves = [half, *(unfinished_of(folder / RUN / name) for name in others)]
    (folder / RUN / "samples").mkdir(exist_ok=True)
    for file in halves:
        file.write_bytes(b"half")
    training = start(folder, *ON, *at("on_train_start", step, "wait"))
    training.wait((folder / "waits").exists)  # before it writes one itself
    assert not [file for file in halves if file.exists()]
    (folder / "go").touch()
    assert training.end() == (0,)
    assert 4 <= step < 20
    assert same(weights(folder), whole().weights)
    assert left(folder) == []


def test_two_trainings_of_one_run_exclude_each_other_until_the_first_is_dead(
    whole: Callable[..., Whole], tmp_path: Path
) -> None:
    # Workers are forks, which outlive a process that is killed by some seconds.
    training = start(tmp_path, *FIT, "--data.num_workers=1", *at("on_train_batch_end", 6, "wait"))
    training.wait((tmp_path / "waits").exists)
    last = tmp_path / RUN / "last.ckpt"
    before = last.read_bytes()
    second = start(tmp_path, *ON, name="second")
    assert second.end() == (1,)
    [error] = errors(second.told())
    assert error == (
        f"error: cgd fit: --ckpt_path {RUN}: another command is at work there; start a run without "
        "--ckpt_path, or wait for it"
    )
    assert last.read_bytes() == before
    training.kill()
    assert training.end() == (-signal.SIGKILL,)
    code, told = run(tmp_path, *ON)
    assert code == 0, told
    assert same(weights(tmp_path), whole().weights)
    assert [path.name for path in (tmp_path / RUN).parent.iterdir()] == ["version_0"]


def test_a_run_that_has_no_checkpoint_yet_starts_anew_and_leaves_the_ones_before(
    whole: Callable[..., Whole], tmp_path: Path
) -> None:
    assert run(tmp_path, *FIT)[0] == 0
    before = {file: file.read_bytes() for file in (tmp_path / RUN).glob("*.*")}
    code, told = run(tmp_path, *FIT, *at("on_train_batch_end", 2, "SIGKILL"))
    assert code == -signal.SIGKILL, told
    newest = f"{Path(RUN).parent}/version_1"
    assert not list((tmp_path / newest).glob("*.ckpt"))
    code, told = run(tmp_path, *ON)
    assert code == 0, told
    assert f"starts anew: there is no checkpoint yet in {newest}\n" in told
    assert "passed over" not in told
    assert "continuing from" not in told
    third = tmp_path / RUN / "../version_2/last.ckpt"
    assert same(torch.load(third, weights_only=True)["state_dict"], whole().weights)
    assert before == {file: file.read_bytes() for file in (tmp_path / RUN).glob("*.*")}


SLURM = {
    **{"SLURM_JOB_ID": "123", "SLURM_JOB_NAME": "night", "SLURM_NTASKS": "1"},
    **{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
}


def test_a_job_that_slurm_pre_empts_is_put_back_and_goes_on(
    whole: Callable[..., Whole], tmp_path: Path
) -> None:
    asked, scontrol = tmp_path / "asked", tmp_path / "bin/scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f"#!/bin/sh\necho $* >> {asked}\n")
    scontrol.chmod(0o755)
    path = {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    command = (*FIT, *at("on_train_batch_start", 6, "SIGUSR1"))
    code, told = run(tmp_path, *command, variables={**SLURM, **path})
    assert code == 128 + signal.SIGUSR1, told
    assert asked.read_text() == "requeue 123\n"
    assert told.splitlines()[-1].startswith("job 123 of SLURM is put back into its queue")
    assert torch.load(tmp_path / RUN / "last.ckpt", weights_only=True)["global_step"] == 7
    again = {**SLURM, **path, "SLURM_RESTART_COUNT": "1"}
    code, told = run(tmp_path, *command, variables=again)
    assert code == 0, told
    assert f"continuing from {RUN}/last.ckpt" in told
    assert same(weights(tmp_path), whole().weights)


def test_a_job_goes_on_with_its_own_run_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    run = tmp_path / "run"
    for version, number, given in ((0, "123", "b"), (1, "123", "a"), (2, "124", "a")):
        folder = run / f"version_{version}"
        folder.mkdir(parents=True)
        monkeypatch.setenv("SLURM_JOB_ID", number)
        slurm.mark(folder, given)
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    newest = [run / f"version_{version}" for version in (2, 1, 0)]
    assert slurm.earlier(newest, "a") is None  # it was not started again
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    for given, version in (("a", 1), ("b", 0)):
        assert slurm.earlier(newest, given) == run / f"version_{version}"
        assert slurm.is_of(run / f"version_{version}", given)
    assert slurm.earlier(newest, "c") == run / "version_1"
    assert not slurm.is_of(run / "version_1", "c")
    assert slurm.earlier(newest[:1], "a") is None
    made, ckpt_path = run_folder(tmp_path, "run", None, None, "c")
    assert (made, ckpt_path) == (run / "version_3", None)
    wanted = f"starts a new run: this job began {run}/version_1 with other settings\n"
    assert capsys.readouterr().err == wanted
    discard_unused()


def test_a_job_that_is_put_on_another_kind_of_machine_goes_on_with_its_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = (*FIT, *at("on_train_batch_end", 6, "an error"))
    monkeypatch.setattr("cgd_lightning.commands.fit.fast_precision", lambda _: "32-true")
    code, told = run(tmp_path, *command, variables=SLURM)
    assert code == 1, told
    assert "precision: 32-true" in (tmp_path / RUN / "config.yaml").read_text()
    monkeypatch.setattr("cgd_lightning.commands.fit.fast_precision", lambda _: "bf16-mixed")
    again = {**SLURM, "SLURM_RESTART_COUNT": "1"}
    code, told = run(tmp_path, *command, variables=again)
    assert code == 1, told
    assert f"continuing from {RUN}/last.ckpt" in told
    code, told = run(tmp_path, *command, "--trainer.max_steps=5", variables=again)
    assert code == 0, told
    assert f"starts a new run: this job began {RUN} with other settings" in told


def test_a_job_that_cannot_be_put_back_says_so(tmp_path: Path) -> None:
    array = {"SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": "7", "PATH": str(tmp_path)}
    command = (*FIT, *at("on_train_batch_start", 6, "SIGUSR1"))
    code, told = run(tmp_path, *command, variables={**SLURM, **array})
    assert code == 128 + signal.SIGUSR1, told
    assert "stopped; last.ckpt is written" in told
    assert told.splitlines()[-1].startswith("scontrol requeue 100_7 failed (")


def test_the_signal_of_a_job_is_that_of_its_plugin_or_usr1(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SLURMEnvironment(requeue_signal=signal.SIGUSR2)
    assert slurm.signal_of([own]) is None
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert slurm.signal_of(["another plugin"]) == signal.SIGUSR1
    assert slurm.signal_of(["another plugin", own]) == signal.SIGUSR2
    never = SLURMEnvironment(auto_requeue=False, requeue_signal=signal.SIGUSR2)
    assert slurm.signal_of([never]) is None


def test_what_stands_in_the_place_of_a_mark_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    slurm.mark(tmp_path, "a")
    [file] = tmp_path.iterdir()
    assert slurm.is_of(tmp_path, "a")
    file.rename(tmp_path / "other")
    assert not slurm.is_of(tmp_path, "a")
    file.symlink_to(tmp_path / "other")
    assert not slurm.is_of(tmp_path, "a")


SCONTROLS = {
    "other letters": (r"printf 'caf\351 closed\n' >&2; exit 1", "caf\ufffd closed"),
    "no answer": ("exec sleep 20", "timed out after 0.2 seconds"),
}


@pytest.mark.parametrize(("script", "why"), SCONTROLS.values(), ids=SCONTROLS)
def test_whatever_slurm_answers_to_a_job_is_told(
    script: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\n{script}\n")
    scontrol.chmod(0o755)
    for name, value in {**SLURM, "PATH": f"{tmp_path}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "LONGEST", 0.2 if "sleep" in script else slurm.LONGEST)
    told = slurm.requeue()
    assert told.startswith("scontrol requeue 123 failed (")
    assert why in told
    assert told.endswith("); start the job again by hand")
