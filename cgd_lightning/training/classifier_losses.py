"""What a classifier may be trained towards besides cross-entropy: a gradient fit for guidance.

Each of these is per image, (B,). Where one is not `score_error`, the best classifier is no longer
the exact one, and the docstring says which it is.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.guidance.classifier import input_gradient
from cgd_lightning.diffusion.process import NoisyBatch, expand
from cgd_lightning.training.batch_statistics import held, kept, learning_norms


class Reading(NamedTuple):
    """What a classifier says of a batch, and how log p(y | x_t) of its labels grows."""

    logits: Tensor
    """(B, K)."""

    gradient: Tensor
    """sigma_t grad log p(y | x_t), (B, C, H, W), of the images that were asked for."""


def read_with_gradient(
    classifier: NoisyClassifier, batch: NoisyBatch, images: int | None = None
) -> Reading:
    """Logits of all, and the gradient of the first `images`, or of all.

    They can be differentiated by the weights of the classifier where gradients are on. The gradient
    is one that guides: statistics of batch norm are those of the whole batch and constants to it,
    so that no image's depends on how it changes those of the others.
    """
    norms, trained = learning_norms(classifier), torch.is_grad_enabled()
    first = slice(images)
    with torch.inference_mode(False):
        x_t = batch.x_t[first].detach().clone().requires_grad_(trained)
        t, y = batch.t[first].clone(), batch.y[first].clone()

    def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = classifier.logits(x, t)
        return logits.log_softmax(dim=-1).gather(1, y[:, None]), logits

    if norms or len(y) < len(batch.y):
        with kept(norms) as statistics:
            logits = classifier.logits(batch.x_t, batch.t)
        with held(norms, statistics):
            gradient, _ = input_gradient(log_p, x_t)
    else:
        gradient, logits = input_gradient(log_p, x_t)
    sigma = expand(classifier.schedule.alpha_sigma(t)[1], gradient)
    return Reading(logits, sigma * gradient)


def gradient_size(gradient: Tensor) -> Tensor:
    """||sigma_t grad log p(y | x_t)||^2 / 2, (B,), in nats per unit of log SNR.

    With a weight it makes a classifier smooth: Drucker and Le Cun 1992 (IEEE Transactions on Neural
    Networks 3, 991), double backpropagation. The best classifier then has shorter gradients than
    the exact one.
    """
    return gradient.square().flatten(1).sum(dim=1) / 2


def certainty(logits: Tensor) -> Tensor:
    """log K - H(p), (B,), in nats: how far p(. | x_t) is from all classes alike.

    With a weight w, entropy-constraint training: Zheng et al. 2022 (arXiv:2206.11474), section 4.2.
    Where q is the exact classifier, the best one has q_y = p_y (1 + w (log p_y + H(p))): as sure as
    q where all classes are alike, and less elsewhere.
    """
    log_p = logits.log_softmax(dim=-1)
    entropy = -(log_p.exp() * log_p).sum(dim=-1)
    return torch.full_like(entropy, logits.shape[1]).log() - entropy
