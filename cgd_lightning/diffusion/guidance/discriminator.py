"""Discriminator guidance: towards the data, away from what a noise predictor draws instead.

    eps~ = eps - s sigma_t grad [log p(real | x_t) - log p(generated | x_t)]

Where images of both kinds are equally frequent, p(real | x_t) / p(generated | x_t) of the exact
classifier is q(x_t) / p(x_t), of the data and of what the noise predictor draws: at s = 1 its score
becomes that of the data. Kim et al. 2023 (arXiv:2211.17091), section 4. Other proportions change
the ratio by a constant, and no gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier, check_statistics
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.classifier import input_gradient
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.guidance.weights import CONSTANT, Weight, check_weight
from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class DiscriminatorGuidance(Rule):
    """Guidance by a classifier of noisy images that knows which ones the noise predictor made.

        eps~ = eps - scale * weight(level) * sigma_t * grad [log p(real) - log p(generated)]

    Whatever class is asked for, it corrects the noise predictor; in a list it stands before the
    rule that asks for the class. Outside the noise levels that the classifier was trained on, and
    where x_t is noise alone, the term is 0.

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
    generated: str = "generated"
    weight: Weight | None = None

    def __post_init__(self) -> None:
        if isinstance(self.discriminator, NoisyClassifier):
            self._place(self.discriminator, "this classifier")

    def with_models(self, models: Mapping[str, Any]) -> Rule:
        name = self.discriminator
        model = models.get(name) if isinstance(name, str) else None
        if model is not None and not isinstance(model, str):
            if not isinstance(model, NoisyClassifier):
                raise InputError(
                    f"discriminator {name}: no classifier of noisy images; wanted one that was "
                    "trained with --data WithGenerated"
                )
            self._place(model, f"discriminator {name}")
        return super().with_models(models)

    @property
    def models(self) -> tuple[str, ...]:
        return super().models if self.scale else ()

    @property
    def reads_labels(self) -> bool:
        return False

    def check(self, levels: Sequence[Level]) -> None:
        check_weight(self.scale != 0, self.weight or CONSTANT, levels)

    def _place(self, model: NoisyClassifier, what: str) -> int:
        """The place of the class of generated images; InputError if there is none."""
        names = model.class_names
        if self.generated not in names or len(names) < 2:
            raise InputError(
                f"{what}: knows {', '.join(names)}; wanted a class {self.generated!r} among "
                "others, as --data WithGenerated gives it"
            )
        return names.index(self.generated)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if self.scale == 0:
            return denoise
        model = self.discriminator
        if not isinstance(model, NoisyClassifier):
            raise InputError(
                f"discriminator {model}: not loaded; put it in by with_models(), or give the "
                "classifier itself"
            )
        check_statistics(model)
        place, weight = self._place(model, "this classifier"), self.weight or CONSTANT

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
