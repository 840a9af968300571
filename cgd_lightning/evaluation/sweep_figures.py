"""The figures of a sweep: what a scale gives and what it takes.

fidelity.png            distance to real images against accuracy, a point a scale
precision-recall.png    the same of precision against recall
metrics.png             each metric against the scale, with its intervals
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgd_lightning.evaluation.figures import (
    GREY,
    INK,
    PALETTE,
    caption,
    curve,
    default_looks,
    level,
    logarithmic,
    panels,
    save,
)
from cgd_lightning.evaluation.measured import DISTANCE, LOWER, Measured
from cgd_lightning.evaluation.report import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

SHOWN = (
    *("accuracy", DISTANCE, "fid_lite", "fid", "kid"),
    *("precision", "recall", "density", "coverage", "mind"),
)
"""The metrics that have a panel, in this order; any others follow."""


CALLED = {
    DISTANCE: "energy distance by class",
    "fid_lite": "FID-lite",
    "fid": "FID",
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


def write_figures(folder: Path, lines: Sequence[Line], real: Measured | None = None) -> list[Path]:
    """Write the plots of all lines into `folder`, and tell their names.

    real: as many real training images, measured in the same way. A plot whose metrics were not
    measured is left out.
    """
    names = lines[0].points[0].estimates.keys()
    written = []
    if "accuracy" in names:
        figure, (axes,) = panels(1, width=5.2, height=4.0)
        _trade(axes, lines, "accuracy", DISTANCE, real)
        _spread_the_good(axes, lines)
        caption(axes, "Fidelity against accuracy", "accuracy", _called(DISTANCE, lines))
        save(figure, folder / "fidelity.png")
        written.append(folder / "fidelity.png")
    if {"precision", "recall"} <= names:
        figure, (axes,) = panels(1, width=5.2, height=4.0)
        _trade(axes, lines, "recall", "precision", real)
        caption(axes, "Precision against recall", "recall: variety", "precision: fidelity")
        save(figure, folder / "precision-recall.png")
        written.append(folder / "precision-recall.png")
    _metrics(folder / "metrics.png", lines, list(names), real)
    return [*written, folder / "metrics.png"]


def _trade(axes: "Axes", lines: Sequence[Line], x: str, y: str, real: Measured | None) -> None:
    """One metric over another, along rising scale, each point with its scale beside it."""
    for number, line in enumerate(lines):
        color = PALETTE[number % len(PALETTE)]
        across, up = line.values(x), line.values(y)
        curve(axes, across, up, label=line.name, color=color)
        with default_looks():
            axes.plot(
                across[line.best],
                up[line.best],
                "o",
                markersize=11,
                fillstyle="none",
                color=color,
                label="chosen" if number == len(lines) - 1 else "",
            )
            for point, place in zip(line.points, zip(across, up)):
                axes.annotate(
                    f"{point.scale:g}",
                    place,
                    xytext=(5, 6 if number % 2 == 0 else -12),
                    textcoords="offset points",
                    fontsize=8.5,
                    color=color if len(lines) > 1 else INK,
                )
    if real is not None and {x, y} <= real.estimates.keys():
        with default_looks():
            axes.plot(
                real.estimates[x].value,
                real.estimates[y].value,
                "*",
                color=GREY,
                markersize=11,
                label="real training images",
            )
    axes.margins(0.1)


def _spread_the_good(axes: "Axes", lines: Sequence[Line]) -> None:
    """Give room to accuracies near 1 and to small distances, where the good scales crowd."""
    accuracies = [value for line in lines for value in line.values("accuracy")]
    distances = [value for line in lines for value in line.values(DISTANCE)]
    with default_looks():
        if min(distances) > 0:
            axes.set_yscale("log")
        if min(accuracies) > 0 and max(accuracies) < 1:
            axes.set_xscale("logit")
            ticks = (0.01, 0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
            low, high = min(accuracies), max(accuracies)
            shown = [x for x in ticks if low / 2 < x < 1 - (1 - high) / 2]
            axes.set_xticks(shown, [f"{x:.3g}" for x in shown])
            axes.minorticks_off()


def _metrics(
    path: Path, lines: Sequence[Line], names: Sequence[str], real: Measured | None
) -> None:
    """A panel a metric, over the scale."""
    ordered = [*(n for n in SHOWN if n in names), *(n for n in names if n not in SHOWN)]
    figure, made = panels(len(ordered))
    for axes, name in zip(made, ordered, strict=True):
        for number, line in enumerate(lines):
            scales = [point.scale for point in line.points]
            ends = [(e.low, e.high) for e in (p.estimates[name] for p in line.points)]
            known = all(None not in pair for pair in ends)
            curve(
                axes,
                scales,
                line.values(name),
                [low for low, _ in ends if low is not None] if known else None,
                [high for _, high in ends if high is not None] if known else None,
                label=line.name,
                color=PALETTE[number % len(PALETTE)],
            )
        if real is not None and name in real.estimates:
            level(axes, real.estimates[name].value, "real training images")
        every = [value for line in lines for value in line.values(name)]
        if name in LOWER and 0 < 10 * min(every) < max(every):
            logarithmic(axes)
        _along_scales(axes, [point.scale for point in lines[0].points])
        caption(axes, _called(name, lines), "scale")
        legend = axes.get_legend()
        if axes is not made[0] and legend is not None:  # the first panel's tells it
            legend.remove()
    save(figure, path)


def _along_scales(axes: "Axes", scales: Sequence[float]) -> None:
    """Give small and large scales their room, and a tick each."""
    with default_looks():
        axes.set_xscale("function", functions=(_root, _square))
        axes.set_xticks(scales, [f"{scale:g}" for scale in scales])
        axes.minorticks_off()


def _root(x: "ndarray") -> "ndarray":
    import numpy as np

    return np.sqrt(np.maximum(x, 0))


def _square(x: "ndarray") -> "ndarray":
    return x**2


def _called(name: str, lines: Sequence[Line]) -> str:
    """How a metric is called: as its field does, with its n where all points have the same."""
    counts = {point.n for line in lines for point in line.points}
    title = CALLED.get(name, name)
    return named(title, *counts) if len(counts) == 1 else title
