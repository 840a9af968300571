import copy
import csv
import io
import math
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import (
    Callback,
    LightningDataModule,
    LightningModule,
    Trainer,
    seed_everything,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from cgd_lightning import checkpoints
from cgd_lightning.configuration.files import packaged_configs
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.diffusion.samplers import DDPM
from cgd_lightning.diffusion.schedules import Linear, NoiseSchedule, VarianceExploding
from cgd_lightning.errors import InputError
from cgd_lightning.networks import ConvNet, EncoderUNet, UNet
from cgd_lightning.training.average import MovingAverage
from cgd_lightning.training.learning_rate import rate_factor
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.modules import ClassifierModule, DiffusionModule, JudgeModule
from tests.command_line import TINY_CLASSIFIER, inside, status

NAMES = ("dark", "grey", "light")
SMALL: dict[str, Any] = {
    "model_channels": 8,
    "channel_mult": (1,),
    "num_res_blocks": 1,
    "attention_resolutions": (),
}
SIZES = {"train": 40, "val": 22, "test": 5}


class Greys(NoisingDataModule):
    """Noisy images of three brightnesses."""

    name = "greys"
    class_names = NAMES
    image_shape = (1, 8, 8)

    def split(self, name: str) -> ImageTensors:
        generator = torch.Generator().manual_seed(len(name))
        labels = torch.arange(SIZES[name]) % 3
        images = 80 * labels[:, None, None, None] + torch.randint(
            90, (SIZES[name], 1, 8, 8), generator=generator
        )
        return ImageTensors(images.to(torch.uint8), labels)


def fit(
    module: TrainingModule, *callbacks: Callback, data: Any = None, seed: int = 0, **options: Any
) -> Trainer:
    seed_everything(seed)
    trainer = make_trainer(*callbacks, **options)
    trainer.fit(module, datamodule=data or Greys(batch_size=8))
    return trainer


def make_trainer(*callbacks: Callback, **options: Any) -> Trainer:
    defaults = {
        "max_steps": 7,
        "val_check_interval": 7,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "devices": 1,
    }
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(accelerator="cpu", callbacks=list(callbacks), **{**defaults, **quiet, **options})


def adam(rate: float) -> Callable[..., torch.optim.Optimizer]:
    return partial(torch.optim.Adam, lr=rate)


def diffusion(dropout: float = 0.0, rate: float = 1e-2, **options: Any) -> DiffusionModule:
    return DiffusionModule(partial(UNet, **SMALL, dropout=dropout), optimizer=adam(rate), **options)


def classifier(dropout: float = 0.0, rate: float = 1e-2, **options: Any) -> ClassifierModule:
    return ClassifierModule(
        partial(EncoderUNet, **SMALL, dropout=dropout), optimizer=adam(rate), **options
    )


def judge(**options: Any) -> JudgeModule:
    return JudgeModule(partial(ConvNet, width=4), optimizer=adam(1e-2), **options)


def numbers(module: LightningModule) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return mine.keys() == theirs.keys() and all(
        torch.equal(mine[name], theirs[name]) for name in mine
    )


def held_out(data: NoisingDataModule, split: str = "val") -> NoisyBatch:
    """All of a split in one batch, noised as in validation."""
    images = data.split(split)
    return data.on_after_batch_transfer(images.__getitems__(range(len(images))), 0)


class States(Callback):
    """(step, weights) before every batch and at the end."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, Tensor]]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.seen.append((trainer.global_step, numbers(pl_module)))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append((trainer.global_step, numbers(pl_module)))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_moves_by_its_formula_once_in_every_step(accumulate: int) -> None:
    states = States()
    fit(diffusion(ema_decay=0.3), states, accumulate_grad_batches=accumulate)
    weights = [name.removeprefix("ema.") for name in states.seen[0][1] if name.startswith("ema.")]
    average = {name: states.seen[0][1][f"model.{name}"].double() for name in weights}
    steps = 0
    for (before, _), (step, state) in zip(states.seen, states.seen[1:]):
        if step > before:
            steps += 1
            keep = min(0.3, (1 + steps) / (10 + steps))
            average = {
                name: keep * average[name] + (1 - keep) * state[f"model.{name}"].double()
                for name in weights
            }
        assert all(
            torch.allclose(state[f"ema.{name}"].double(), average[name], rtol=0, atol=1e-6)
            for name in weights
        )
    assert not all(
        torch.allclose(state[f"ema.{name}"], state[f"model.{name}"], rtol=0, atol=1e-4)
        for name in weights
    )
    assert steps == 7
    assert len(states.seen) == 1 + (7 if accumulate == 1 else 12)


def test_the_average_moves_from_the_first_step_in_a_second_training_of_a_module() -> None:
    module, states = diffusion(), States()
    fit(module, max_steps=5)
    fit(module, states, max_steps=3)
    averages = [
        next(value for name, value in state.items() if name.startswith("ema."))
        for _, state in states.seen
    ]
    assert all(not torch.equal(before, after) for before, after in zip(averages, averages[1:]))


def test_the_average_of_a_network_with_batch_norm_has_the_statistics_of_the_trained_one() -> None:
    module = judge()
    fit(module)
    assert module.model is not None
    assert module.ema is not None
    statistics = dict(module.model.named_buffers())
    assert any(
        name.endswith("running_mean") and values.abs().max() > 1e-3
        for name, values in statistics.items()
    )
    assert all(torch.equal(values, statistics[name]) for name, values in module.ema.named_buffers())


def test_validation_measures_the_average_without_dropout() -> None:
    module, data = diffusion(dropout=0.5), Greys(batch_size=8)
    trainer = fit(module, data=data)
    assert isinstance(module.ema, Denoiser)
    assert isinstance(module.model, Denoiser)
    batch = held_out(data)
    with torch.no_grad():
        by_hand, of_raw = (
            (m.eval().network(batch.x_t, batch.t) - batch.eps).square().mean().item()
            for m in (module.ema, module.model)
        )
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(by_hand, rel=1e-5)
    assert of_raw != pytest.approx(by_hand, rel=1e-3)
    [again] = make_trainer().validate(module, datamodule=data, verbose=False)
    assert again["val/loss"] == pytest.approx(by_hand, rel=1e-5)


def test_the_average_stays_in_eval_mode_and_frozen_while_the_network_trains() -> None:
    module = diffusion(dropout=0.5)
    fit(module, max_steps=1)
    module.train()
    assert module.model is not None
    assert module.ema is not None
    assert module.model.network.training
    assert not any(part.training for part in module.ema.modules())
    assert not any(parameter.requires_grad for parameter in module.ema.parameters())


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (4, 20), (5, 6)])
def test_the_learning_rate_grows_linearly_and_falls_to_nothing_at_the_end(
    warmup: int, total: int
) -> None:
    steps = range(total + 3)
    constant, linear, cosine = (
        [rate_factor(warmup, decay, total)(step) for step in steps]
        for decay in ("constant", "linear", "cosine")
    )
    for factors in (constant, linear, cosine):
        assert factors[:warmup] == pytest.approx(
            [(step + 1) / (warmup + 1) for step in range(warmup)]
        )
        assert factors[warmup] == 1
    assert constant[warmup:] == [1.0] * (total + 3 - warmup)
    done = [min((step - warmup) / (total - warmup), 1) for step in steps[warmup:]]
    assert linear[warmup:] == pytest.approx([1 - part for part in done])
    assert cosine[warmup:] == pytest.approx([math.cos(math.pi * part / 2) ** 2 for part in done])


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_the_optimiser_is_given_the_rate_of_its_step() -> None:
    rates = Rates()
    fit(diffusion(rate=0.01, warmup_steps=2, decay="linear"), rates, max_steps=6)
    assert rates.seen == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.0075, 0.005, 0.0025])
    rates = Rates()
    fit(
        diffusion(rate=0.01, decay="linear"),
        rates,
        max_steps=-1,
        max_epochs=2,
        limit_train_batches=2,
    )
    assert rates.seen == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


class Never(Callback):
    def on_train_batch_start(self, *_: Any) -> None:
        raise AssertionError("a batch was trained on")


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_a_decay_without_an_end_is_refused(decay: Any) -> None:
    with pytest.raises(
        InputError,
        match=f"decay {decay}: the run has no end to decay to; give --trainer.max_steps or",
    ):
        fit(diffusion(decay=decay), Never(), max_steps=-1, max_epochs=-1)
    assert rate_factor(0, "constant", math.inf)(10**9) == 1


def test_an_average_that_never_moves_is_refused() -> None:
    for wrong in (1.0, -0.1):
        with pytest.raises(InputError, match=f"ema_decay {wrong}"):
            diffusion(ema_decay=wrong)


class Draw(Callback):
    """Takes numbers from the global random state wherever it can."""

    def on_train_batch_start(self, *_: Any) -> None:
        torch.randn(5)

    def on_train_epoch_start(self, *_: Any) -> None:
        torch.randn(5)

    def on_validation_end(self, *_: Any) -> None:
        torch.randn(5)


@pytest.mark.parametrize("make", [diffusion, classifier], ids=["diffusion", "classifier"])
def test_a_training_depends_on_its_seed_and_not_on_the_global_random_state(
    make: Callable[[], TrainingModule],
) -> None:
    def weights(*callbacks: Callback, seed: int = 0, data_seed: int = 0) -> dict[str, Tensor]:
        module = make()
        fit(
            module,
            *callbacks,
            seed=seed,
            data=Greys(batch_size=8, seed=data_seed),
            val_check_interval=3,
        )
        return numbers(module)

    first = weights()
    assert same(first, weights())
    assert same(first, weights(Draw()))
    assert not same(first, weights(seed=1))
    assert not same(first, weights(data_seed=1))


def test_a_dropout_draws_from_the_seed_too() -> None:
    modules = [diffusion(dropout=0.5) for _ in range(3)]
    for module, callbacks in zip(modules, ([], [], [Draw()])):
        fit(module, *callbacks)
    states = [numbers(module) for module in modules]
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


class Seen(Callback):
    """What is trained on: indices and noise of every batch."""

    def __init__(self) -> None:
        self.indices: list[list[int]] = []
        self.noise: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: NoisyBatch, batch_idx: int
    ) -> None:
        self.indices.append(batch.index.tolist())
        self.noise.append(batch.eps)


def test_an_epoch_sees_every_image_once_and_no_two_batches_have_the_same_noise() -> None:
    seen = Seen()
    fit(diffusion(), seen, max_steps=10)
    first, second = (
        [index for batch in batches for index in batch]
        for batches in (seen.indices[:5], seen.indices[5:])
    )
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert len({noise.sum().item() for noise in seen.noise}) == 10


def test_overfitting_sees_the_same_batches_in_every_epoch() -> None:
    seen = Seen()
    fit(diffusion(), seen, max_steps=4, val_check_interval=4, overfit_batches=2)
    assert seen.indices == [[*range(8)], [*range(8, 16)]] * 2


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_diffusion_loss_is_the_mean_squared_error_to_what_is_predicted(prediction: Any) -> None:
    network = randomised(UNet(8, 1, 1, **SMALL))
    batch = held_out(Greys())
    loss = diffusion(prediction=prediction).measure(
        Denoiser(network, Linear(), prediction, DataSpec((1, 8, 8), NAMES)), batch
    )["loss"]
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[
        batch.t.long()
    ].reshape(-1, 1, 1, 1)
    x0, eps = batch.x0.double(), batch.eps.double()
    x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
    target = {"eps": eps, "x0": x0, "v": alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0}[
        prediction
    ]
    by_hand = (network(x_t.float(), batch.t) - target).square().mean(dim=(1, 2, 3))
    assert loss.shape == (22,)
    assert torch.allclose(loss.double(), by_hand, rtol=1e-4)
    assert by_hand.min() > 0.1
    assert len(set(by_hand.tolist())) == 22


@pytest.mark.parametrize("batch_size", [3, 22])
def test_the_classifiers_measures_are_the_means_of_each_quartile_of_t(batch_size: int) -> None:
    module, data = classifier(), Greys(batch_size=batch_size)
    trainer = fit(module, data=data, max_steps=25, val_check_interval=25)
    assert isinstance(module.ema, NoisyClassifier)
    batch = held_out(data)
    with torch.no_grad():
        probabilities = module.ema.network(batch.x_t, batch.t).double().softmax(dim=1)
    losses = -probabilities[torch.arange(22), batch.y].log()
    right = (probabilities.argmax(dim=1) == batch.y).double()
    assert 0 < right.mean() < 1
    shown = {name: value.item() for name, value in trainer.callback_metrics.items()}
    for name, values in (("loss", losses), ("accuracy", right)):
        assert shown[f"val/{name}"] == pytest.approx(values.mean().item(), rel=1e-5)
        for q in range(4):
            part = values[(batch.t >= 250 * q) & (batch.t < 250 * (q + 1))]
            assert len(part) > 3
            assert shown[f"val/{name}_q{q}"] == pytest.approx(part.mean().item(), rel=1e-5)
    assert len({shown[f"val/loss_q{q}"] for q in range(4)}) == 4


def test_the_judge_is_measured_on_clean_images_and_not_by_quartile() -> None:
    module, data = judge(), Greys(batch_size=8)
    trainer = fit(module, data=data, max_steps=12, val_check_interval=12)
    assert module.ema is not None
    clean = held_out(data)
    loss = F.cross_entropy(module.ema.network(clean.x0), clean.y).item()
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(loss, rel=1e-5)
    assert {name for name in trainer.callback_metrics if name.startswith("val/")} == {
        "val/loss",
        "val/accuracy",
    }


def test_other_data_modules_are_refused_by_name() -> None:
    class Plain(LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return DataLoader(Greys().split("train"), batch_size=4)

    with pytest.raises(InputError, match="data Plain: wanted a NoisingDataModule"):
        fit(diffusion(), data=Plain())
    with pytest.raises(
        InputError, match="wanted a NoisingDataModule, which noises on the device; give datamodule="
    ):
        make_trainer().fit(diffusion(), Plain().train_dataloader())


def test_a_checkpoint_of_lightning_is_one_of_ours(tmp_path: Path) -> None:
    module = diffusion(prediction="v", classifier="runs/other")
    fit(module).save_checkpoint(tmp_path / "model.ckpt")
    assert module.model is not None
    assert module.ema is not None
    for weights, model in (("ema", module.ema), ("raw", module.model)):
        loaded = checkpoints.load(tmp_path / "model.ckpt", weights=weights)  # type: ignore[arg-type]
        assert same(loaded.state_dict(), model.state_dict())
    assert not same(module.ema.state_dict(), module.model.state_dict())
    card = checkpoints.read(tmp_path / "model.ckpt")
    assert (card.kind, card.prediction, card.dataset, card.partner) == (
        "diffusion",
        "v",
        "greys",
        "runs/other",
    )
    assert checkpoints.sizes(tmp_path / "model.ckpt")["step"] == 7


def randomised(network: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoints of a diffusion model and of a classifier."""
    folder = tmp_path_factory.mktemp("pair")
    denoiser = Denoiser(
        randomised(UNet(8, 1, 1, **SMALL)), Linear(), "eps", DataSpec((1, 8, 8), NAMES)
    )
    noisy = NoisyClassifier(
        randomised(EncoderUNet(8, 1, 3, **SMALL, dropout=0.5), 1),
        Linear(),
        DataSpec((1, 8, 8), NAMES),
    )
    checkpoints.save(denoiser, folder / "diffusion.ckpt")
    checkpoints.save(noisy, folder / "classifier.ckpt")
    return folder / "diffusion.ckpt", folder / "classifier.ckpt"


def images_of(*args: Any, **options: Any) -> Tensor:
    """All that `generate` makes."""
    return torch.cat([chunk for _, chunk in generate(*args, **options)])


def guided(denoiser: Denoiser, noisy: NoisyClassifier, scale: float = 4.0) -> Tensor:
    rule = Chain([ClassifierGuidance(scale), Clamp()])
    return images_of(denoiser, [0, 1, 2, 2], DDPM(3), rule, noisy, batch_size=3)


def load_pair(pair: tuple[Path, Path]) -> tuple[Denoiser, NoisyClassifier]:
    return checkpoints.load(pair[0]), checkpoints.load(pair[1])


class At(Callback):
    """Does something whenever Lightning calls `hook`, and keeps what comes of it and the gradient
    mode that it was done in.
    """

    def __init__(self, hook: str, do: Callable[[Any], Tensor]) -> None:
        self.results: list[Tensor] = []
        self.modes: set[str] = set()

        def act(trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
            self.modes.add(
                "inference"
                if torch.is_inference_mode_enabled()
                else "grad"
                if torch.is_grad_enabled()
                else "no_grad"
            )
            self.results.append(do(pl_module))

        setattr(self, hook, act)


HOOKS = [
    ("validate", "on_validation_epoch_start", "inference"),
    ("validate", "on_validation_batch_end", "inference"),
    ("validate", "on_validation_epoch_end", "inference"),
    ("test", "on_test_epoch_end", "inference"),
    ("predict", "on_predict_batch_end", "inference"),
    ("predict", "on_predict_epoch_end", "inference"),
    ("fit", "on_validation_epoch_end", "no_grad"),
    ("fit", "on_train_batch_end", "grad"),
]


@pytest.mark.parametrize(("verb", "hook", "mode"), HOOKS)
def test_guided_images_do_not_depend_on_where_lightning_stands(
    verb: str, hook: str, mode: str, pair: tuple[Path, Path]
) -> None:
    models = load_pair(pair)
    outside = guided(*models)
    assert not torch.equal(outside, guided(*models, scale=0))
    made_before = At(hook, lambda module: guided(*models))
    loaded_there = At(hook, lambda module: guided(*load_pair(pair)))
    module = classifier()
    trainer = make_trainer(made_before, loaded_there, max_steps=2, val_check_interval=1)
    getattr(trainer, verb)(module, datamodule=Greys(batch_size=8))
    for callback in (made_before, loaded_there):
        assert callback.modes == {mode}
        assert callback.results
        assert all(torch.equal(images, outside) for images in callback.results)


@pytest.mark.parametrize("verb", ["validate", "predict", "fit"])
def test_the_classifier_that_is_being_trained_guides_in_every_hook(
    verb: str, pair: tuple[Path, Path]
) -> None:
    denoiser = checkpoints.load(pair[0])
    hook = "on_predict_epoch_end" if verb == "predict" else "on_validation_epoch_end"
    there = At(hook, lambda module: guided(denoiser, module.ema, scale=50.0))
    module = classifier(rate=0.1)
    fit(module, max_steps=3)
    getattr(make_trainer(there, max_steps=4, val_check_interval=4), verb)(
        module, datamodule=Greys(batch_size=8)
    )
    outside = guided(denoiser, copy.deepcopy(module.ema), scale=50.0)  # type: ignore[arg-type]
    assert not torch.equal(outside, guided(denoiser, module.ema, scale=0))  # type: ignore[arg-type]
    assert torch.equal(there.results[-1], outside)


def test_sampling_in_between_leaves_a_training_as_it_was(pair: tuple[Path, Path]) -> None:
    states = []
    for hooks in ([], ["on_train_batch_end", "on_validation_epoch_end"]):
        module = diffusion(dropout=0.5)
        callbacks = [
            At(hook, lambda module: guided(module.ema, checkpoints.load(pair[1]))) for hook in hooks
        ]
        fit(module, *callbacks, max_steps=4, val_check_interval=2)
        assert all(len(callback.results) >= 2 for callback in callbacks)
        states.append(numbers(module))
    assert same(*states)


class Stop(Callback):
    """Sends this process a signal when `hook` is called at `step`, as a user or cluster would."""

    def __init__(
        self, hook: str = "on_train_batch_end", step: int = 8, number: int = signal.SIGTERM
    ) -> None:
        def act(trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == step:
                os.kill(os.getpid(), number)

        setattr(self, hook, act)


FIT = [*TINY_CLASSIFIER, "--data.image_size=8", "--data.batch_size=256", "--model.ema_decay=0.9"]
TO_STEP_12 = ["--trainer.max_steps=12"]
TO_EPOCH_3 = [
    "--trainer.max_steps=-1",
    "--trainer.max_epochs=3",
    "--trainer.check_val_every_n_epoch=1",
    "--trainer.val_check_interval=1.0",
]
TO_STEP_12_AT_ONE_RATE = [*TO_STEP_12, "--model.decay=constant"]
WORKERS = "--data.num_workers=1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Path]:
    """The version folder of an uninterrupted run with certain options; epochs have 5 steps."""
    done: dict[tuple[str, ...], Path] = {}

    def run(options: list[str]) -> Path:
        if (key := tuple(options)) not in done:
            folder = tmp_path_factory.mktemp("whole")
            with inside(folder):
                assert status("fit", *FIT, *options) == 0
            done[key] = folder / "runs/classifier/version_0"
        return done[key]

    return run


def stop(hook: str, step: int, number: int = signal.SIGTERM) -> list[str]:
    name = "--trainer.callbacks"
    return [
        f"{name}={__name__}.Stop",
        f"{name}.hook={hook}",
        f"{name}.step={step}",
        f"{name}.number={int(number)}",
    ]


STOPPED = {
    "SIGTERM in mid-epoch": (TO_STEP_12, stop("on_train_batch_end", 8), 143),
    "Ctrl-C in mid-epoch": (TO_STEP_12, stop("on_train_batch_end", 8, signal.SIGINT), 130),
    "before a batch": (TO_STEP_12, stop("on_train_batch_start", 3), 143),
    "in a validation": (TO_STEP_12, stop("on_validation_batch_end", 6), 143),
    "after a validation": (TO_STEP_12, stop("on_validation_end", 6), 143),
    "in the last batch of an epoch": (TO_STEP_12, stop("on_train_batch_end", 10), 143),
    "with the end of an epoch": (TO_STEP_12, stop("on_train_epoch_end", 5), 143),
    "in mid-epoch of a run that counts epochs": (TO_EPOCH_3, stop("on_train_batch_end", 8), 143),
    "with the end of an epoch of a run that counts epochs": (
        TO_EPOCH_3,
        stop("on_train_batch_end", 10),
        143,
    ),
    "in mid-epoch with workers": (TO_STEP_12, [*stop("on_train_batch_end", 8), WORKERS], 143),
    "in mid-epoch of Muon and batch norm": (
        [
            *TO_STEP_12,
            "--model.network=NoisyConvNet",
            "--model.network.width=4",
            "--model.optimizer=MuonAdamW",
            "--model.ema_statistics=true",
            "--data.shift=1",
            "--data.mirror=true",
        ],
        stop("on_train_batch_end", 8),
        143,
    ),
    "at its end, and given more steps": (TO_STEP_12_AT_ONE_RATE, ["--trainer.max_steps=7"], 0),
    "at the end of an epoch, and given more steps": (
        TO_STEP_12_AT_ONE_RATE,
        ["--trainer.max_steps=10"],
        0,
    ),
    "at its end, and given more epochs": (
        [*TO_EPOCH_3, "--model.decay=constant"],
        ["--trainer.max_epochs=2"],
        0,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "stopping", "ends"), STOPPED.values(), ids=STOPPED)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    options: list[str],
    stopping: list[str],
    ends: int,
    whole: Callable[[list[str]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert status("fit", *FIT, *options, *stopping) == ends
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert ("stopped; last.ckpt is written" in capfd.readouterr().err) == (ends != 0)
    folder = Path("runs/classifier/version_0")
    before, rows = torch.load(folder / "last.ckpt", weights_only=True), metrics(folder)
    assert (
        before["global_step"]
        < torch.load(whole(options) / "last.ckpt", weights_only=True)["global_step"]
    )

    assert (
        status(
            "fit",
            *FIT,
            *options,
            *(word for word in stopping if word == WORKERS),
            "--ckpt_path=last",
        )
        == 0
    )
    assert f"continuing from {folder / 'last.ckpt'}" in capfd.readouterr().err
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
    mine, theirs = (
        yaml.safe_load((place / "config.yaml").read_text()) for place in (folder, whole(options))
    )
    assert mine["trainer"] == theirs["trainer"]  # without what stopped it
    for name in ("last.ckpt", "best.ckpt"):
        mine, theirs = (
            torch.load(place / name, weights_only=True) for place in (folder, whole(options))
        )
        assert mine["global_step"] == theirs["global_step"]
        assert same(mine["state_dict"], theirs["state_dict"])
        assert same(optimiser_state(mine), optimiser_state(theirs))
    if ends:
        assert metrics(folder)[: len(rows)] == rows
        assert metrics(folder) == metrics(whole(options))


def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(
    whole: Callable[[list[str]], Path],
) -> None:
    restless = ["--model.optimizer.lr=0.3", "--model.ema_decay=0", "--model.warmup_steps=0"]
    folder = whole([*TO_STEP_12_AT_ONE_RATE, *restless, "--trainer.val_check_interval=2"])
    losses = {
        int(row["step"]) + 1: float(row["val/loss"]) for row in metrics(folder) if "val/loss" in row
    }
    best = min(losses, key=losses.__getitem__)
    assert list(losses) == [2, 4, 6, 8, 10, 12]
    assert best != 12
    assert torch.load(folder / "best.ckpt", weights_only=True)["global_step"] == best
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 12


def optimiser_state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    [optimiser] = checkpoint["optimizer_states"]
    state = {
        f"{number} {name}": value
        for number, values in optimiser["state"].items()
        for name, value in values.items()
    }
    return state | {"rate": torch.tensor([group["lr"] for group in optimiser["param_groups"]])}


def metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, if any, without the epoch, as Lightning counts one that was cut
    short as a whole one.
    """
    if not (folder / "metrics.csv").exists():
        return []
    with (folder / "metrics.csv").open() as file:
        return [
            {name: value for name, value in row.items() if value and name != "epoch"}
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("config", packaged_configs(), ids=lambda path: path.stem)
def test_every_packaged_config_is_taken_whole(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = yaml.safe_load(config.read_text())
    below = [] if "model" in wanted else ["--config", "diffusion.yaml"]
    assert status("fit", *below, "--config", config.name, "--print_config") == 0
    taken = yaml.safe_load(io.StringIO(capsys.readouterr().out))
    differences = list(compare(wanted, taken, ""))
    assert not differences
    assert below or taken["trainer"]["max_steps"] == wanted["trainer"]["max_steps"] > 0
    assert not list(tmp_path.iterdir())


def compare(wanted: Any, taken: Any, place: str) -> Any:
    """Where `taken` does not hold what stands in `wanted`; class paths may be given in short."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            yield from compare(
                value, taken.get(name) if isinstance(taken, dict) else None, f"{place}.{name}"
            )
    elif isinstance(wanted, str) and isinstance(taken, dict):
        yield from compare(wanted, taken["class_path"], f"{place}.class_path")
    elif place.endswith("class_path"):
        if taken.rpartition(".")[2] != wanted.rpartition(".")[2]:
            yield place, wanted, taken
    elif wanted != taken:
        yield place, wanted, taken


@pytest.mark.parametrize(
    "schedule", [Linear(), VarianceExploding()], ids=["Linear", "VarianceExploding"]
)
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_min_snr_weighs_the_error_of_x0_alike_for_every_prediction(
    prediction: PredictionType, schedule: NoiseSchedule
) -> None:
    module = diffusion(prediction=prediction, min_snr_gamma=5.0)
    data = Greys(batch_size=8, schedule=schedule)
    fit(module, data=data, max_steps=1)
    batch = held_out(data)
    found = module.measure(module.ema, batch)["loss"]
    for i, t in enumerate(batch.t.tolist()):
        level = schedule.level(t)
        x0 = module.ema(batch.x_t[i : i + 1], level).x0
        wanted = (
            min((level.alpha / level.sigma) ** 2, 5.0) * (x0 - batch.x0[i]).square().mean().item()
        )
        assert found[i].item() == pytest.approx(wanted, rel=2e-3)
    with pytest.raises(InputError, match="min_snr_gamma 0"):
        diffusion(min_snr_gamma=0)
    data = Greys(schedule=Linear(zero_terminal_snr=True))
    with pytest.raises(InputError, match="would never be trained"):
        fit(diffusion(prediction="v", min_snr_gamma=5.0), data=data, max_steps=1)


class Clipping(Callback):
    seen: tuple[Any, int] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        type(self).seen = trainer.gradient_clip_val, trainer.max_steps


def test_clipping_and_length_of_a_run_come_from_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("more.yaml").write_text(
        "trainer: {gradient_clip_val: 0.25, max_steps: 2, val_check_interval: 2}\n"
    )
    short = [word for word in FIT if "max_steps" not in word and "val_check_interval" not in word]
    assert (
        status("fit", *short, "--config=more.yaml", f"--trainer.callbacks={__name__}.Clipping") == 0
    )
    assert Clipping.seen == (0.25, 2)
    assert torch.load("runs/classifier/version_0/last.ckpt", weights_only=True)["global_step"] == 2


WRONG_SCORES = {
    "--model.score_weight=1": "give both or neither",
    "--model.score_weight=-1": "wanted a finite number from 0",
    "--model.compile=true": "a compiled network cannot be differentiated twice",
    "--model.gradient_penalty=-1": "gradient_penalty -1.0: wanted a finite number from 0",
    "--model.entropy_weight=-1": "entropy_weight -1.0: wanted a finite number from 0",
    "--model.label_smoothing=1": "label_smoothing 1.0: wanted 0 or more, less than 1",
}


@pytest.mark.parametrize(("word", "says"), WRONG_SCORES.items())
def test_losses_that_make_no_sense_are_told(
    word: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ["--model.gradient_penalty=0.1"] if "compile" in word else []
    assert status("fit", *FIT, *TO_STEP_12, word, *more) != 0
    assert says in capfd.readouterr().err


def test_statistics_of_a_batch_of_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    one = [word for word in FIT if "batch_size" not in word] + ["--data.batch_size=1", *TO_STEP_12]
    assert status("fit", *one, "--model.network=NoisyConvNet", "--model.network.width=4") != 0
    said = capfd.readouterr().err
    assert "data.batch_size 1: network.levels.0.0.norm (BatchNorm2d)" in said
    assert "Traceback" not in said
    assert not list(Path("runs").rglob("*.ckpt"))


def test_losses_that_are_added_are_measured_beside_cross_entropy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--model.gradient_penalty=0.1", "--model.entropy_weight=0.2", *TO_STEP_12]
    assert status("fit", *FIT, *words, "--model.label_smoothing=0.1") == 0
    lines = (last_version(Path("runs/classifier")) / "metrics.csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    loss, gradient, certainty, entropy = (
        float(row[f"val/{name}"]) for name in ("loss", "gradient", "certainty", "cross_entropy")
    )
    # The classifier knows little yet, and then smoothed labels cost as much.
    assert loss - 0.1 * gradient - 0.2 * certainty == pytest.approx(entropy, abs=0.01)
    assert 0 < certainty < 2.31
    assert gradient > 0


def test_a_held_out_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """The training loss of the first steps is still that of the weights before."""
    monkeypatch.chdir(tmp_path)
    words = ["--model.optimizer.weight_decay=1e30", "--trainer.max_steps=2"]
    assert status("fit", *FIT, *words, "--trainer.val_check_interval=2") != 0
    said = capfd.readouterr().err
    assert "not finite at step" in said
    assert "no checkpoint was written" in said
    assert not list(Path("runs").rglob("*.ckpt"))


def test_statistics_of_a_batch_norm_are_copied_or_averaged() -> None:
    for statistics in (False, True):
        model, average = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
        model.running_mean, model.num_batches_tracked = torch.ones(2), torch.tensor(3)
        MovingAverage(average, model, 0.25, 99, statistics).move(100)
        assert average.running_mean.tolist() == ([0.75] * 2 if statistics else [1.0] * 2)
        assert average.num_batches_tracked == 3


def test_a_classifier_learns_its_gradient_from_a_diffusion_model(
    workplace: Path, capfd: Any
) -> None:
    words = ["--model.score_weight=0.1", "--model.diffusion=runs/diffusion", *TO_STEP_12]
    assert status("fit", *TINY_CLASSIFIER, *words, "--trainer.val_check_interval=6") == 0
    folder = last_version(Path("runs/classifier"))
    columns = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/score", "val/score", "val/score_q3"} <= set(columns)
    kept = torch.load(folder / "last.ckpt", weights_only=True)
    assert not any("noise_predictor" in name for name in kept["state_dict"])
    capfd.readouterr()
    other = [*words, "--data.schedule=Linear"]
    assert status("fit", *TINY_CLASSIFIER, *other) != 0
    assert "schedule Cosine(" in capfd.readouterr().err
    other = [*words, "--model.diffusion=runs/nothing"]
    assert status("fit", *TINY_CLASSIFIER, *other) != 0
    assert "model.diffusion runs/nothing: " in capfd.readouterr().err


def last_version(run: Path) -> Path:
    return max(run.iterdir(), key=lambda folder: int(folder.name.removeprefix("version_")))
