"""The training of an autoencoder, the first stage of latent diffusion."""

import math
from typing import Literal

import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.codec import Pixels
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.errors import InputError
from cgd_lightning.training.module import NetworkFactory, OptimizerFactory, TrainingModule
from cgd_lightning.training.module_checks import check_autoencoder


class AutoencoderModule(TrainingModule):
    """Trains an autoencoder: | decode(z) - x0 | with z ~ q(z | x0), and what keeps q near N(0, 1).

    Rombach et al. 2022 (arXiv:2112.10752), section 3.1. Held out, z is the mean of q, as where
    latents are used. "psnr" is in dB, of images in [-1, 1]; "kl" in nats per number of the image.

    Args:
        kl_weight: add so many times the divergence of q(z | x0) from N(0, 1), per number of the
            image; more of it makes latents noisier, and easier to predict.
        edge_weight: add so many times the mismatch of differences between neighbouring pixels,
            which keeps edges sharp.
        judge: run or file of a classifier of clean images, whose features of a reconstruction
            shall be those of the image. It can judge nothing afterwards that this decoder makes.
        feature_weight: how many times their mismatch is added, "features": the square of their
            distance over that of the image's features.
        ema_statistics: average the moments of the latents too, rather than copy the latest.
    """

    kind = "autoencoder"
    measures: tuple[str, ...] = ("loss", "psnr", "kl")
    by_timestep = False

    def __init__(
        self,
        network: NetworkFactory,
        kl_weight: float = 1e-3,
        edge_weight: float = 1.0,
        judge: str | None = None,
        feature_weight: float = 0.0,
        optimizer: OptimizerFactory | None = None,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
        ema_decay: float = 0.999,
        ema_statistics: bool = False,
    ) -> None:
        check_autoencoder(kl_weight, edge_weight, judge, feature_weight)
        if judge is not None:
            self.measures = (*self.measures, "features")
        super().__init__(network, optimizer, warmup_steps, decay, ema_decay, ema_statistics)
        self.kl_weight, self.edge_weight = kl_weight, edge_weight
        self.judge, self.feature_weight = judge, feature_weight
        # In a list, so that it is no part of what is trained and stored.
        self._judges: list[CleanClassifier] = []

    def configure_model(self) -> None:
        super().configure_model()
        if self.judge is not None and not self._judges:
            self._judges = [_load_judge(self.judge, self.data).to(self.device)]

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> Autoencoder:
        if not isinstance(data.codec, Pixels):
            raise InputError(
                f"data.autoencoder {data.autoencoder}: an autoencoder reads pixels; leave it out"
            )
        channels, size, _ = data.image_shape
        built = network(size, channels, channels)
        if built.latent_shape is None:
            raise InputError(
                f"network {type(built).__name__}: no autoencoder; give one, as ConvAutoencoder"
            )
        model = Autoencoder(built, data.spec)
        if math.prod(model.latent_shape) > math.prod(data.image_shape):
            raise InputError(
                f"network: latents {list(model.latent_shape)} are more numbers than images "
                f"{list(data.image_shape)}; give fewer latent_channels, or more levels"
            )
        return model

    def measure(self, model: Autoencoder, batch: NoisyBatch) -> dict[str, Tensor]:
        x0 = batch.x0
        mean, log_variance = model.moments(x0)
        z = mean
        if model.training:
            z = mean + (log_variance / 2).exp() * _noise(batch, mean)
            model.follow(mean.detach(), self.global_step)
        reconstruction = model.decode(z)
        error = reconstruction - x0
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2
        kl = kl / x0[0].numel()
        loss = error.abs().mean(dim=(1, 2, 3)) + self.kl_weight * kl
        if self.edge_weight:
            loss = loss + self.edge_weight * _edges(error)
        measures = {"loss": loss, "psnr": _psnr(error.detach()), "kl": kl.detach()}
        for judge in self._judges:
            mismatch = _feature_mismatch(judge, reconstruction, x0)
            measures["loss"] = loss + self.feature_weight * mismatch
            measures["features"] = mismatch.detach()
        return measures


def _noise(batch: NoisyBatch, like: Tensor) -> Tensor:
    """Standard normal numbers in the shape of latents, of those that the batch has per image."""
    count = like[0].numel()
    return batch.eps.flatten(1)[:, :count].reshape(like.shape)


def _edges(error: Tensor) -> Tensor:
    """Mean absolute difference of neighbours in `error` (B, C, H, W), down and across, (B,)."""
    down, across = error.diff(dim=2).abs(), error.diff(dim=3).abs()
    return (down.mean(dim=(1, 2, 3)) + across.mean(dim=(1, 2, 3))) / 2


def _psnr(error: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB (B,) of errors (B, C, H, W) of images in [-1, 1]."""
    return -10 * (error.square().mean(dim=(1, 2, 3)) / 4).clamp(min=1e-10).log10()


def _feature_mismatch(judge: CleanClassifier, reconstruction: Tensor, x0: Tensor) -> Tensor:
    """Squared distance of the judge's features, (B,), over the square of the image's."""
    with torch.no_grad():
        wanted = judge.features(x0)
    distance = (judge.features(reconstruction) - wanted).square().sum(dim=1)
    return distance / wanted.square().sum(dim=1).clamp(min=1e-6)


def _load_judge(path: str, data: NoisingDataModule) -> CleanClassifier:
    """The judge at `path`. Raises InputError for one of other images."""
    judge = checkpoints.load(path, CleanClassifier, trust=data.trust)
    if not isinstance(judge.data.codec, Pixels):
        raise InputError(f"model.judge {path}: reads latents; give one that reads pixels")
    if judge.data.shape != data.image_shape:
        raise InputError(
            f"model.judge {path}: of images {list(judge.data.shape)}, and these are "
            f"{list(data.image_shape)}; give one trained on such images"
        )
    return judge
