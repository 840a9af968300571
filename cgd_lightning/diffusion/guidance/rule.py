"""A guidance rule turns one `Denoise` into another, so that every sampler takes every rule.

Rules are configured without data and bound per batch. There are three kinds. Terms add to the
score: a classifier's gradient, the difference of two predictions. Weights scale a term by noise
level or by image. Limiters compare the guided prediction with the one before guidance. Rules nest:
`Chain` wraps one around the other, the first innermost, and terms in a chain add up.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.schedules import Level

Guide: TypeAlias = NoisyClassifier | CleanClassifier

Read: TypeAlias = Callable[[str], Any]
"""path -> the model in that checkpoint."""


class Rule(ABC):
    """What changes a prediction on its way from the denoiser to the sampler."""

    @property
    def guides(self) -> frozenset[type[Guide]]:
        """The kinds of classifier that `bind` must be given; none where the rule is off or has its
        own.
        """
        return frozenset()

    def load(self, read: Read) -> None:  # noqa: B027  (most rules name no files)
        """Put in place of every path among the settings the model that `read` finds there."""

    def check(self, levels: Sequence[Level]) -> None:  # noqa: B027  (only terms can miss all levels)
        """Raises InputError if the rule is on and does nothing at any of `levels`."""

    @abstractmethod
    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        """The guided `Denoise` of a batch; a rule that is off returns `denoise` itself.

        labels: the class of each image, (B,) int64, or weights w >= 0 of the classes, (B, K) float,
        for the target sum_k w_k p(k | x_t).
        """


class Chain(Rule):
    """Several rules, the first innermost, each seeing what the ones before it made of the
    prediction.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    @property
    def guides(self) -> frozenset[type[Guide]]:
        return frozenset().union(*(rule.guides for rule in self.rules))

    def load(self, read: Read) -> None:
        for rule in self.rules:
            rule.load(read)

    def check(self, levels: Sequence[Level]) -> None:
        for rule in self.rules:
            rule.check(levels)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        for rule in self.rules:
            denoise = rule.bind(denoise, classifier, labels)
        return denoise
