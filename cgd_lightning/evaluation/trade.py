"""One metric of a sweep over another, a point a scale."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cgd_lightning.evaluation.figures import GREY, INK, PALETTE, curve, default_looks
from cgd_lightning.evaluation.measured import DISTANCE, Measured
from cgd_lightning.evaluation.sweep_line import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def trade(axes: "Axes", lines: Sequence[Line], x: str, y: str, real: Measured | None) -> None:
    """One metric over another, along rising scale, each point with its scale beside it."""
    for number, line in enumerate(lines):
        color = PALETTE[number % len(PALETTE)]
        across = [_place(x, point) for point in line.points]
        up = [_place(y, point) for point in line.points]
        curve(axes, across, up, label=line.name, color=color)
        chosen = "chosen" if number == len(lines) - 1 else ""
        ring(axes, across[line.best], up[line.best], color, chosen)
        beside = color if len(lines) > 1 else INK
        scales = [f"{point.scale:g}" for point in line.points]
        write_beside(axes, across, up, scales, beside, above=number % 2 == 0)
    if real is not None and {x, y} <= real.estimates.keys():
        with default_looks():
            axes.plot(
                _place(x, real),
                _place(y, real),
                "*",
                color=GREY,
                markersize=11,
                label="real training images",
            )
    axes.margins(0.1)


def ring(axes: "Axes", x: float, y: float, color: str, label: str = "") -> None:
    """Draw a ring around a point, as around the one that is chosen."""
    with default_looks():
        axes.plot(x, y, "o", markersize=11, fillstyle="none", color=color, label=label)


def write_beside(
    axes: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    words: Sequence[str],
    color: str,
    above: bool = True,
) -> None:
    """Write a word beside each of (n,) points, above it or below."""
    with default_looks():
        for word, place in zip(words, zip(x, y), strict=True):
            axes.annotate(
                word,
                place,
                xytext=(5, 6 if above else -12),
                textcoords="offset points",
                fontsize=8.5,
                color=color,
            )


def spread_the_good(axes: "Axes", points: Sequence[Measured]) -> None:
    """Give room to accuracies near 1 and to small distances, where the good scales crowd."""
    known = [point for point in points if "accuracy" in point.estimates]
    odds = [math.log(x / (1 - x)) for x in (_inside(point) for point in known)]
    with default_looks():
        if min(point.estimates[DISTANCE].value for point in points) > 0:
            axes.set_yscale("log")
        axes.set_xscale("logit")
        room = 0.5 + 0.1 * (max(odds) - min(odds))
        low, high = (1 / (1 + math.exp(-x)) for x in (min(odds) - room, max(odds) + room))
        shown = [x for x in (0.01, 0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999) if low < x < high]
        axes.set_xticks(shown, [f"{x:.3g}" for x in shown])
        axes.minorticks_off()
        axes.set_xlim(low, high)


def _place(name: str, point: Measured) -> float:
    return _inside(point) if name == "accuracy" else point.estimates[name].value


def _inside(point: Measured) -> float:
    """Its accuracy; of none and of all images half an image more, and less."""
    half = 0.5 / point.n
    return min(max(point.estimates["accuracy"].value, half), 1 - half)
