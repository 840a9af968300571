"""The noise level at which a classifier is worth least.

It gains there least, in cross-entropy, over what costs nothing: the class means alone, or knowing
only how frequent the classes are, whichever does better.
"""

from collections.abc import Sequence

from cgd_lightning.evaluation.diagnosis.measure import LevelReport

VISIBLE = 0.01
"""Of the entropy of the classes: where nobody tells more, there is nothing to see."""


def weakest(reports: Sequence[LevelReport], nothing: float) -> LevelReport:
    """The level of least gain, of those at which there is something to see.

    reports: of every level. nothing: the entropy of the classes, in nats.
    """
    seeing = [
        each
        for each in reports
        if min(each.baseline.tempered, each.found.tempered) < (1 - VISIBLE) * nothing
    ]
    return min(seeing or reports, key=lambda each: gain(each, nothing))


def gain(found: LevelReport, nothing: float) -> float:
    """By how many nats it beats what costs nothing; below 0 where it does worse.

    The class means are at their best temperature, the classifier is as it is, since so it guides.
    """
    return min(found.baseline.tempered, nothing) - found.found.cross_entropy


def weakest_in_words(found: LevelReport, nothing: float) -> str:
    """What a classifier is worth at its weakest level `found`."""
    mine, means = found.found, found.baseline
    verb = "gains least over" if gain(found, nothing) > 0 else "does no better than"
    rival, accuracy = "guessing by how frequent the classes are", ""
    if means.tempered < nothing:
        rival = "the class means alone"
        accuracy = f"accuracy {mine.accuracy:.1%} against {means.accuracy:.1%}, "
    return (
        f"its weakest noise level is t = {found.level.t or 0:.0f}, where it {verb} {rival} "
        f"({accuracy}cross-entropy {mine.cross_entropy:.3f} against "
        f"{min(means.tempered, nothing):.3f})"
    )
