"""curves.png, which a training draws of its own numbers."""

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from cgd_lightning.evaluation import figures
from cgd_lightning.training import curves
from cgd_lightning.training.curves import Curves, draw
from cgd_lightning.training.history import History
from cgd_lightning.training.metrics_file import RunCSVLogger
from tests.command_line import TINY_CLASSIFIER, TINY_DIFFUSION, inside, status
from tests.training.test_training import classifier, diffusion, fit, judge, numbers, same

Points = list[tuple[float, float]]


def shown(history: History) -> dict[str, dict[str, Points]]:
    """{title of a panel: {label of a curve: its points}}."""
    figure = draw(history)
    assert figure is not None
    return {
        axes.get_title(loc="left"): {
            str(line.get_label()): [(float(x), float(y)) for x, y in line.get_xydata()]
            for line in axes.lines
        }
        for axes in figure.axes
    }


def logged(folder: Path) -> RunCSVLogger:
    folder = folder / "runs" / "version_0"
    folder.mkdir(parents=True, exist_ok=True)
    return RunCSVLogger(folder)


def watched(module: Any, folder: Path, *callbacks: Callback, **options: Any) -> Path:
    """curves.png of a training of 6 steps with a validation every 2."""
    logger = logged(folder)
    steps = {"max_steps": 6, "val_check_interval": 2, "log_every_n_steps": 1}
    fit(module, Curves(), *callbacks, logger=logger, **{**steps, **options})
    return logger.file.with_name("curves.png")


def column(file: Path, name: str) -> Points:
    with file.open() as lines:
        return [
            (float(row["step"]), float(row[name])) for row in csv.DictReader(lines) if row[name]
        ]


def test_the_curves_are_the_columns_of_metrics_csv(tmp_path: Path) -> None:
    picture = watched(classifier(), tmp_path)
    with Image.open(picture) as opened:
        assert opened.size == (8 * figures.DPI, 6 * figures.DPI)
    file = picture.with_name("metrics.csv")
    panels = shown(RunCSVLogger(file.parent).history)
    for title in ("loss", "accuracy"):
        assert panels[title] == {
            "training": column(file, f"train/{title}"),
            "held out": column(file, f"val/{title}"),
        }
        assert panels[f"{title}, held out, by noise level"] == {
            label: column(file, f"val/{title}_q{q}") for q, label in enumerate(curves.QUARTILES)
        }
        assert len(panels[title]["training"]) == 6
        assert len(panels[title]["held out"]) == 3
    assert len(panels) == 4


def test_a_judge_has_no_quarters_and_learned_variance_has_its_bound(tmp_path: Path) -> None:
    logger = RunCSVLogger(watched(judge(), tmp_path / "judge").parent)
    assert list(shown(logger.history)) == ["loss", "accuracy"]
    logger = RunCSVLogger(watched(diffusion(learned_variance=True), tmp_path / "vlb").parent)
    assert list(shown(logger.history)) == [
        "loss",
        "loss, held out, by noise level",
        "variational bound, bits per dimension",
        "variational bound, bits per dimension, held out, by noise level",
    ]


def test_guided_samples_stand_beside_real_images_and_with_their_interval() -> None:
    history = History()
    for step, fid, accuracy in ((9, 30.0, 0.0), (19, 4.0, 0.5), (29, 2.5, 1.0)):
        values = {"fid_lite": fid, "fid_lite_real": 2.0, "accuracy": accuracy, "n": 16.0}
        history.add({f"guided/{name}": value for name, value in values.items()}, step)
        history.add({"self_judged/fid_lite": fid, "self_judged/fid_lite_real": 1.0 + step}, step)
    figure = draw(history)
    assert figure is not None
    own, theirs, recognised = (
        {axes.get_title(loc="left"): axes for axes in figure.axes}[title]
        for title in (
            "FID-lite of 16 guided samples, by the judge",
            "FID-lite of guided samples, by the guide itself",
            "accuracy of 16 guided samples, by the judge",
        )
    )
    assert [list(line.get_ydata()) for line in own.lines] == [[30.0, 4.0, 2.5], [2.0, 2.0]]
    assert own.lines[1].get_linestyle() == theirs.lines[1].get_linestyle() == "--"
    assert list(theirs.lines[1].get_ydata()) == [10.0, 20.0, 30.0]
    [shade] = recognised.collections
    # Wilson's interval of 0, 8 and 16 of 16, z = 1.96: by hand (z^2 / (n + z^2) = 0.1936).
    ends = {round(float(y), 4) for _, y in shade.get_paths()[0].vertices}
    assert ends == {0.0, 0.1936, 0.28, 0.72, 0.8064, 1.0}


def test_a_training_is_the_same_bit_by_bit_watched_or_not(tmp_path: Path) -> None:
    states: list[Any] = []

    def ended() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())

    for watch in (True, False):
        module = diffusion(dropout=0.2)
        if watch:
            assert watched(module, tmp_path / "watched").is_file()
        else:
            steps = {"max_steps": 6, "val_check_interval": 2, "log_every_n_steps": 1}
            fit(module, logger=logged(tmp_path / "alone"), **steps)
        states.append((numbers(module), ended()))
    assert same(states[0][0], states[1][0])
    assert states[0][1] == states[1][1]


