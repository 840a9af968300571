"""Several classifiers at once, each with a say of its own: x is A *and* B.

    eps~ = eps - s_A sigma_t grad log p(A | x_t) - s_B sigma_t grad log p(B | x_t)

At unit scales the score of p(x_t | A, B), where A and B are independent given x_t. Liu et al. 2022
(arXiv:2206.01714).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.targets import as_labels, parse_target
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class Attribute(Rule):
    """`rule` with a classifier and a target of its own; in a chain it adds to what else guides.

    Args:
        rule: a rule that asks a classifier, as ClassifierGuidance.
        classifier: run or file of the classifier; in Python the classifier itself as well.
        label: what all images shall be to it, as in 3, smiling, 3|7, !3 (`diffusion.targets`).
    """

    named = ("classifier",)

    rule: Rule
    classifier: str | Guide
    label: str | int

    def __post_init__(self) -> None:
        on = self.rule if self.rule.strength is None else self.rule.scaled(1.0)
        if not on.guides:
            raise InputError(
                f"Attribute: {type(self.rule).__name__} asks no classifier; wanted a rule that "
                "does, as ClassifierGuidance"
            )
        vars(self)["label"] = str(self.label)
        if not isinstance(self.classifier, str):
            self._target(self.classifier)

    def with_models(self, models: Mapping[str, Any]) -> Rule:
        model = models.get(self.classifier) if isinstance(self.classifier, str) else None
        if model is not None and not isinstance(model, str | NoisyClassifier | CleanClassifier):
            raise InputError(
                f"{self.classifier}: a diffusion model, and Attribute wants a classifier"
            )
        return super().with_models(models)

    @property
    def models(self) -> tuple[str, ...]:
        return super().models if self.rule.guides else self.rule.models

    @property
    def guides(self) -> frozenset[type[Guide]]:
        """None: it has its own classifier."""
        return frozenset()

    @property
    def reads_labels(self) -> bool:
        return not self.rule.guides and self.rule.reads_labels

    def _target(self, classifier: Guide) -> Tensor:
        names = classifier.class_names
        return as_labels(
            [parse_target(str(self.label), names, classifier.class_shares)], len(names)
        )

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if not self.rule.guides:
            return self.rule.bind(denoise, None, labels)
        if isinstance(self.classifier, str):
            raise InputError(
                f"classifier {self.classifier}: not loaded; put it in by with_models(), or give "
                "the classifier itself"
            )
        own = self._target(self.classifier).to(labels.device)
        return self.rule.bind(denoise, self.classifier, own.expand(len(labels), *own.shape[1:]))
