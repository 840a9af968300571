"""The figures of a sweep: what a scale gives and what it takes.

fidelity.png            distance to real images against accuracy, a point a scale
precision-recall.png    the same of precision against recall
metrics.png             each metric against the scale, with its intervals
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cgd_lightning.evaluation.figures import (
    PALETTE,
    caption,
    curve,
    default_looks,
    level,
    logarithmic,
    panels,
    save,
)
from cgd_lightning.evaluation.measured import DISTANCE, FRECHET, LOWER, Measured
from cgd_lightning.evaluation.sweep_line import Line, called
from cgd_lightning.evaluation.trade import spread_the_good, trade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

SHOWN = (
    *("accuracy", DISTANCE, *FRECHET, "kid"),
    *("precision", "recall", "density", "coverage", "mind"),
)
"""The metrics that have a panel, in this order; any others follow."""


def write_figures(folder: Path, lines: Sequence[Line], real: Measured | None = None) -> list[Path]:
    """Write the plots of all lines into `folder`, and tell their names.

    real: as many real training images, measured in the same way. A plot whose metrics were not
    measured is left out.
    """
    names = lines[0].points[0].estimates.keys()
    written = []
    if "accuracy" in names:
        figure, (axes,) = panels(1, width=5.2, height=4.0)
        trade(axes, lines, "accuracy", DISTANCE, real)
        every = [point for line in lines for point in line.points]
        spread_the_good(axes, [*every, *([] if real is None else [real])])
        caption(axes, "Fidelity against accuracy", "accuracy", called(DISTANCE, lines))
        save(figure, folder / "fidelity.png")
        written.append(folder / "fidelity.png")
    if {"precision", "recall"} <= names:
        figure, (axes,) = panels(1, width=5.2, height=4.0)
        trade(axes, lines, "recall", "precision", real)
        caption(axes, "Precision against recall", "recall: variety", "precision: fidelity")
        save(figure, folder / "precision-recall.png")
        written.append(folder / "precision-recall.png")
    _metrics(folder / "metrics.png", lines, list(names), real)
    return [*written, folder / "metrics.png"]


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
        caption(axes, called(name, lines), "scale")
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
