"""Faults of the gradient: too long, of no use, or none of the classifier's own."""

from collections.abc import Sequence
from statistics import median

from cgd_lightning.evaluation.diagnosis.evidence import (
    Evidence,
    Fault,
    told,
    usual_temperature,
)
from cgd_lightning.evaluation.diagnosis.measure import LevelReport

TOO_SURE = 2.2
"""The temperature from which on a classifier is overconfident."""

ADVERSARIAL = 0.2
"""Of what its temperature allows: the least multiplier of a gradient that fits the data."""

NO_SLOPE = 0.1
"""The error of finite differences that neither rounding nor kinks explain."""


def overconfident(reports: Sequence[LevelReport], nothing: float) -> Fault | None:
    """Of a classifier whose temperature is high wherever it knows something.

    reports: of the levels at which it is not blind. nothing: the `entropy` of the labels.
    """
    temperature = usual_temperature(reports, nothing)
    if temperature < TOO_SURE:
        return None
    worst = max(reports, key=lambda each: each.found.ece)
    return Fault(
        "overconfident",
        f"it is too sure of itself by a factor of {temperature:.2g}: its cross-entropy is least at "
        f"that temperature, and its calibration error at t = {worst.level.t:.0f} is "
        f"{worst.found.ece:.2f}; its gradient is too long by this factor: divide its logits, or "
        "--scale, by it, or train it with more data or less long",
    )


def adversarial(reports: Sequence[LevelReport], nothing: float) -> Fault | None:
    """Of a classifier that is right while its gradient has nothing to do with the data.

    reports, nothing: as of `overconfident`.
    """
    judged = [
        each for each in reports if each.score is not None and 0.1 < told(each, nothing) < 0.9
    ]
    if not judged:
        return None
    multiplier = median(each.score.multiplier for each in judged if each.score is not None)
    if multiplier * max(1.0, usual_temperature(reports, nothing)) > ADVERSARIAL:
        return None
    return Fault(
        "adversarial gradients",
        f"its gradient does not point where the data are: from t = {judged[0].level.t:.0f} to "
        f"{judged[-1].level.t:.0f} it recognises {judged[0].found.accuracy:.0%} to "
        f"{judged[-1].found.accuracy:.0%} of the images, but the factor on its gradient that fits "
        f"their scores best is {multiplier:.2g}; train it on noisy images, or smooth the "
        "network",
    )


def no_slope(evidence: Evidence) -> Fault | None:
    """Of a gradient that is not the slope of log p(y | x_t)."""
    error = median(evidence.differences)
    if error < NO_SLOPE:
        return None
    return Fault(
        "not its gradient",
        f"its gradient is not the slope of its log p: finite differences are off by {error:.0%}; "
        "it may draw random numbers, as dropout does, or cut the gradient inside",
    )
