"""What a training says of its own cost, with a clock that the tests turn."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image
from torch import Tensor, nn

from cgd_lightning.amounts import duration
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.folder import Folder
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.training.cost import Cost
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.modules import DiffusionModule
from cgd_lightning.training.step_bar import StepBar
from tests.command_line import TINY_CLASSIFIER
from tests.training.test_training import (
    Greys,
    classifier,
    diffusion,
    fit,
    judge,
    make_trainer,
    numbers,
    same,
)


class Clock(Callback):
    """A clock on which a batch takes `seconds`, and so do, beside it, a validation and others."""

    def __init__(self, seconds: float, slow: dict[int, float] | None = None) -> None:
        self.now, self.seconds, self.slow = 0.0, seconds, slow or {}
        self.batches, self.validation, self.asked = 0, 0.0, 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1
        self.now += self.slow.get(self.batches, self.seconds)

    def on_validation_epoch_end(self, *_: Any) -> None:
        self.now += self.validation


Said = Callable[..., list[str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """said(MODULE, CLOCK, callbacks, options of a trainer) -> what was said, line by line."""

    def run(
        module: TrainingModule,
        clock: Clock,
        *callbacks: Callback,
        data: NoisingDataModule | None = None,
        ckpt_path: Path | None = None,
        **options: Any,
    ) -> list[str]:
        capsys.readouterr()
        trainer = make_trainer(
            clock, Cost(clock), *callbacks, **{"limit_val_batches": 0, **options}
        )
        trainer.fit(module, datamodule=data or Greys(batch_size=8), ckpt_path=ckpt_path)
        lines = capsys.readouterr().err.splitlines()
        return [line.removeprefix("cost: ") for line in lines if line.startswith("cost: ")]

    return run


class Many(Greys):
    """Greys of which an epoch has 40 batches."""

    def split(self, name: str) -> ImageTensors:
        few = super().split(name)
        return ImageTensors(few.images.repeat(8, 1, 1, 1), few.labels.repeat(8))


def test_a_training_says_its_size_and_after_a_few_steps_its_time(said: Said) -> None:
    module = diffusion()
    size, time = said(module, Clock(0.5), max_steps=10)
    assert module.model is not None
    parameters = sum(weight.numel() for weight in module.model.parameters())
    assert size == f"diffusion, {parameters:,} parameters to train, 10 steps of 8 images"
    assert time == "0.5 s a step: 10 steps take about 5 s, without validations"


def test_frozen_parameters_are_not_counted(said: Said) -> None:
    module = judge()

    class Freeze(Callback):
        def on_fit_start(self, *_: Any) -> None:
            assert module.model is not None
            module.model.network.requires_grad_(False)
            module.model.network.head.requires_grad_(True)

    [size] = said(module, Clock(1.0), Freeze(), max_steps=2)
    assert module.model is not None
    head = sum(weight.numel() for weight in module.model.network.head.parameters())
    assert size.startswith(f"judge, {head:,} parameters to train, ")


def test_a_step_is_timed_after_the_first_ones_and_one_slow_one_does_not_count(said: Said) -> None:
    clock = Clock(1.0, {1: 100.0, 2: 50.0, 4: 70.0})
    assert said(classifier(), clock, max_steps=6)[1:] == [
        "1 s a step: 6 steps take about 6 s, without validations"
    ]


def test_short_steps_are_timed_for_a_while_and_then_the_clock_is_left_alone(said: Said) -> None:
    clock = Clock(0.125, dict.fromkeys(range(1, 10), 0.25))
    assert said(judge(), clock, max_steps=20)[1:] == [
        # 2 to warm up, 7 of 0.25 s, and 2 to make up 2 s.
        "0.25 s a step: 20 steps take about 5 s, without validations"
    ]
    asked = clock.asked
    clock = Clock(0.125, dict.fromkeys(range(1, 10), 0.25))
    said(judge(), clock, max_steps=15)
    assert clock.asked == asked


def test_a_training_that_ends_before_says_its_size_alone(said: Said) -> None:
    assert len(said(judge(), Clock(1.0), max_steps=5)) == 1
    assert len(said(judge(), Clock(0.1), max_steps=20)) == 1


@pytest.mark.parametrize("every", [1, 2, 5])
def test_validations_are_no_part_of_a_step(said: Said, every: int) -> None:
    clock = Clock(2.0)
    clock.validation = 1000.0
    steps = {"max_steps": 12, "val_check_interval": every, "limit_val_batches": 1}
    [_, time] = said(judge(), clock, **steps)
    assert time == "2 s a step: 12 steps take about 24 s, without validations"
    assert clock.now == 24 + 1000 * (12 // every)


@pytest.mark.parametrize("every", [1, 3, 4])
def test_a_step_of_several_batches_is_all_of_them(said: Said, every: int) -> None:
    clock = Clock(2.0)
    clock.validation = 1000.0
    steps = {"max_steps": 12, "val_check_interval": every, "limit_val_batches": 1}
    [size, time] = said(judge(), clock, accumulate_grad_batches=2, data=Many(batch_size=8), **steps)
    assert size.endswith(", 12 steps of 2 batches x 8 images")
    assert time == "4 s a step: 12 steps take about 48 s, without validations"


@pytest.mark.parametrize("width", [1, 2])
def test_epochs_are_counted_in_steps(said: Said, width: int) -> None:
    every = {"accumulate_grad_batches": width}
    size, time = said(judge(), Clock(30.0), max_steps=-1, max_epochs=4, **every)
    steps, step = (20, "30 s") if width == 1 else (12, "60 s")  # of 5 batches an epoch
    assert f", {steps} steps of " in size
    assert time.startswith(f"{step} a step: {steps} steps take about ")


class Stop(Callback):
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == 12


def test_a_run_without_an_end_has_a_time_per_step_alone(said: Said) -> None:
    size, time = said(judge(), Clock(1e9), Stop(), max_steps=-1, max_epochs=-1, min_epochs=1)
    assert size.endswith(" parameters to train, steps of 8 images, without end")
    assert time == "11,574 days a step, without validations"


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A checkpoint after 6 steps."""
    fit(judge(), max_steps=6).save_checkpoint(tmp_path / "stopped.ckpt")
    return tmp_path / "stopped.ckpt"


