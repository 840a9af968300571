"""Classifier guidance: the classifier's gradient steers the predicted noise towards a class.

    eps~ = eps - s * sigma_t * grad log p(y | x_t)

Dhariwal and Nichol 2021 (arXiv:2105.05233), algorithm 2. For an unconditional denoiser s = 1 is
Bayes' rule: the score -eps / sigma of p(x_t) becomes that of p(x_t | y). A class-conditional one
knows y already, and s = 1 counts it twice.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from cgd_lightning.diffusion.classifier import NoisyClassifier, check_statistics
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.image_weights import ImageWeight
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.guidance.weights import CONSTANT, Weight, check_weight
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.process import expand
from cgd_lightning.diffusion.targets import log_target
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class ClassifierGuidance(Rule):
    """Guidance by the gradient of a classifier of noisy images.

        eps~ = eps - scale * weight(level) * sigma_t * grad log p(y | x_t)

    Outside the noise levels that the classifier was trained on, and where x_t is noise alone, the
    term is 0.

    Args:
        scale: 0 is off and asks no classifier, 1 is Bayes' rule, more trades variety for likeness.
        weight: a factor by noise level; 1 at every level if none is given.
        image_weight: a factor by image; 1 if none is given.
    """

    scale: float = 1.0
    weight: Weight | None = None
    image_weight: ImageWeight | None = None

    @property
    def guides(self) -> frozenset[type[Guide]]:
        return frozenset({NoisyClassifier} if self.scale else ())

    @property
    def reads_labels(self) -> bool:
        return self.scale != 0

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 0, self.weight or CONSTANT, levels)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if self.scale == 0:
            return denoise
        if not isinstance(classifier, NoisyClassifier):
            got = (
                "none was given"
                if classifier is None
                else "this one knows clean images alone; guide with it by CleanGuidance"
            )
            raise InputError(
                f"classifier guidance at scale {self.scale} needs a classifier of noisy images, "
                f"and {got}"
            )
        guide, weight = classifier, self.weight or CONSTANT
        check_guide(guide, labels)

        def guided(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            strength = (
                self.scale * weight(level) if level.alpha > 0 and guide.covers(level) else 0.0
            )
            if strength == 0:
                return prediction
            gradient, log_p = class_gradient(guide, x_t, level, labels)
            if self.image_weight is not None:
                gradient = expand(self.image_weight(gradient, log_p, level), gradient) * gradient
            return prediction.guided_to(
                Prediction.from_eps(x_t, level, prediction.eps - strength * level.sigma * gradient)
            )

        return guided


def class_gradient(
    classifier: NoisyClassifier, x_t: Tensor, level: Level, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """grad log p(y | x_t) with respect to x_t, (B, C, H, W), and log p of all classes, (B, K).

    labels: classes (B,) or weights of classes (B, K).
    """

    def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
        log_p = classifier.log_prob_at(x, level)
        return log_target(log_p, labels.clone()), log_p

    return input_gradient(log_p, x_t)


def input_gradient(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of a sum by `x`, in its shape, and what comes beside the sum.

    `function` makes two things of `x`: the first is summed, the second is handed on. Works in any
    gradient mode. Where `x` itself is being differentiated, so is the result.
    """
    nested = x.requires_grad
    # The fused kernels of attention have no second derivative.
    attention = sdpa_kernel(SDPBackend.MATH) if nested else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), attention:
        x = x.clone() if nested else x.detach().clone().requires_grad_()
        values, beside = function(x)
        (gradient,) = torch.autograd.grad(values.sum(), x, create_graph=nested)
        return gradient, beside if nested else beside.detach()


def check_guide(guide: Guide, labels: Tensor) -> None:
    """Raises InputError for a guide in training mode, or for weights of other classes."""
    check_statistics(guide)
    classes = len(guide.class_names)
    if labels.is_floating_point() and labels.shape[1] != classes:
        raise InputError(
            f"labels with weights of {labels.shape[1]} classes: this classifier knows {classes}"
        )
