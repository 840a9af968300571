"""Guidance by a classifier of clean images, which has never seen noise, through the predicted clean
image.

    g = grad_z [tau_1 f_y(z) - log sum_k exp(tau_2 f_k(z))]  at  z = x0(x_t),    eps~ = eps - s sigma_t J^T g

J is the derivative of x0(x_t), by backpropagation through the denoiser (Bansal et al. 2023,
arXiv:2302.07121), or left out, which costs a fraction: Ma et al. 2024 (arXiv:2310.11311), who
soften the classifier too, by the joint temperature tau_1, the conditional temperature tau_2, and
activations without kinks.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.classifier import check_classes, input_gradient
from cgd_lightning.diffusion.guidance.image_weights import ImageWeight
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.guidance.weights import Constant, Weight, check_weight
from cgd_lightning.diffusion.process import expand
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.diffusion.targets import log_target
from cgd_lightning.errors import InputError


class CleanGuidance(Rule):
    """eps~ = eps - scale * weight(level) * sigma_t * gradient of a clean classifier at the
    predicted image.

    The classifier is a judge of this package, or any module that gives logits, from torchvision,
    timm or your own, as a `CleanClassifier`. scale, weight, image_weight: as for
    `ClassifierGuidance`; but 1 is not Bayes' rule here, for p(y | x_t) is not p(y | x0(x_t)).
    through_denoiser: whether J is computed or left out. joint_temperature: tau_1.
    conditional_temperature: tau_2; with 0 the other classes do not count. softplus: beta of the
    softplus that takes the place of every ReLU module.
    """

    needs = CleanClassifier

    def __init__(
        self,
        scale: float = 1.0,
        weight: Weight | None = None,
        image_weight: ImageWeight | None = None,
        through_denoiser: bool = True,
        joint_temperature: float = 1.0,
        conditional_temperature: float = 1.0,
        softplus: float | None = None,
    ) -> None:
        if softplus is not None and softplus <= 0:
            raise InputError(f"softplus {softplus}: wanted a sharpness above 0, as 3")
        self.scale, self.weight, self.image_weight = scale, weight or Constant(), image_weight
        self.through_denoiser, self.softplus = through_denoiser, softplus
        self.joint_temperature, self.conditional_temperature = (
            joint_temperature,
            conditional_temperature,
        )
        self._soft: tuple[CleanClassifier, CleanClassifier] | None = None

    @property
    def guides(self) -> frozenset[type[Guide]]:
        return frozenset({self.needs} if self.scale else ())

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 0, self.weight, levels)

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
        check_classes(labels, len(classifier.class_names))
        guide = classifier if self.softplus is None else self._softened(classifier, self.softplus)

        def guided(x_t: Tensor, level: Level) -> Prediction:
            strength = self.scale * self.weight(level) if level.alpha > 0 else 0.0
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

    def _softened(self, classifier: CleanClassifier, beta: float) -> CleanClassifier:
        """The softened copy of `classifier`, made once for all batches."""
        if self._soft is None or self._soft[0] is not classifier:
            self._soft = classifier, softened(classifier, beta)
        return self._soft[1]

    def _log_p(self, guide: CleanClassifier, x0: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """tau_1 f_y - log sum exp(tau_2 f), (B,), and the logits f, (B, K)."""
        logits = guide.logits(x0)
        asked = log_target(self.joint_temperature * logits, labels.clone())
        return asked - (self.conditional_temperature * logits).logsumexp(dim=-1), logits


def softened(classifier: CleanClassifier, beta: float) -> CleanClassifier:
    """A copy with softplus, log(1 + exp(beta x)) / beta, in place of every ReLU module; what calls
    a function instead stays.

    Raises InputError if there is none.
    """
    with torch.inference_mode(False):
        copy = deepcopy(classifier)
    found = [
        (parent, name)
        for parent in copy.modules()
        for name, child in parent._modules.items()
        if isinstance(child, nn.ReLU)
    ]
    if not found:
        raise InputError(
            f"softplus {beta}: this classifier has no ReLU modules that it could take the place of"
        )
    for parent, name in found:
        setattr(parent, name, nn.Softplus(beta=beta))
    return copy


def _detached(prediction: Prediction) -> Prediction:
    variance = None if prediction.variance is None else prediction.variance.detach()
    base = None if prediction.base is None else _detached(prediction.base)
    return Prediction(prediction.x0.detach(), prediction.eps.detach(), variance, base)
