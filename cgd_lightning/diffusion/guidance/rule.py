"""A guidance rule turns one `Denoise` into another, so that every sampler takes every rule.

Rules are configured without data and bound per batch. They nest: `Chain` wraps one around the other, the first innermost.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise


class Rule(ABC):
    """What changes a prediction on its way from the denoiser to the sampler."""

    @property
    def needs_classifier(self) -> bool:
        """Whether `bind` must be given a classifier."""
        return False

    @abstractmethod
    def bind(self, denoise: Denoise, classifier: NoisyClassifier | None, labels: Tensor) -> Denoise:
        """The guided `Denoise` of a batch; a rule that is off returns `denoise` itself.

        labels: the class of each image, (B,) int64, or weights w >= 0 of the classes, (B, K) float, for the target sum_k w_k p(k | x_t).
        """


class Chain(Rule):
    """Several rules, the first innermost, each seeing what the ones before it made of the prediction."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    @property
    def needs_classifier(self) -> bool:
        return any(rule.needs_classifier for rule in self.rules)

    def bind(self, denoise: Denoise, classifier: NoisyClassifier | None, labels: Tensor) -> Denoise:
        for rule in self.rules:
            denoise = rule.bind(denoise, classifier, labels)
        return denoise
