"""The curve of a sweep of edits: how many become what they should against how much is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.evaluation.figures import (
    GREY,
    INK,
    PALETTE,
    caption,
    curve,
    default_looks,
    level,
    panels,
    points,
    save,
)
from cgd_lightning.evaluation.trade import ring, write_beside


@dataclass(frozen=True)
class EditLine:
    """What was measured along rising scale, and the name of the line.

    l1: median distance to the originals, in grey levels. best: the place of the scale that was
    named; None where none of this line was.
    """

    name: str
    scales: Sequence[float]
    l1: Sequence[float]
    flips: Sequence[Estimate]
    best: int | None = None


def write_curve(
    path: Path, lines: Sequence[EditLine], count: int, goal: float, half: float | None = None
) -> None:
    """Write the picture of flips over the median L1, a line each, its scales beside the points.

    count: of the images. goal: the share of flips that is wanted. half: half the distance between
    the classes, in grey levels.
    """
    figure, (axes,) = panels(1, width=6.4, height=4.4)
    for number, line in enumerate(lines):
        color = PALETTE[number % len(PALETTE)]
        across, up = line.l1, [share.value for share in line.flips]
        curve(axes, across, up, label=line.name, color=color)
        low = [share.value if share.low is None else share.low for share in line.flips]
        high = [share.value if share.high is None else share.high for share in line.flips]
        points(axes, across, up, low, high, color=color)
        words = [exact(scale) for scale in line.scales]
        write_beside(axes, across, up, words, color if len(lines) > 1 else INK, number % 2 == 0)
        if line.best is not None:
            called = "chosen" if up[line.best] >= goal else "most flips"
            ring(axes, across[line.best], up[line.best], color, called)
    level(axes, goal, f"goal: {100 * goal:.4g}%")
    if half is not None:
        with default_looks():
            label = "half of that between the classes"
            axes.axvline(half, color=GREY, linestyle=":", linewidth=1.2, label=label)
    axes.margins(0.08)
    axes.set_ylim(-0.03, 1.06)
    caption(
        axes,
        f"Edits of {count:,} images, by scale",
        "median L1 to the original, in grey levels",
        "flips: share that shows what was asked, says the judge",
    )
    save(figure, path)