def test_a_run_that_goes_on_says_what_is_left_and_keeps_its_sizes(
    said: Said, stopped: Path
) -> None:
    size, time, advice = said(judge(), Clock(43200.0), max_steps=26, ckpt_path=stopped)
    assert size.endswith(" parameters to train, 20 steps left of 26, each of 8 images")
    assert time == "12 h a step: the 20 steps left take about 10 days, without validations"
    assert advice == (
        "10 days is over a day; what to turn down: --trainer.max_steps, now 26 (8 fit in a day)"
    )


def test_the_bar_of_a_run_that_goes_on_has_the_rate_of_its_own_steps(
    said: Said, stopped: Path
) -> None:
    bar = Shown()
    options = {"enable_progress_bar": True, "max_steps": 26, "ckpt_path": stopped}
    assert len(said(judge(), Clock(1.0), bar, **options)) == 2
    assert (bar.first["initial"], bar.first["n"], bar.first["total"]) == (6, 6, 26)
    after = {**bar.first, "n": 16, "elapsed": 10.0, "rate": None}
    assert "16/26 [00:10<00:10,  1.00step/s" in bar.train_progress_bar.format_meter(**after)
    assert bar.train_progress_bar.n == 26


class Shown(StepBar):
    """Keeps what the bar knew after the first batch, before it moved."""

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if not hasattr(self, "first"):
            self.first: dict[str, Any] = self.train_progress_bar.format_dict
        super().on_train_batch_end(trainer, *rest)


def photos(folder: Path) -> Path:
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(folder / name / f"{i}.png")
    return folder


RECIPES = ". The packaged folder-*.yaml finish on a laptop, folder-large-*.yaml want a GPU"


@pytest.mark.parametrize(("side", "recipes"), [(8, ""), (64, RECIPES)])
def test_over_a_day_the_options_to_turn_down_are_named_with_their_values(
    said: Said, tmp_path: Path, side: int, recipes: str
) -> None:
    data = Folder(str(photos(tmp_path)), image_size=side, batch_size=2)
    _, time, advice = said(judge(), Clock(9000.0), data=data, max_steps=11)
    assert time == "2.5 h a step: 11 steps take about 28 h, without validations"
    assert advice == (
        "28 h is over a day; what to turn down: --trainer.max_steps, now 11 (9 fit in a day), "
        "--model.network.width, now 4 (half takes about a quarter), --data.image_size, "
        f"now {side} (half takes about a quarter), --data.batch_size, now 2 (half takes about half)"
        + recipes
    )


