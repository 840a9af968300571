"""What a sweep of edits found: its points, and which of them to take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from torch import Tensor

from cgd_lightning.evaluation.edit_measure import EditReport
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.sampling.edit_sweep import settings_of
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.sweep import Variant


@dataclass(frozen=True, eq=False)
class EditPoint:
    """One point: its variant, scale and request, its folder, and what was measured.

    flips: by the judge. shown: a few of its edited images, uint8 (n, C, H, W), the same ones at
    every point.
    """

    variant: Variant
    scale: float
    request: Request
    folder: Path
    report: EditReport
    flips: Estimate
    shown: Tensor = field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """What tells its line from the others; the strength is always among it."""
        return settings_of(self.variant)

    @property
    def line(self) -> str:
        """How its line is called: strength 0.5."""
        return ", ".join(f"{name} {value}" for name, value in self.settings.items())

    @property
    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            **self.settings,
            "scale": self.scale,
            **self.report.to_plain(),
            "folder": str(self.folder),
            "request": self.request.to_plain(),
        }


@dataclass(frozen=True, eq=False)
class EditSweepResult:
    """What a sweep of edits found. points: variant by variant, by rising scale.

    goal: the share of flips that was wanted. apart: median L1 between random images of the classes
    before and after, in grey levels; None where nobody knows them. shown, called: a few originals,
    uint8 (n, C, H, W), and what becomes of each. measured_by: by which judge, with its hash.
    """

    points: tuple[EditPoint, ...]
    goal: float
    apart: float | None
    shown: Tensor = field(repr=False)
    called: tuple[str, ...] = ()
    measured_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[list[EditPoint]]:
        """The points of each variant."""
        return [list(points) for _, points in groupby(self.points, lambda p: id(p.variant))]

    @property
    def reached(self) -> bool:
        """Whether a point reaches the goal."""
        return any(point.flips.value >= self.goal for point in self.points)

    @property
    def chosen(self) -> EditPoint:
        """The closest of the points that reach the goal; if none does, that with most flips."""
        if not self.reached:
            return min(self.points, key=lambda p: (-p.flips.value, p.report.l1_median))
        enough = [point for point in self.points if point.flips.value >= self.goal]
        return min(enough, key=lambda p: (p.report.l1_median, -p.flips.value))

    @property
    def half(self) -> float | None:
        """Half the distance between the classes, in grey levels."""
        return None if self.apart is None else self.apart / 2

    @property
    def advice(self) -> tuple[str, ...]:
        """Which point, why, and what to ask next, a line each."""
        best = self.chosen
        said, goal = best.report, f"{100 * self.goal:.4g}%"
        where = f"{best.line}, scale {exact(best.scale)}"
        what = f"{best.flips:.1%} flips at a median L1 of {said.l1_median:.1f} grey levels"
        lines = [f"choose {where}: {what}, the closest that reaches {goal}"]
        if not self.reached:
            lines = [
                f"none reaches {goal} flips; most has {where}: {what}",
                "ask for larger --scales, or a larger --strength",
            ]
        if self.half is not None:
            place = "within" if said.l1_median <= self.half else "beyond"
            lines.append(
                f"that is {place} half the median L1 between images of the classes before and "
                f"after, {self.half:.1f}"
            )
        return tuple(lines)
