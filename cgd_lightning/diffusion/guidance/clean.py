"""Guidance by a classifier of clean images, through the predicted clean image.

The classifier has never seen noise.

    g = grad_z [tau_1 f_y(z) - log sum_k exp(tau_2 f_k(z))]  at  z = x0(x_t)
    eps~ = eps - s sigma_t J^T g

J is the derivative of x0(x_t), by backpropagation through the denoiser (Bansal et al. 2023,
arXiv:2302.07121), or left out, which costs a fraction: Ma et al. 2024 (arXiv:2310.11311), who
soften the classifier too, by the joint temperature tau_1, the conditional temperature tau_2, and
activations without kinks.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.classifier import check_guide, input_gradient
from cgd_lightning.diffusion.guidance.image_weights import ImageWeight
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.guidance.weights import CONSTANT, Weight, check_weight
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.process import expand
from cgd_lightning.diffusion.targets import log_target
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class CleanGuidance(Rule):
    """Guidance by the gradient of a clean classifier at the predicted image.

        eps~ = eps - scale * weight(level) * sigma_t * J^T g

    The classifier is a judge of this package, or any module that gives logits, from torchvision,
    timm or your own, as a `CleanClassifier`.

    Args:
        scale: 0 is off; 1 is not Bayes' rule here, for p(y | x_t) is not p(y | x0(x_t)).
        weight: a factor by noise level; 1 at every level if none is given.
        image_weight: a factor by image; 1 if none is given.
        through_denoiser: whether J is computed, by backpropagation through the denoiser, or left
            out.
        joint_temperature: tau_1, the factor on the logit of the class.
        conditional_temperature: tau_2, the factor on the logits of all classes; with 0 the other
            classes do not count.
        softplus: beta of the softplus that takes the place of every ReLU module; they stay if it is
            not given.
    """

    scale: float = 1.0
    weight: Weight | None = None
    image_weight: ImageWeight | None = None
    through_denoiser: bool = True
    joint_temperature: float = 1.0
    conditional_temperature: float = 1.0
    softplus: float | None = None

    def __post_init__(self) -> None:
        if self.softplus is not None and self.softplus <= 0:
            raise InputError(f"softplus {self.softplus}: wanted a sharpness above 0, as 3")

    @property
    def guides(self) -> frozenset[type[Guide]]:
        return frozenset({CleanClassifier} if self.scale else ())

    @property
    def reads_labels(self) -> bool:
        return self.scale != 0

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 0, self.weight or CONSTANT, levels)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if self.scale == 0:
            return denoise
        if not isinstance(classifier, CleanClassifier):
            got = (
                "none was given"
                if classifier is None
                else "this one knows noisy images; guide with it by ClassifierGuidance"
            )
            raise InputError(
                f"guidance by a clean classifier at scale {self.scale} needs one, and {got}"
            )
        check_guide(classifier, labels)
        guide = classifier if self.softplus is None else softened(classifier, self.softplus)
        weight = self.weight or CONSTANT

        def guided(x_t: Tensor, level: Level) -> Prediction:
            strength = self.scale * weight(level) if level.alpha > 0 else 0.0
            if strength == 0:
                return denoise(x_t, level)
            if self.through_denoiser:
                kept: list[Prediction] = []

                def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
                    kept.append(denoise(x, level))
                    return self._log_p(guide, kept[0].x0, labels)

                gradient, logits = input_gradient(log_p, x_t)
                prediction = kept[0] if x_t.requires_grad else _detached(kept[0])
            else:
                prediction = denoise(x_t, level)
                gradient, logits = input_gradient(
                    lambda x0: self._log_p(guide, x0, labels), prediction.x0
                )
            if self.image_weight is not None:
                gradient = (
                    expand(self.image_weight(gradient, logits.log_softmax(-1), level), gradient)
                    * gradient
                )
            return prediction.guided_to(
                Prediction.from_eps(x_t, level, prediction.eps - strength * level.sigma * gradient)
            )

        return guided

    def _log_p(self, guide: CleanClassifier, x0: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """tau_1 f_y - log sum exp(tau_2 f), (B,), and the logits f, (B, K)."""
        logits = guide.logits(x0)
        asked = log_target(self.joint_temperature * logits, labels.clone())
        return asked - (self.conditional_temperature * logits).logsumexp(dim=-1), logits


_softened: WeakKeyDictionary[CleanClassifier, tuple[float, CleanClassifier]] = WeakKeyDictionary()
"""The last copy that was made of each classifier, for all batches."""


def softened(classifier: CleanClassifier, beta: float) -> CleanClassifier:
    """A copy with softplus in place of every ReLU module; what calls a function instead stays.

    softplus(x) = log(1 + exp(beta x)) / beta. Raises InputError if there is no ReLU module.
    """
    kept = _softened.get(classifier)
    if kept is not None and kept[0] == beta:
        return kept[1]
    with torch.inference_mode(False):
        copy = deepcopy(classifier)
    relus = [
        (parent, name)
        for parent in copy.modules()
        for name, child in parent._modules.items()  # named_children leaves out what is shared
        if isinstance(child, nn.ReLU)
    ]
    if not relus:
        raise InputError(
            f"softplus {beta}: this classifier has no ReLU modules that it could take the place of"
        )
    for parent, name in relus:
        setattr(parent, name, nn.Softplus(beta=beta))
    _softened[classifier] = beta, copy
    return copy


def _detached(prediction: Prediction) -> Prediction:
    variance = None if prediction.variance is None else prediction.variance.detach()
    base = None if prediction.base is None else _detached(prediction.base)
    return Prediction(prediction.x0.detach(), prediction.eps.detach(), variance, base)
