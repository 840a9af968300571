"""Classifier guidance: the classifier's gradient steers the predicted noise towards a class.

    eps~ = eps - s * sigma_t * grad log p(y | x_t)

Dhariwal and Nichol 2021 (arXiv:2105.05233), algorithm 2. For an unconditional denoiser s = 1 is Bayes' rule: the score
-eps / sigma of p(x_t) becomes that of p(x_t | y). A class-conditional one knows y already, and s = 1 counts it twice.
"""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.rule import Rule
from cgd_lightning.diffusion.guidance.weights import Constant, Weight
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.errors import InputError


class ClassifierGuidance(Rule):
    """eps~ = eps - scale * weight(level) * sigma_t * grad log p(y | x_t).

    scale: 0 is off and asks no classifier, 1 is Bayes' rule, more trades variety for likeness. weight: a factor by noise
    level. Outside the noise levels that the classifier was trained on the term is 0.
    """

    def __init__(self, scale: float = 1.0, weight: Weight | None = None) -> None:
        self.scale = scale
        self.weight = weight or Constant()

    @property
    def needs_classifier(self) -> bool:
        return self.scale != 0

    def bind(self, denoise: Denoise, classifier: NoisyClassifier | None, labels: Tensor) -> Denoise:
        if self.scale == 0:
            return denoise
        if classifier is None:
            raise InputError(f"classifier guidance at scale {self.scale} needs a classifier; give one, or scale 0")

        def guided(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            strength = self.scale * self.weight(level) if classifier.covers(level) else 0.0
            if strength == 0:
                return prediction
            gradient = class_gradient(classifier, x_t, level, labels)
            eps = prediction.eps - strength * level.sigma * gradient
            return prediction.guided_to(Prediction.from_eps(x_t, level, eps))

        return guided


def class_gradient(classifier: NoisyClassifier, x_t: Tensor, level: Level, labels: Tensor) -> Tensor:
    """grad log p(y | x_t) with respect to x_t, (B, C, H, W), for `labels` (B,) int64.

    Works in any gradient mode. Where `x_t` itself is being differentiated, so is the result.
    """
    nested = x_t.requires_grad
    # The fused kernels of attention have no second derivative.
    attention = sdpa_kernel(SDPBackend.MATH) if nested else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), attention:
        x = x_t.clone() if nested else x_t.detach().clone().requires_grad_()
        log_p = classifier.log_prob_at(x, level).gather(1, labels.clone()[:, None])
        return torch.autograd.grad(log_p.sum(), x, create_graph=nested)[0]
