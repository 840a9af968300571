"""Discriminator guidance: towards the data, away from what a noise predictor draws instead.

    eps~ = eps - s sigma_t grad [log p(real | x_t) - log p(generated | x_t)]

Where images of both kinds are equally frequent, p(real | x_t) / p(generated | x_t) of the exact
classifier is q(x_t) / p(x_t), of the data and of what the noise predictor draws, noised alike.
Other proportions change the ratio by a constant, and no gradient. So at s = 1, where -eps / sigma_t
is the score of p(x_t), it becomes that of q(x_t): Kim et al. 2023 (arXiv:2211.17091).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier, check_statistics
from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Labelled, Prediction
from cgd_lightning.diffusion.guidance.classifier import input_gradient
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.guidance.weights import CONSTANT, Weight, check_weight
from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError

GENERATED = "generated"
"""The class of what a noise predictor drew, as `WithGenerated` calls it."""


@dataclass(frozen=True)
class DiscriminatorGuidance(Rule):
    """Guidance by a classifier of noisy images that knows which ones the noise predictor made.

        eps~ = eps - scale * weight(level) * sigma_t * grad [log p(real) - log p(generated)]

    It corrects an unconditional noise predictor, whatever class is asked for. Where another rule of
    a list has a scale, that one stands last: `--scale` is its. Outside the noise levels that the
    classifier was trained on, and where x_t is noise alone, the term is 0.

    Args:
        discriminator: run or file of that classifier, trained with `--data WithGenerated`; in
            Python the classifier itself as well.
        scale: 0 is off, 1 turns the score of what is drawn into that of the data.
        generated: its class of generated images; all others are real.
        weight: a factor by noise level; 1 at every level if none is given.
    """

    named = ("discriminator",)

    discriminator: str | NoisyClassifier
    scale: float = 1.0
    generated: str = GENERATED
    weight: Weight | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.discriminator, str):
            self._check(self.discriminator, "discriminator")

    def with_models(self, models: Mapping[str, Any]) -> Rule:
        name = self.discriminator
        if isinstance(name, str) and not isinstance(models.get(name, name), str):
            self._check(models[name], f"discriminator {name}")
        return super().with_models(models)

    @property
    def models(self) -> tuple[str, ...]:
        return super().models if self.scale else ()

    @property
    def reads_labels(self) -> bool:
        return False

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 0, self.weight or CONSTANT, levels)

    def check_denoiser(self, denoiser: Denoiser) -> None:
        """Raises InputError for a denoiser that cannot be corrected by this discriminator.

        That is one that is told the class, or one of other classes.
        """
        if self.scale == 0 or isinstance(self.discriminator, str):
            return
        if denoiser.conditional:
            raise InputError(
                "discriminator: this diffusion model is told the class, and what it draws of one "
                "is held against all data; correct an unconditional one"
            )
        real = tuple(name for name in self.discriminator.class_names if name != self.generated)
        if denoiser.class_names and denoiser.class_names != real:
            raise InputError(
                f"discriminator: knows the classes {', '.join(real)} beside {self.generated}, and "
                f"the diffusion model {', '.join(denoiser.class_names)}; take one trained on the "
                "same data"
            )

    def _check(self, model: Any, what: str) -> None:
        """Raises InputError unless it is a classifier that knows generated images from others."""
        if not isinstance(model, NoisyClassifier):
            raise InputError(
                f"{what}: a {type(model).__name__}; wanted a classifier of noisy images that was "
                "trained with --data WithGenerated"
            )
        names = model.class_names
        if self.generated not in names or len(names) < 2:
            usual = self.generated == GENERATED
            advice = "train it with --data WithGenerated" if usual else "name the one it has"
            raise InputError(
                f"{what}: knows {', '.join(names)}; wanted a class {self.generated!r} among "
                f"others, of generated images; {advice}"
            )

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if self.scale == 0:
            return denoise
        model = self.discriminator
        if isinstance(model, str):
            raise InputError(
                f"discriminator {model}: not loaded; put it in by with_models(), or give the "
                "classifier itself"
            )
        check_statistics(model)
        first = denoise.denoiser if isinstance(denoise, Labelled) else denoise
        if isinstance(first, Denoiser):
            self.check_denoiser(first)
        place, weight = model.class_names.index(self.generated), self.weight or CONSTANT

        def guided(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            covered = level.alpha > 0 and model.covers(level)
            strength = self.scale * weight(level) if covered else 0.0
            if strength == 0:
                return prediction

            def log_ratio(x: Tensor) -> tuple[Tensor, Tensor]:
                log_p = model.log_prob_at(x, level)
                real = torch.cat([log_p[:, :place], log_p[:, place + 1 :]], dim=1)
                return real.logsumexp(dim=1) - log_p[:, place], log_p

            gradient, _ = input_gradient(log_ratio, x_t)
            return prediction.guided_to(
                Prediction.from_eps(x_t, level, prediction.eps - strength * level.sigma * gradient)
            )

        return guided
