"""What a sweep found: its points, the choice among them, and what to say of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.choice import Choice, choose_among
from cgd_lightning.evaluation.measured import Measured
from cgd_lightning.evaluation.report import named
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.sweep import Variant

APART = (
    "the settings ask for other noise, labels or numbers of samples, so that none of them is "
    "chosen before the others"
)


@dataclass(frozen=True)
class Point:
    """One point of a sweep: its variant, request and targets, its folder, and what was measured."""

    variant: Variant
    request: Request
    targets: Sequence[Target]
    folder: Path
    measured: Measured

    @property
    def scale(self) -> float:
        """Of its guidance."""
        return self.measured.scale

    @property
    def row(self) -> dict[str, Any]:
        """Its settings, scale, n, and each number with its interval, called with its n."""
        n = self.measured.n
        row: dict[str, Any] = {**self.variant.settings, "scale": self.scale, "n": n}
        for name, estimate in self.measured.estimates.items():
            row[named(name, n)] = estimate.value
            row[named(f"{name}_low", n)] = estimate.low
            row[named(f"{name}_high", n)] = estimate.high
        return row


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found. points: variant by variant, by rising scale.

    choices: of each variant, in the order of the points. notes: what a reader of the distances must
    know. real: as many real training images, measured in the same way, where they were given and
    all points can be compared. measured_by: by which features and against which images, with their
    hashes.
    """

    points: tuple[Point, ...]
    choices: tuple[Choice, ...]
    notes: tuple[str, ...] = ()
    real: Measured | None = None
    measured_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def variants(self) -> list[list[Point]]:
        """The points of each variant."""
        size = len(self.points) // len(self.choices)
        return [list(self.points[i : i + size]) for i in range(0, len(self.points), size)]

    @property
    def comparable(self) -> bool:
        """Whether all points have the same noise and labels."""
        return all(p.variant.pairs_with(self.points[0].variant) for p in self.points)

    @property
    def chosen(self) -> Point | None:
        """The best of all points; None if they have not the same noise and labels."""
        if not self.comparable:
            return None
        return min(self.points, key=lambda point: point.measured.distance.value)

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row a point."""
        return [point.row for point in self.points]

    @property
    def advice(self) -> tuple[str, ...]:
        """What to choose, why, how sure it is, and what guidance makes worse, a line each."""
        if len(self.choices) == 1:
            return (f"choose {self.choices[0].sure}", *self.choices[0].lines[1:], *self.notes)
        lines = [APART]
        if self.comparable:
            called = [f"{p.variant.name} scale {p.scale:g}" for p in self.points]
            lines = [f"choose {choose_among([p.measured for p in self.points], called)}"]
        for points, choice in zip(self.variants, self.choices):
            name = points[0].variant.name
            lines += [f"{name}: {line}" for line in choice.lines]
        return (*lines, *self.notes)
