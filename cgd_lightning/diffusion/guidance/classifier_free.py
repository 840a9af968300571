"""Guidance by the difference of two noise predictors.

    eps~ = eps(x_t) + s (eps(x_t, y) - eps(x_t))            classifier-free guidance
    eps~ = eps(x_t) + s (eps(x_t) - eps_weak(x_t))          autoguidance

The first difference is -sigma_t grad log p(y | x_t) of a classifier that nobody trained: Ho and
Salimans 2022 (arXiv:2207.12598), whose w is s - 1. The second leads away from the faults of a
weaker model: Karras et al. 2024 (arXiv:2406.02507), whose w is s + 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Labelled, Prediction
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.guidance.weights import CONSTANT, Weight, check_weight
from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class ClassifierFree(Rule):
    """Classifier-free guidance of a class-conditional denoiser trained with label dropout.

    Stands first in a chain.

    Args:
        scale: as for a classifier: 0 ignores the labels, 1 is Bayes' rule, the denoiser with its
            labels alone, more trades variety for likeness.
        weight: a factor w by noise level on what goes beyond 1, or falls short of it: the scale is
            1 + w (s - 1); 1 at every level if none is given.
    """

    scale: float = 1.0
    weight: Weight | None = None

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 1, self.weight or CONSTANT, levels)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if not isinstance(denoise, Labelled) or denoise.labels is None:
            raise InputError(
                "classifier-free guidance needs a class-conditional diffusion model, and stands "
                "first among the rules (--clamp outside); train one with --model.label_dropout "
                "0.1, or guide this one by a classifier"
            )
        ask, null = denoise.told, denoise.denoiser.null_label
        if null is None:
            raise InputError(
                "classifier-free guidance: this diffusion model was trained without label dropout; "
                "give --model.label_dropout 0.1 to fit"
            )
        weight = self.weight or CONSTANT
        nothing = torch.full_like(labels, null)
        pair = torch.cat([labels, nothing])

        def guided(x_t: Tensor, level: Level) -> Prediction:
            scale = 1 + (self.scale - 1) * weight(level)
            if scale in (0, 1):
                return ask(x_t, level, labels if scale else nothing)
            both = ask(torch.cat([x_t, x_t]), level, pair)
            (x0, x0_null), (eps, eps_null) = both.x0.chunk(2), both.eps.chunk(2)
            variance = None if both.variance is None else both.variance.chunk(2)[0]
            told = Prediction(x0, eps, variance)
            return told.guided_to(
                Prediction(x0_null + scale * (x0 - x0_null), eps_null + scale * (eps - eps_null))
            )

        return guided


@dataclass(frozen=True)
class Autoguidance(Rule):
    """Guidance away from what a weaker version of the denoiser predicts for the same labels.

    The weak one is smaller or less trained. Outside the noise levels that it was trained on the
    term is 0.

    Args:
        weak: run or file of the weaker diffusion model; in Python the model itself as well.
        scale: 0 is off; w of the paper is scale + 1.
        weight: a factor by noise level; 1 at every level if none is given.
    """

    named = ("weak",)

    weak: str | Denoiser
    scale: float = 1.0
    weight: Weight | None = None

    @property
    def models(self) -> tuple[str, ...]:
        return super().models if self.scale else ()

    @property
    def reads_labels(self) -> bool:
        return isinstance(self.weak, Denoiser) and self.weak.conditional

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 0, self.weight or CONSTANT, levels)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if self.scale == 0:
            return denoise
        if not isinstance(self.weak, Denoiser):
            what = self.weak if isinstance(self.weak, str) else f"a {type(self.weak).__name__}"
            raise InputError(
                f"autoguidance by {what}: wanted a loaded diffusion model, weaker than the one "
                "that is guided"
            )
        if isinstance(denoise, Labelled):
            self._check_classes(self.weak, denoise.denoiser)
        weight = self.weight or CONSTANT
        low_res = denoise.low_res if isinstance(denoise, Labelled) else None
        weak, schedule = self.weak.bind(labels, low_res), self.weak.schedule

        def guided(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            strength = self.scale * weight(level) if schedule.covers(level) else 0.0
            if strength == 0:
                return prediction
            own = schedule.level(schedule.timestep(level.log_snr))
            ratio = own.radius / level.radius
            other = weak(x_t * ratio, own)
            x0 = prediction.x0 + strength * (prediction.x0 - other.x0)
            return prediction.guided_to(
                Prediction(x0, prediction.eps + strength * (prediction.eps - other.eps))
            )

        return guided

    @staticmethod
    def _check_classes(weak: Denoiser, denoiser: Denoiser) -> None:
        if weak.conditional and weak.class_names != denoiser.class_names:
            raise InputError(
                f"autoguidance: the weak model knows the classes {', '.join(weak.class_names)}, "
                f"and the guided one {', '.join(denoiser.class_names)}; take one trained on the "
                "same data"
            )