def test_options_that_a_run_does_not_have_are_not_named(said: Said) -> None:
    *_, advice = said(diffusion(), Clock(86401.0), max_steps=-1, max_epochs=4)
    assert advice == (
        "20 days is over a day; what to turn down: --trainer.max_epochs, now 4, "
        "--model.network.model_channels, now 8 (half takes about a quarter), --data.batch_size, "
        "now 8 (half takes about half)"
    )


class Bare(nn.Module):
    """A network that remembers none of its settings."""

    def __init__(self, size: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layer(x)


def test_of_a_network_without_settings_and_batches_of_one_the_steps_are_left(said: Said) -> None:
    network: Any = Bare
    module = DiffusionModule(network)
    size, _, advice = said(module, Clock(9000.0), data=Greys(batch_size=1), max_steps=12)
    assert size == "diffusion, 10 parameters to train, 12 steps of 1 image"
    assert advice == (
        "30 h is over a day; what to turn down: --trainer.max_steps, now 12 (9 fit in a day)"
    )


def test_a_day_is_not_over_and_a_limit_of_time_keeps_a_run_below_it(said: Said) -> None:
    assert len(said(judge(), Clock(8640.0), max_steps=10)) == 2
    assert len(said(judge(), Clock(8650.0), max_steps=10)) == 3
    assert len(said(judge(), Clock(8650.0), max_steps=10, max_time="00:12:00:00")) == 2
    assert len(said(judge(), Clock(8650.0), max_steps=10, max_time="02:00:00:00")) == 3


def test_a_trial_a_validation_and_other_processes_say_nothing(
    said: Said, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(judge(), Clock(1.0), fast_dev_run=12) == []
    module, data = judge(), Greys(batch_size=8)
    fit(module, data=data, max_steps=1)
    capsys.readouterr()
    make_trainer(Cost()).validate(module, datamodule=data, verbose=False)
    assert "cost" not in capsys.readouterr().err
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    assert said(judge(), Clock(1.0), max_steps=12) == []


def test_a_second_training_is_timed_anew(said: Said) -> None:
    clock = Clock(1.0)
    cost = Cost(clock)
    module = judge()
    said(module, clock, cost, max_steps=5)  # ends while it is timed
    clock.now += 1e6
    lines = said(judge(), Clock(3.0), max_steps=12)
    assert lines[1] == "3 s a step: 12 steps take about 36 s, without validations"


def test_a_training_is_the_same_bit_by_bit_with_its_cost_or_without() -> None:
    states: list[Any] = []
    clock = Clock(1.0)
    for callbacks in ([clock, Cost(clock)], []):
        module = diffusion(dropout=0.2)
        fit(module, *callbacks, max_steps=8, val_check_interval=4)
        ended = torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())
        states.append((numbers(module), ended))
    assert clock.asked > 0
    assert same(states[0][0], states[1][0])
    assert states[0][1] == states[1][1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.00042, "0.42 ms"),
        (0.012, "12 ms"),
        (0.41, "0.41 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.0, "99 s"),
        (1804.0, "30 min"),
        (6120.0, "1.7 h"),
        (90000.0, "25 h"),
        (180000.0, "2.1 days"),
        (1e9, "11,574 days"),
    ],
)
def test_a_duration_is_told_in_two_digits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_cgd_fit_says_it_and_cgd_validate_does_not(
    workplace: Path, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = cgd("fit", *TINY_CLASSIFIER, "--trainer.max_steps=2")
    assert code == 0, err
    [size] = [line for line in err.splitlines() if line.startswith("cost: ")]
    assert re.fullmatch(r"cost: classifier, [\d,]+ parameters to train, 2 steps of 32 images", size)
    code, _, err = cgd("validate", "--ckpt_path=runs/classifier")
    assert code == 0, err
    assert "cost: " not in err
