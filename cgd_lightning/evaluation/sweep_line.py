"""What figures draw of a sweep: lines along rising scale, and how metrics are called."""

from collections.abc import Sequence
from dataclasses import dataclass

from cgd_lightning.evaluation.measured import DISTANCE, Measured
from cgd_lightning.evaluation.report import named

CALLED = {
    DISTANCE: "energy distance by class",
    "fid_lite": "FID-lite",
    "fid": "FID",
    "fd_dinov2": "Frechet distance, DINOv2",
    "kid": "KID",
    "mind": "MIND",
    "inception_score": "inception score",
    "inception_score_lite": "inception score (lite)",
}
"""How figures call metrics, where not by their names."""


@dataclass(frozen=True)
class Line:
    """What was measured along rising scale, and the name of the line; empty for the only one.

    best: the place of the scale that was chosen.
    """

    name: str
    points: Sequence[Measured]
    best: int

    def values(self, name: str) -> list[float]:
        """A metric at every scale."""
        return [point.estimates[name].value for point in self.points]


def called(name: str, lines: Sequence[Line]) -> str:
    """How a metric is called: as its field does, with its n where all points have the same."""
    counts = {point.n for line in lines for point in line.points}
    title = CALLED.get(name, name)
    return named(title, *counts) if len(counts) == 1 else title
