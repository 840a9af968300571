"""Several classifiers at once, each with a say of its own: x is A *and* B.

    eps~ = eps - s_A sigma_t grad log p(A | x_t) - s_B sigma_t grad log p(B | x_t)

At unit scales the score of p(x_t | A, B), where A and B are independent given x_t. Liu et al. 2022
(arXiv:2206.01714).
"""

from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.guidance.rule import Guide, Read, Rule
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.diffusion.targets import as_labels, parse_target
from cgd_lightning.errors import InputError


class Attribute(Rule):
    """`rule` with a classifier and a target of its own; in a chain it adds to what else guides.

    classifier: path of a run or file, or the classifier itself. label: what all images shall be to
    it, as in 3, smiling, 3|7, !3 (`diffusion.targets`).
    """

    def __init__(self, rule: Rule, classifier: str | Guide, label: str | int) -> None:
        if not hasattr(rule, "needs"):
            raise InputError(
                f"Attribute: {type(rule).__name__} asks no classifier; wanted a rule that does, as "
                "ClassifierGuidance"
            )
        self.rule, self.classifier, self.label = rule, classifier, str(label)

    def load(self, read: Read) -> None:
        self.rule.load(read)
        if isinstance(self.classifier, str) and self.rule.guides:
            path, self.classifier = self.classifier, read(self.classifier)
            if not isinstance(self.classifier, NoisyClassifier | CleanClassifier):
                raise InputError(f"{path}: a diffusion model, and Attribute wants a classifier")
            self._target()

    def check(self, levels: Sequence[Level]) -> None:
        self.rule.check(levels)

    def _target(self) -> Tensor:
        assert not isinstance(self.classifier, str)
        names = self.classifier.class_names
        return as_labels(
            [parse_target(self.label, names, self.classifier.class_shares)], len(names)
        )

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        if not self.rule.guides:
            return self.rule.bind(denoise, None, labels)
        if isinstance(self.classifier, str):
            raise InputError(
                f"classifier {self.classifier}: not loaded; call load() of the rule, or give the "
                "classifier itself"
            )
        own = self._target().to(labels.device)
        return self.rule.bind(denoise, self.classifier, own.expand(len(labels), *own.shape[1:]))
