"""What the trainings share: network, moving average, optimiser, measures, checkpoint.

Measures are by noise level, and a checkpoint describes itself. A `TrainingModule` names what it
optimises per image; the rest is the same for noise predictor and classifier, which makes them
twins. Lightning trains, clips, logs, distributes and checkpoints.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from cgd_lightning import checkpoints
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.errors import InputError
from cgd_lightning.networks import Network
from cgd_lightning.sampling.strategies import check_strategy
from cgd_lightning.training.average import MovingAverage
from cgd_lightning.training.learning_rate import rate_factor
from cgd_lightning.training.module_checks import check_network
from cgd_lightning.training.optimizer_states import fit_states
from cgd_lightning.training.resume import checked

NetworkFactory = Callable[[int, int, int], Network]
"""(image_size, in_channels, out_channels) -> network.

A class of `cgd_lightning.networks`, its other arguments bound.
"""

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

QUARTILES = 4


class TrainingModule(LightningModule, ABC):
    """Trains a network on `NoisyBatch`es and keeps the moving average `ema` beside it.

    All else is done with `ema`.

    Args:
        network: network to train, and its settings; it is built when the data is known.
        optimizer: optimiser and its settings; AdamW with learning rate 1e-3 if none is given.
        warmup_steps: steps in which the learning rate grows to its full value; 0 for none.
        decay: how the learning rate falls from there to 0 at the end of the run: linear, cosine, or
            constant, not at all.
        ema_decay: share of the moving average that is kept in a step, from 0 to below 1; less of it
            in the first ones.
        ema_statistics: average the statistics of batch norms too, rather than copy the latest.
        compile: torch.compile the network.
    """

    kind: str
    """What is trained, as a checkpoint's card says it."""

    measures: tuple[str, ...] = ("loss",)
    """What `measure` gives."""

    by_timestep = True
    """Whether held-out measures are also given by quartile of t."""

    def __init__(
        self,
        network: NetworkFactory,
        optimizer: OptimizerFactory | None = None,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
        ema_decay: float = 0.999,
        ema_statistics: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= ema_decay < 1:
            raise InputError(f"ema_decay {ema_decay}: wanted at least 0 and less than 1")
        self.network, self.optimizer = network, optimizer or _adamw
        self.warmup_steps, self.decay, self.ema_decay = warmup_steps, decay, ema_decay
        self.ema_statistics, self.compile_network = ema_statistics, compile
        self.model: checkpoints.Model | None = None
        self.ema: checkpoints.Model | None = None
        parts = ["", *(f"_q{q}" for q in range(QUARTILES))] if self.by_timestep else [""]
        self.held_out = nn.ModuleDict(
            {
                name + part: MeanMetric(nan_strategy="disable")
                for name in self.measures
                for part in parts
            }
        )
        self.image_losses: Tensor | None = None  # (B,) of the last training batch
        self._average: MovingAverage | None = None
        self._resumed: dict[str, Any] | None = None

    @abstractmethod
    def build(self, network: NetworkFactory, data: NoisingDataModule) -> checkpoints.Model:
        """The model around a fresh network that fits the data."""

    @abstractmethod
    def measure(self, model: Any, batch: NoisyBatch) -> dict[str, Tensor]:
        """Values per image, each (B,); "loss" is what is optimised."""

    @property
    def partner(self) -> str | None:
        """Path of the checkpoint that goes with this one, if the user named it."""
        return None

    @property
    def data(self) -> NoisingDataModule:
        """The DataModule of this run."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, NoisingDataModule):
            raise InputError(
                f"data {type(data).__name__}: wanted a NoisingDataModule, which noises on the "
                "device; give datamodule=..."
            )
        return data

    def configure_model(self) -> None:
        if self.model is None:
            check_strategy(self.trainer.strategy)
            self.model = (
                self.build(self.network, self.data)
                .to(memory_format=torch.channels_last)
                .to(self.device)
            )
            check_network(self.kind, self.model.network)
            self.ema = deepcopy(self.model).requires_grad_(False).eval()
            if self.compile_network:
                # Of a batch of any size inductor cannot compile every network.
                self.model.network.compile(dynamic=False)
                self.ema.network.compile(dynamic=False)

    def configure_optimizers(self) -> Any:
        assert self.model is not None
        try:
            optimizer = self.optimizer(self.model.parameters())
        except ValueError as error:
            raise InputError(f"model.optimizer: {error}") from error
        total = self.trainer.estimated_stepping_batches
        factor = rate_factor(self.warmup_steps, self.decay, total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def train(self, mode: bool = True) -> "TrainingModule":
        super().train(mode)
        if self.ema is not None:
            self.ema.eval()
        return self

    def training_step(self, batch: NoisyBatch, batch_idx: int) -> Tensor:
        of_images = self.measure(self.model, batch)
        self.image_losses = of_images["loss"].detach()
        measures = {name: values.mean() for name, values in of_images.items()}
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in measures.items()},
            batch_size=len(batch.y),
        )
        return measures["loss"]

    def on_train_start(self) -> None:
        assert self.model is not None
        assert self.ema is not None
        self._average = MovingAverage(
            self.ema, self.model, self.ema_decay, self.global_step, self.ema_statistics
        )

    def on_train_batch_end(self, outputs: Any, batch: NoisyBatch, batch_idx: int) -> None:
        assert self._average is not None
        self._average.move(self.global_step)

    def validation_step(self, batch: NoisyBatch, batch_idx: int) -> None:
        self._hold_out("val", batch)

    def test_step(self, batch: NoisyBatch, batch_idx: int) -> None:
        self._hold_out("test", batch)

    def _hold_out(self, split: str, batch: NoisyBatch) -> None:
        quartile = (batch.t * (QUARTILES / self.data.schedule.timesteps)).long()
        for name, values in self.measure(self.ema, batch).items():
            self.held_out[name].update(values)  # type: ignore[operator]
            for q in range(QUARTILES if self.by_timestep else 0):
                part = self.held_out[f"{name}_q{q}"]
                part.update(values[quartile == q])  # type: ignore[operator]
        for name, mean in self.held_out.items():
            metric: Any = mean
            self.log(f"{split}/{name}", metric, on_epoch=True, prog_bar=name == "loss")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert self.model is not None
        checkpoint["cgd"] = checkpoints.describe(self.model, self.data.name, self.partner)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.model is not None and self.trainer.ckpt_path:
            file = Path(self.trainer.ckpt_path)
            run = checkpoints.Card(**checkpoints.describe(self.model))
            checkpoints.check_space((file, checkpoints.read(file)), run)
        kept = checked(checkpoint, self)
        checkpoint.clear()
        checkpoint.update(kept)
        self._resumed = checkpoint

    def on_fit_start(self) -> None:
        """The optimisers are there now, and what was stored of them has not reached them yet."""
        assert self.model is not None
        _check_batch(self.model, self.data.batch_size)
        if self._resumed is not None:
            fit_states(self._resumed, self.trainer)
        self._resumed = None


def _check_batch(model: nn.Module, batch_size: int) -> None:
    """Raises InputError for a batch of one where a layer takes statistics of the batch."""
    for name, layer in model.named_modules():
        if batch_size == 1 and isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise InputError(
                f"data.batch_size 1: {name} ({type(layer).__name__}) learns by mean and variance "
                "of a batch, and those of one image are not those of others; give 2 or more, best "
                "32 or more, or a network without batch norm"
            )


def _adamw(parameters: Iterable[nn.Parameter]) -> Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-3)
