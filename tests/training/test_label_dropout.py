"""Training of class-conditional networks whose labels are dropped now and then."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.errors import InputError
from cgd_lightning.networks import MLP, UNet
from cgd_lightning.training.modules import DiffusionModule
from tests.command_line import TINY_DIFFUSION, inside, status
from tests.training.test_training import (
    SMALL,
    Draw,
    Greys,
    adam,
    diffusion,
    fit,
    held_out,
    make_trainer,
    numbers,
    same,
)

TOLD: list[tuple[bool, list[int]]] = []


class Listener(UNet):
    """Keeps what it was told, and whether in training."""

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        TOLD.append((self.training, y.tolist()))
        return super().forward(x, t, y)


class Labels(Callback):
    """The labels of every batch of the training, as they came."""

    def __init__(self) -> None:
        self.labels: list[int] = []
        self.chances: list[float] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: NoisyBatch, batch_idx: int
    ) -> None:
        assert batch.chance is not None
        self.labels += batch.y.tolist()
        self.chances += batch.chance.tolist()


def listening(label_dropout: float) -> tuple[list[int], list[int], Labels, DiffusionModule]:
    """What a network was told in training and in validation."""
    TOLD.clear()
    module, seen = (
        DiffusionModule(
            partial(Listener, **SMALL), label_dropout=label_dropout, optimizer=adam(1e-3)
        ),
        Labels(),
    )
    fit(module, seen, max_steps=100, val_check_interval=100)
    trained, held = (
        [label for training, labels in TOLD if training is mode for label in labels]
        for mode in (True, False)
    )
    return trained, held, seen, module


def test_labels_are_dropped_with_their_probability_in_training_alone() -> None:
    trained, held, seen, module = listening(0.3)
    assert held == [i % 3 for i in range(22)]
    assert trained == [
        3 if chance < 0.3 else label
        for label, chance in zip(seen.labels, seen.chances, strict=True)
    ]
    assert len(trained) == 800
    assert trained.count(3) / 800 == pytest.approx(0.3, abs=3 * (0.3 * 0.7 / 800) ** 0.5)
    assert isinstance(module.ema, Denoiser)
    assert module.ema.null_label == 3


def test_at_0_no_label_is_dropped_and_there_is_none_to_drop() -> None:
    trained, _, seen, module = listening(0)
    assert trained == seen.labels
    assert isinstance(module.ema, Denoiser)
    assert module.ema.network.num_classes == 3
    assert module.ema.null_label is None


def test_the_chance_is_drawn_behind_the_noise_of_a_batch() -> None:
    class Noise(Callback):
        def on_train_batch_start(
            self, trainer: Any, pl_module: Any, batch: NoisyBatch, batch_idx: int
        ) -> None:
            key = hashlib.blake2b(f"0 {trainer.global_step} 0".encode(), digest_size=8).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(key, "big", signed=True))
            first = torch.rand((), generator=generator)
            assert torch.equal(batch.t, ((first + torch.arange(8) / 8) % 1 * 1000).floor())
            assert torch.equal(batch.eps, torch.randn(8, 1, 8, 8, generator=generator))
            assert batch.chance is not None
            assert torch.equal(batch.chance, torch.rand(8, generator=generator))

    fit(diffusion(), Noise())
    assert held_out(Greys()).chance is None


def test_what_is_dropped_depends_on_the_seed_and_not_on_the_global_random_state() -> None:
    def weights(
        *callbacks: Callback, data_seed: int = 0, label_dropout: float = 0.5
    ) -> dict[str, Tensor]:
        module = diffusion(label_dropout=label_dropout)
        fit(module, *callbacks, data=Greys(batch_size=8, seed=data_seed), val_check_interval=3)
        return numbers(module)

    first = weights()
    assert same(first, weights())
    assert same(first, weights(Draw()))
    assert not same(first, weights(data_seed=1))
    assert not same(first, weights(label_dropout=0.25))


def test_a_run_resumed_in_mid_epoch_drops_what_it_would_have_dropped(tmp_path: Path) -> None:
    whole, begun, resumed = (diffusion(label_dropout=0.5) for _ in range(3))
    fit(whole, max_steps=9)
    fit(begun, max_steps=3).save_checkpoint(tmp_path / "begun.ckpt")
    seen = Labels()
    trainer = make_trainer(seen, max_steps=9)
    trainer.fit(
        resumed,
        datamodule=Greys(batch_size=8),
        ckpt_path=tmp_path / "begun.ckpt",
        weights_only=True,
    )
    assert len(seen.labels) == 48
    assert same(numbers(whole), numbers(resumed))


def test_the_checkpoint_knows_the_classes_and_the_label_that_tells_nothing(tmp_path: Path) -> None:
    with inside(tmp_path):
        assert status("fit", *TINY_DIFFUSION, "--model.label_dropout=0.2") == 0
    loaded = checkpoints.load(tmp_path / "runs/diffusion")
    assert loaded.conditional
    assert loaded.null_label == 10 == loaded.network.num_classes - 1
    x, level = torch.randn(2, 1, 16, 16), loaded.schedule.level(500)
    told = [loaded.bind(torch.full((2,), label))(x, level).x0 for label in (0, 1, 10)]
    assert not any(torch.equal(told[i], told[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_network_that_is_given_its_classes_by_hand_is_told_every_label() -> None:
    TOLD.clear()
    module, seen = (
        DiffusionModule(partial(Listener, **SMALL, num_classes=4), optimizer=adam(1e-3)),
        Labels(),
    )
    fit(module, seen, max_steps=5, val_check_interval=5)
    assert [label for training, labels in TOLD if training for label in labels] == seen.labels


@pytest.mark.parametrize("label_dropout", [-0.1, 1.0])
def test_a_probability_is_at_least_0_and_less_than_1(label_dropout: float) -> None:
    with pytest.raises(
        InputError, match=rf"label_dropout {label_dropout}: wanted at least 0 and less than 1"
    ):
        diffusion(label_dropout=label_dropout)


def test_the_number_of_classes_is_given_once() -> None:
    with pytest.raises(
        InputError, match=r"label_dropout 0.1 and network.num_classes 10: give one;"
    ):
        DiffusionModule(partial(UNet, **SMALL, num_classes=10), label_dropout=0.1)


def test_a_network_that_cannot_be_told_a_class_is_refused() -> None:
    class Deaf(UNet):
        def __init__(self, *sizes: int, num_classes: int = 0) -> None:
            super().__init__(*sizes, **SMALL)

    class Broken(nn.Module):
        def __init__(self, *sizes: int, num_classes: int = 0) -> None:
            raise TypeError("another fault")

    for factory, error, message in (
        (
            partial(MLP, width=8),
            InputError,
            r"label_dropout: this network cannot be told a class \(MLP: .*num_classes.*\); "
            "take one that can",
        ),
        (Deaf, InputError, "label_dropout: Deaf does not keep its num_classes 4 as an attribute"),
        (Broken, TypeError, "another fault"),
    ):
        module = DiffusionModule(factory, label_dropout=0.1)  # type: ignore[arg-type]
        with pytest.raises(error, match=message):
            module.build(module.network, Greys())


def test_the_command_line_refuses_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with inside(tmp_path):
        assert (
            status(
                "fit",
                *TINY_DIFFUSION,
                "--model.label_dropout=0.2",
                "--model.network.num_classes=10",
            )
            != 0
        )
        refused = capfd.readouterr().err.splitlines()
        assert "give one;" in refused[-1]
        mlp = [word for word in TINY_DIFFUSION if "model.network" not in word]
        assert status("fit", *mlp, "--model.network=MLP", "--model.label_dropout=0.2") != 0
        refused = capfd.readouterr().err.splitlines()
        assert "cannot be told a class" in refused[-1]
        assert not any("Traceback" in line for line in refused)
