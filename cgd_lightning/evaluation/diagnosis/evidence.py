"""What faults are told from, and what a fault is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor, nn

from cgd_lightning.evaluation.diagnosis.measure import LevelReport, Seen, report

KNOWS = 0.1
"""Of the entropy of the classes: where a classifier tells more, it can be too sure of itself."""


@dataclass(frozen=True)
class Fault:
    """What is wrong: a word for it, and a sentence that says what, how it shows and what to do."""

    kind: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """All that was measured.

    seen: of every level, the least noisy first, of images with the classes `labels` (N,). tellings:
    log p (levels, n, K) of the first n images, by the way of telling the level; the classifier's
    own is called "". differences: the errors of finite differences at every level.
    """

    seen: Sequence[Seen] = field(repr=False)
    labels: Tensor = field(repr=False)
    tellings: Mapping[str, Tensor] = field(repr=False)
    differences: Sequence[float]
    network: nn.Module = field(repr=False)
    class_names: tuple[str, ...]

    def reports(self, but: Sequence[int] = ()) -> list[LevelReport]:
        """The numbers of every level, of the images of all classes `but` some."""
        return [report(seen, self.labels, self.without(but)) for seen in self.seen]

    def without(self, classes: Sequence[int]) -> Tensor:
        """Which images are of other classes, (N,) booleans."""
        return ~torch.isin(self.labels, torch.tensor(classes, dtype=torch.int64))

    def named(self, classes: Sequence[int]) -> str:
        """The names of `classes`, of the first ten."""
        names = ", ".join(self.class_names[k] for k in classes[:10])
        return names + (f" and {len(classes) - 10} more" if len(classes) > 10 else "")


def entropy(labels: Tensor) -> float:
    """Of the shares of the classes in `labels`, in nats.

    It is the cross-entropy of a classifier that knows the shares and nothing else.
    """
    shares = torch.bincount(labels).double() / len(labels)
    return -(shares * shares.log()).nan_to_num().sum().item()


def told(found: LevelReport, nothing: float) -> float:
    """What the classifier tells of the classes, once its temperature is right.

    From 0, nothing, to 1, everything. nothing: the `entropy` of the labels.
    """
    return 1 - found.found.tempered / nothing


def usual_temperature(reports: Sequence[LevelReport], nothing: float) -> float:
    """The median temperature of the levels at which the classifier knows something; 1 if none."""
    fitted = [each.found.temperature for each in reports if told(each, nothing) > KNOWS]
    return median(fitted) if fitted else 1.0