class Drawn(Callback):
    """At which steps a picture was drawn, seen in the next hook."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.trainer: Trainer | None = None
        write = curves.write

        def counted(history: History, path: Path) -> None:
            assert self.trainer is not None
            self.steps.append(self.trainer.global_step)
            write(history, path)

        monkeypatch.setattr(curves, "write", counted)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.trainer = trainer


@pytest.mark.parametrize(("rarely", "steps"), [(0, [2, 4, 6]), (1e9, [2, 6])])
def test_close_validations_share_a_picture_and_the_last_one_has_it(
    rarely: float, steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "RARELY", rarely)
    drawn = Drawn(monkeypatch)
    watched(judge(), tmp_path, drawn, num_sanity_val_steps=1)
    assert drawn.steps == steps


def test_a_training_without_a_validation_has_its_picture_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Drawn(monkeypatch)
    assert watched(judge(), tmp_path, drawn, limit_val_batches=0).exists()
    assert len(drawn.steps) == 1


def test_a_run_without_a_log_a_trial_and_a_validation_alone_have_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Drawn(monkeypatch)
    fit(judge(), Curves(), drawn, logger=False, default_root_dir=tmp_path)
    assert not watched(judge(), tmp_path, drawn, fast_dev_run=True).exists()
    module = judge()
    trainer = fit(module, max_steps=1, logger=logged(tmp_path))
    trainer.callbacks.extend([Curves(), drawn])  # type: ignore[attr-defined]
    trainer.validate(module, datamodule=trainer.datamodule, verbose=False)  # type: ignore[attr-defined]
    assert drawn.steps == []
    assert not list(tmp_path.rglob("*.png"))


def test_other_processes_than_the_first_draw_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Drawn(monkeypatch)
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    watched(judge(), tmp_path, drawn)
    assert drawn.steps == []


def no_library(*_: Any, **__: Any) -> None:
    raise ModuleNotFoundError("No module named 'matplotlib'")


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("panels", no_library, "No module named 'matplotlib'"),
        ("save", full, "[Errno 28] No space left"),
    ],
)
def test_a_picture_that_fails_is_told_once_and_the_training_goes_on(
    name: str,
    fault: Callable[..., None],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(curves, "RARELY", 0)
    monkeypatch.setattr(figures, name, fault)
    module = judge()
    picture = watched(module, tmp_path)
    assert module.trainer.global_step == 6
    assert not picture.exists()
    err = capsys.readouterr().err
    assert err.count(f"curves: no picture: {said}") == err.count("curves: ") == 1


@pytest.mark.parametrize(
    "table",
    [
        "step,train/loss,val/loss_q0,guided/accuracy,guided/n\n-9,1e29,-1,7,16\n1e29,-3,0,x,-1\n",
        "step,guided/fid_lite,guided/accuracy,guided/n\n0,0,0.5,0\n",
        "step,train/loss\n" + "5,1\n" * 5000,
    ],
)
def test_numbers_that_make_no_sense_stop_nothing(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged(tmp_path).file.write_text(table)
    module = judge()
    drawn = watched(module, tmp_path).is_file()
    assert module.trainer.global_step == 6
    assert drawn != ("curves: no picture: " in capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_that_was_stopped_and_goes_on_has_the_picture_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    for name, stops in (("whole", [12]), ("stopped", [6, 12])):
        (tmp_path / name).mkdir()
        with inside(tmp_path / name):
            for number, steps in enumerate(stops):
                words = [*TINY_CLASSIFIER, "--model.decay=constant", f"--trainer.max_steps={steps}"]
                on = ["--ckpt_path=last"] if number else []
                assert status("fit", *words, "--trainer.log_every_n_steps=2", *on) == 0
    found = [
        (tmp_path / name / "runs/classifier/version_0/curves.png").read_bytes()
        for name in ("whole", "stopped")
    ]
    assert found[0] == found[1]


def test_guided_samples_of_a_run_are_drawn_as_they_were_logged(workplace: Path) -> None:
    words = [*TINY_DIFFUSION, "--guided_sampler.every_n_validations=1"]
    few = ["--guided_sampler.num_metric_samples=20", "--guided_sampler.sampler.steps=2"]
    assert status("fit", *words, "--guided_sampler.sampler=DDIM", *few) == 0
    folder = Path("runs/diffusion/version_1")
    assert (folder / "curves.png").is_file()
    panels = shown(RunCSVLogger(folder).history)
    for title, name in (("FID-lite", "fid_lite"), ("accuracy", "accuracy")):
        points = column(folder / "metrics.csv", f"self_judged/{name}")
        assert len(points) == 2
        assert points in panels[f"{title} of 20 guided samples, by the guide itself"].values()
