"""The trainings, twins of a few lines each: the noise predictor, the classifier of noisy images,
and the judge of clean ones.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.process import NoisyBatch, expand
from cgd_lightning.diffusion.variational import VARIATIONAL_WEIGHT, variational_bound
from cgd_lightning.errors import InputError
from cgd_lightning.networks import Network
from cgd_lightning.training.module import NetworkFactory, OptimizerFactory, TrainingModule


class DiffusionModule(TrainingModule):
    """Trains the diffusion model: || network(x_t, t) - target ||^2. Ho et al. 2020
    (arXiv:2006.11239), algorithm 1.

    prediction: what the network predicts, eps, x0 or v. classifier: run or file of the classifier
    that `cgd sample` takes unless told otherwise. min_snr_gamma: weigh the squared error of x0 by
    min(SNR, gamma), whatever the network predicts, so that neither end of the noise levels
    outweighs the others: Hang et al. 2023 (arXiv:2303.09556), section 3.4, where gamma is 5.

    learned_variance: give the network as many channels again, for the variance of a DDPM step. The
    loss is then L_simple + 0.001 L_vlb, of which the second, "vlb" in bits per dimension, trains
    the variance alone: Nichol and Dhariwal 2021 (arXiv:2102.09672), section 3.1. The first few
    timesteps make most of it, so that its mean over fewer than thousands of images says little.
    min_snr_gamma weighs L_simple only.

    label_dropout: tell the network the class, and with this probability, in training, a label past
    the classes that tells it nothing, as classifier-free guidance needs: Ho and Salimans 2022
    (arXiv:2207.12598), algorithm 1. At 0 it is always told the class, and has no such label.
    Held-out losses are those with the class. Without label_dropout the network decides, by its own
    num_classes.

    The other options are those of `TrainingModule`.
    """

    kind = "diffusion"

    def __init__(
        self,
        network: NetworkFactory,
        prediction: PredictionType = "eps",
        classifier: str | None = None,
        min_snr_gamma: float | None = None,
        learned_variance: bool = False,
        label_dropout: float | None = None,
        optimizer: OptimizerFactory | None = None,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
        ema_decay: float = 0.999,
        compile: bool = False,
    ) -> None:
        if learned_variance:
            self.measures = ("loss", "vlb")
        super().__init__(network, optimizer, warmup_steps, decay, ema_decay, compile)
        self.prediction: PredictionType = prediction
        self.classifier = classifier
        if min_snr_gamma is not None and min_snr_gamma <= 0:
            raise InputError(f"min_snr_gamma {min_snr_gamma}: wanted more than 0")
        if label_dropout is not None and not 0 <= label_dropout < 1:
            raise InputError(f"label_dropout {label_dropout}: wanted at least 0 and less than 1")
        by_hand = getattr(network, "keywords", {}).get("num_classes")
        if label_dropout is not None and by_hand is not None:
            raise InputError(
                f"label_dropout {label_dropout} and network.num_classes {by_hand}: give one; "
                "label_dropout knows the classes of the data"
            )
        self.min_snr_gamma, self.learned_variance, self.label_dropout = (
            min_snr_gamma,
            learned_variance,
            label_dropout,
        )

    @property
    def partner(self) -> str | None:
        return self.classifier

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> Denoiser:
        channels, size, _ = data.image_shape
        if (
            self.min_snr_gamma is not None
            and data.schedule.level(data.schedule.timesteps - 1).alpha == 0
        ):
            raise InputError(
                f"min_snr_gamma {self.min_snr_gamma} on {data.schedule}: the last level has SNR 0 and would never be trained; "
                "leave min_snr_gamma out"
            )
        outputs = 2 * channels if self.learned_variance else channels
        if self.label_dropout is None:
            built = network(size, channels, outputs)
        else:
            classes = len(data.class_names) + (1 if self.label_dropout > 0 else 0)
            built = _told_classes(network, classes, size, channels, outputs)
        model = Denoiser(built, data.schedule, self.prediction, data.image_shape, data.class_names)
        if self.learned_variance and not model.learned_variance:
            raise InputError(
                f"learned_variance: {type(built).__name__} keeps no out_channels in its init_args; "
                "derive it from Network"
            )
        return model

    def measure(self, model: Denoiser, batch: NoisyBatch) -> dict[str, Tensor]:
        output, fraction = model.output(batch.x_t, batch.t, self.labels(model, batch))
        error = output - model.target(batch)
        loss = error.square().mean(dim=(1, 2, 3))
        if self.min_snr_gamma is not None:
            loss = loss * self.weight(model, batch.t)
        if fraction is None or not self.learned_variance:
            return {"loss": loss}
        error_of_x0 = expand(x0_per_target(model, batch.t), error) * error.detach()
        vlb = variational_bound(batch.x0, error_of_x0, fraction, batch.t, model.schedule)
        return {"loss": loss + VARIATIONAL_WEIGHT * vlb, "vlb": vlb}

    def labels(self, model: Denoiser, batch: NoisyBatch) -> Tensor:
        """What the network is told of the classes, (B,): in training some are dropped."""
        if not self.label_dropout or batch.chance is None:
            return batch.y
        assert model.null_label is not None
        return torch.where(batch.chance < self.label_dropout, model.null_label, batch.y)

    def weight(self, model: Denoiser, t: Tensor) -> Tensor:
        """min(SNR, gamma), the weight of the squared error of x0, as the weight (B,) of that of the
        target.
        """
        assert self.min_snr_gamma is not None
        alpha, sigma = model.schedule.alpha_sigma(t)
        return (alpha / sigma).square().clamp(max=self.min_snr_gamma) * x0_per_target(
            model, t
        ).square()


def x0_per_target(model: Denoiser, t: Tensor) -> Tensor:
    """What an error of the network's target is in x0, (B,): x0 - x0~ over output - target, at
    timesteps `t` (B,).
    """
    alpha, sigma = model.schedule.alpha_sigma(t)
    if model.prediction == "x0":
        return -torch.ones_like(sigma)
    return sigma / alpha if model.prediction == "eps" else sigma / (alpha.square() + sigma.square())


def _told_classes(network: Callable[..., Network], classes: int, *sizes: int) -> Network:
    """The network for `sizes` that is told `classes` labels. Raises InputError if it cannot be told
    any.
    """
    try:
        built = network(*sizes, num_classes=classes)
    except TypeError as error:
        if "num_classes" not in str(error):
            raise
        raise InputError(
            f"label_dropout: this network cannot be told a class ({error}); take one that can, "
            "such as UNet"
        ) from error
    if getattr(built, "num_classes", None) != classes:
        raise InputError(
            f"label_dropout: {type(built).__name__} does not keep its num_classes {classes} as an "
            "attribute"
        )
    return built


class ClassifierModule(TrainingModule):
    """Trains the classifier of noisy images: cross-entropy of p(y | x_t). Dhariwal and Nichol 2021
    (arXiv:2105.05233), section 4.
    """

    kind = "classifier"
    measures = ("loss", "accuracy")

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> NoisyClassifier:
        channels, size, _ = data.image_shape
        classes = len(data.class_names)
        return NoisyClassifier(
            network(size, channels, classes),
            data.schedule,
            data.class_names,
            data.image_shape,
            data.class_shares(),
        )

    def measure(self, model: NoisyClassifier, batch: NoisyBatch) -> dict[str, Tensor]:
        return _classification(model.logits(batch.x_t, batch.t), batch.y)

    def predict_step(self, batch: NoisyBatch, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """(index (B,), labels (B,), p(y | x_t) (B, K)) of a batch."""
        assert isinstance(self.ema, NoisyClassifier)
        return batch.index, batch.y, self.ema.log_prob(batch.x_t, batch.t).exp()


class JudgeModule(TrainingModule):
    """Trains a classifier of clean images, to judge samples with: cross-entropy of p(y | x0)."""

    kind = "judge"
    measures = ("loss", "accuracy")
    by_timestep = False

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> CleanClassifier:
        channels, size, _ = data.image_shape
        built = network(size, channels, len(data.class_names))
        return CleanClassifier(built, data.class_names, data.image_shape, data.class_shares())

    def measure(self, model: CleanClassifier, batch: NoisyBatch) -> dict[str, Tensor]:
        return _classification(model.logits(batch.x0), batch.y)


def _classification(logits: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {
        "loss": F.cross_entropy(logits, y, reduction="none"),
        "accuracy": (logits.argmax(dim=-1) == y).float(),
    }
