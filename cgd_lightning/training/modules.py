"""The trainings, twins of a few lines each: the noise predictor, the classifier of noisy images, and the judge of clean ones."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.errors import InputError
from cgd_lightning.training.module import NetworkFactory, OptimizerFactory, TrainingModule


class DiffusionModule(TrainingModule):
    """Trains the diffusion model: || network(x_t, t) - target ||^2. Ho et al. 2020 (arXiv:2006.11239), algorithm 1.

    prediction: what the network predicts, eps, x0 or v. classifier: run or file of the classifier that `cgd sample` takes unless told
    otherwise. min_snr_gamma: weigh the squared error of x0 by min(SNR, gamma), whatever the network predicts, so that neither end of the
    noise levels outweighs the others: Hang et al. 2023 (arXiv:2303.09556), section 3.4, where gamma is 5. The other options are those of
    `TrainingModule`.
    """

    def __init__(
        self,
        network: NetworkFactory,
        prediction: PredictionType = "eps",
        classifier: str | None = None,
        min_snr_gamma: float | None = None,
        optimizer: OptimizerFactory | None = None,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
        ema_decay: float = 0.999,
        compile: bool = False,
    ) -> None:
        super().__init__(network, optimizer, warmup_steps, decay, ema_decay, compile)
        self.prediction: PredictionType = prediction
        self.classifier = classifier
        if min_snr_gamma is not None and min_snr_gamma <= 0:
            raise InputError(f"min_snr_gamma {min_snr_gamma}: wanted more than 0")
        self.min_snr_gamma = min_snr_gamma

    @property
    def partner(self) -> str | None:
        return self.classifier

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> Denoiser:
        channels, size, _ = data.image_shape
        return Denoiser(network(size, channels, channels), data.schedule, self.prediction, data.image_shape, data.class_names)

    def measure(self, model: Denoiser, batch: NoisyBatch) -> dict[str, Tensor]:
        error = model.output(batch.x_t, batch.t, batch.y)[0] - model.target(batch)
        loss = error.square().mean(dim=(1, 2, 3))
        return {"loss": loss if self.min_snr_gamma is None else loss * self.weight(model, batch.t)}

    def weight(self, model: Denoiser, t: Tensor) -> Tensor:
        """min(SNR, gamma) over the weight (B,) that the squared error of the target itself gives to that of x0: SNR for eps, 1 for x0,
        (alpha^2 + sigma^2)^2 / sigma^2 for v.
        """
        assert self.min_snr_gamma is not None
        alpha, sigma = model.schedule.alpha_sigma(t)
        snr = (alpha / sigma).square()
        own = {"eps": snr, "x0": torch.ones_like(snr), "v": (alpha.square() + sigma.square()).square() / sigma.square()}[model.prediction]
        return snr.clamp(max=self.min_snr_gamma) / own


class ClassifierModule(TrainingModule):
    """Trains the classifier of noisy images: cross-entropy of p(y | x_t). Dhariwal and Nichol 2021 (arXiv:2105.05233), section 4."""

    measures = ("loss", "accuracy")

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> NoisyClassifier:
        channels, size, _ = data.image_shape
        classes = len(data.class_names)
        return NoisyClassifier(network(size, channels, classes), data.schedule, data.class_names, data.image_shape)

    def measure(self, model: NoisyClassifier, batch: NoisyBatch) -> dict[str, Tensor]:
        return _classification(model.logits(batch.x_t, batch.t), batch.y)

    def predict_step(self, batch: NoisyBatch, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """(index (B,), labels (B,), p(y | x_t) (B, K)) of a batch."""
        assert isinstance(self.ema, NoisyClassifier)
        return batch.index, batch.y, self.ema.log_prob(batch.x_t, batch.t).exp()


class JudgeModule(TrainingModule):
    """Trains a classifier of clean images, to judge samples with: cross-entropy of p(y | x0)."""

    measures = ("loss", "accuracy")
    by_timestep = False

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> CleanClassifier:
        channels, size, _ = data.image_shape
        return CleanClassifier(network(size, channels, len(data.class_names)), data.class_names, data.image_shape)

    def measure(self, model: CleanClassifier, batch: NoisyBatch) -> dict[str, Tensor]:
        return _classification(model.logits(batch.x0), batch.y)


def _classification(logits: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {"loss": F.cross_entropy(logits, y, reduction="none"), "accuracy": (logits.argmax(dim=-1) == y).float()}
