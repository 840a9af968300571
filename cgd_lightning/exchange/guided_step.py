"""A step of classifier guidance as one function of tensors, the classifier's gradient inside.

    eps~ = eps - scale * sigma * grad log sum_k w_k p(k | x_t),    x0~ = (x_t - sigma eps~) / alpha

Nothing in it is a number of Python, so that it can be traced once and run elsewhere at any level,
scale and weights of classes. What it gives is what `ClassifierGuidance` gives.
"""

import copy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier, check_statistics
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.targets import log_target
from cgd_lightning.errors import InputError
from cgd_lightning.networks.blocks import Stage

M = TypeVar("M", Denoiser, NoisyClassifier)

INPUTS = ("x", "t", "alpha", "sigma", "weights", "scale")
OF_A_CLASSIFIER = ("classifier_t", "classifier_gain")
"""Further inputs, where the classifier was trained on another schedule than the denoiser."""

OUTPUTS = ("x0", "eps", "x0_unguided", "eps_unguided", "log_p", "gradient")


class GuidedStep(nn.Module):
    """A denoiser and a classifier that guides it, as `forward` says.

    The models given stay as they are; the step has its own, in float32. Raises InputError for a
    pair of which no such step can be made.
    """

    def __init__(self, denoiser: Denoiser, classifier: NoisyClassifier) -> None:
        super().__init__()
        check_can_be_a_step(denoiser, classifier)
        self.denoiser, self.classifier = _ready(denoiser), _ready(classifier)
        self.own_schedule = denoiser.schedule != classifier.schedule

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what `forward` takes, in order."""
        return (*INPUTS, *OF_A_CLASSIFIER) if self.own_schedule else INPUTS

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        weights: Tensor,
        scale: Tensor,
        classifier_t: Tensor | None = None,
        classifier_gain: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """x0~, eps~, x0, eps (B, C, H, W), log p of all classes (B, K), and the gradient of log p.

        x: x_t (B, C, H, W). weights: w_k of the classes (B, K); a denoiser that is told the class
        itself is told the one of the largest weight. All others are numbers, of shape (). At a
        scale or an alpha of 0 nothing is guided. classifier_t, classifier_gain: the timestep of the
        classifier's own schedule at equal noise, and by what x_t is multiplied for it; without
        them, `t` and 1.
        """
        prediction = self._unguided(x, t, alpha, sigma, weights)
        gradient, log_p = self._gradient(
            x, weights, t if classifier_t is None else classifier_t, classifier_gain
        )
        eps = prediction.eps - scale * sigma * gradient
        x0 = (x - sigma * eps) / torch.where(alpha > 0, alpha, 1.0)
        on = (scale != 0) & (alpha > 0)
        return (
            torch.where(on, x0, prediction.x0),
            torch.where(on, eps, prediction.eps),
            prediction.x0,
            prediction.eps,
            log_p,
            gradient,
        )

    def _unguided(self, x: Tensor, t: Tensor, alpha: Tensor, sigma: Tensor, weights: Tensor) -> Any:
        # The arithmetic of a level is the same for tensors as for the numbers that it is made for.
        level = Level(*cast(Any, (alpha, sigma, t)))
        labels = weights.argmax(dim=1) if self.denoiser.conditional else None
        output, _ = self.denoiser.output(x, t.expand(x.shape[0]), labels)
        return self.denoiser.told_by(x, level, output)

    def _gradient(
        self, x: Tensor, weights: Tensor, t: Tensor, gain: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
            x = x if gain is None else x * gain
            log_p = self.classifier.log_prob(x, t.expand(x.shape[0]))
            return log_target(log_p, weights), log_p

        # In place of autograd.grad, whose graph cannot be traced.
        total, back, beside = cast(Any, torch.func.vjp(log_p, x, has_aux=True))
        (gradient,) = back(torch.ones_like(total))
        return gradient, beside


def check_can_be_a_step(denoiser: Denoiser, classifier: NoisyClassifier) -> None:
    """Raises InputError for models whose step no other program could make an image of."""
    for codec in (denoiser.data.codec, classifier.data.codec):
        if codec != PIXELS:
            raise InputError(
                f"a model in the space of {type(codec).__name__}: the graph of a step has no way "
                "from there to images; give one of pixels"
            )
    if denoiser.low_res_shape is not None:
        raise InputError(
            f"{type(denoiser.network).__name__} enlarges images, and the graph of a step reads "
            "none; give a model that makes them from noise alone"
        )
    if not denoiser.image_shape or not classifier.class_names:
        raise InputError("the shape of the images or the names of the classes are not known")
    if denoiser.conditional and denoiser.class_names != classifier.class_names:
        raise InputError(
            "the diffusion model is told the class itself, and the classifier knows other classes"
        )
    check_statistics(classifier)


def _ready(model: M) -> M:
    """A copy of `model` for tracing: float32, weights as they lie in a file, nothing twice."""
    model = copy.deepcopy(model).float().to(memory_format=torch.contiguous_format)
    for module in model.modules():
        if isinstance(module, Stage):
            module.use_checkpoint = False  # which torch.func does not go through
    return model.eval().requires_grad_(False)
