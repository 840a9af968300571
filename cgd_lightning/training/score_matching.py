"""Denoising-likelihood score matching: a classifier whose gradient is fitted.

    error = sigma_t grad log p(y | x_t) - (eps_theta(x_t, t) - eps),    score = ||error||^2 / 2

Chao et al. 2022 (arXiv:2203.14206), equation 10, times sigma_t^2. What guidance wants of the
gradient is the score of p(x_t | y) less that of p(x_t). The first is -eps / sigma_t on average over
the noise, the second a diffusion model's -eps_theta / sigma_t; so the best classifier is the exact
one, and its score is above 0 by what one image's noise tells nothing of. Times sigma_t^2 / 2 a
mismatch of scores counts in nats per unit of log SNR (Kingma et al. 2021, arXiv:2107.00630, section
5), as cross-entropy does in nats.
"""

from pathlib import Path

import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import NO_TRUST
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.process import NoisyBatch, expand
from cgd_lightning.errors import InputError


def load_noise_predictor(path: str | Path, data: NoisingDataModule) -> Denoiser:
    """The diffusion model at `path`, for the images and the noise of `data`.

    Raises InputError, naming file and values, for one of other images or another schedule, and for
    one that always wants to be told the class.
    """
    try:
        file = checkpoints.find(path)
        denoiser = checkpoints.load(file, Denoiser, trust=NO_TRUST)
    except (InputError, OSError) as error:
        raise InputError(f"model.diffusion {path!s}: {error}") from error
    for name, theirs, ours in (
        ("images of shape", denoiser.data.shape, data.spec.shape),
        ("classes", denoiser.class_names, data.class_names),
        ("codec", denoiser.data.codec, data.codec),
        ("schedule", denoiser.schedule, data.schedule),
    ):
        if theirs != ours:
            raise InputError(
                f"model.diffusion {file}: {name} {theirs}, and the data have {ours}; give a "
                "diffusion model trained on the same"
            )
    if denoiser.conditional and denoiser.null_label is None:
        raise InputError(
            f"model.diffusion {file}: is always told the class; give one without, or with label "
            "dropout"
        )
    return denoiser.requires_grad_(False)


def score_error(gradient: Tensor, denoiser: Denoiser, batch: NoisyBatch) -> Tensor:
    """||error||^2 / 2 per image, in nats per unit of log SNR.

    gradient: sigma_t grad log p(y | x_t) of the classifier, (N, C, H, W), of the first N images of
    `batch`. The result is (N,).
    """
    seen = batch.first(len(gradient))
    error = gradient - (_noise_in(denoiser, seen) - seen.eps)
    return error.square().flatten(1).sum(dim=1) / 2


@torch.no_grad()
def _noise_in(denoiser: Denoiser, batch: NoisyBatch) -> Tensor:
    """eps_theta(x_t, t), (B, C, H, W)."""
    labels = None
    if denoiser.null_label is not None:
        labels = torch.full_like(batch.y, denoiser.null_label)
    output, _ = denoiser.output(batch.x_t, batch.t, labels)
    if denoiser.prediction == "eps":
        return output
    alpha, sigma = (expand(v, output) for v in denoiser.schedule.alpha_sigma(batch.t))
    if denoiser.prediction == "x0":
        return (batch.x_t - alpha * output) / sigma
    return (sigma * batch.x_t + alpha * output) / (alpha**2 + sigma**2)
