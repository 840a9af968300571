"""Figures in the style of this project: panels of curves, written as PNG files.

They are matplotlib's objects, drawn in memory without a window. matplotlib is imported when a
figure is made and not before, and nobody's settings decide how it looks: a file `matplotlibrc` in
the current folder is read by matplotlib and unheeded here, and the settings of a notebook are left
as they are.

Colours are those of Okabe and Ito 2008 that show on white, which colour-blind readers tell apart.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cgd_lightning.files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""The colours of curves, in their order."""

INK, GREY, GRID = "#333333", "#777777", "#e4e4e4"
"""Of words and axes, of what a curve is compared with, and of the grid."""

MARKED = 30
"""A curve of at most so many points shows each of them."""

DPI = 110
"""Pixels an inch: a panel of 4 by 3 inches has 440 by 330, with letters 14 pixels high."""

LOOKS = (
    *("agg", "axes", "figure", "font", "grid", "image", "legend", "lines", "markers", "mathtext"),
    *("patch", "path", "savefig", "text", "xtick", "ytick"),
)
"""Those settings of matplotlib that decide how a picture looks, by their first word."""


def panels(
    count: int, columns: int = 3, width: float = 4.0, height: float = 3.0
) -> "tuple[Figure, list[Axes]]":
    """A figure and its `count` empty panels, row by row with at most so many columns.

    width, height: of one panel, in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(1, min(count, columns))
    rows = max(1, -(-count // columns))
    with default_looks():
        figure = Figure((columns * width, rows * height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        made = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
        for axes in made:
            _clear_out(axes)
    return figure, made


def _clear_out(axes: "Axes") -> None:
    """Two thin spines, a light grid below the curves, our colours in turn."""
    axes.set_prop_cycle(color=PALETTE)
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=GREY, linewidth=0.8)
    axes.tick_params(which="both", color=GREY, labelcolor=INK, labelsize=8.5, width=0.8)


def curve(
    axes: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    label: str = "",
    color: str | None = None,
    dashed: bool = False,
) -> None:
    """Draw `y` over `x`, (n,) each, and a shade from `low` to `high` where both are given.

    label: for the legend. color: the next one of the palette if none is given.
    """
    with default_looks():
        (line,) = axes.plot(
            x,
            y,
            "--" if dashed else "-",
            label=label,
            color=color,
            linewidth=1.6,
            marker="o" if len(x) <= MARKED else "",
            markersize=3.5,
        )
        if low is not None and high is not None:
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.18, linewidth=0)


def points(
    axes: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    label: str = "",
    color: str | None = None,
) -> None:
    """Draw (n,) separate points, and a bar from `low` to `high` where both are given."""
    with default_looks():
        bars = None
        if low is not None and high is not None:
            bars = [
                [max(0.0, middle - least) for middle, least in zip(y, low, strict=True)],
                [max(0.0, most - middle) for middle, most in zip(y, high, strict=True)],
            ]
        axes.errorbar(
            x, y, bars, fmt="o", label=label, color=color, markersize=5, capsize=3, elinewidth=1.2
        )


def level(axes: "Axes", value: float, label: str = "") -> None:
    """Draw a dashed grey line at the height `value`, with which curves are compared."""
    with default_looks():
        axes.axhline(value, color=GREY, linestyle="--", linewidth=1.2, label=label)


def caption(axes: "Axes", title: str, x: str = "", y: str = "") -> None:
    """Write the title and what the axes are, and a legend if something drawn here has a label."""
    with default_looks():
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        axes.set_xlabel(x, fontsize=9, color=INK)
        axes.set_ylabel(y, fontsize=9, color=INK)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8.5, labelcolor=INK, frameon=True, framealpha=0.8, edgecolor=GRID)


def logarithmic(axes: "Axes") -> None:
    """Give the height a logarithmic scale with plain numbers: 0.2, not 2 x 10^-1.

    It comes after the curves: how far they reach decides how many numbers stand there.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    with default_looks():
        axes.set_yscale("log")
        least, most = axes.get_ylim()
        numbers = (1, 1.5, 2, 3, 5, 7) if most < 10 * least else (1, 2, 5)
        axes.yaxis.set_major_locator(LogLocator(subs=numbers if most < 2000 * least else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        axes.yaxis.set_minor_locator(NullLocator())


def save(figure: "Figure", path: str | Path) -> None:
    """Write the PNG file `path`, whole or not at all.

    Equal figures give equal bytes: neither a date nor a version stands in it.
    """
    from matplotlib.text import Text

    with default_looks(), whole(path) as unfinished:
        for text in figure.findobj(Text):
            text.set_usetex(False)  # else settings found in a folder could start TeX
        figure.savefig(unfinished, format="png", dpi=DPI, metadata={"Software": None})


@contextmanager
def default_looks() -> "Iterator[None]":
    """In this block matplotlib's own defaults decide how things look; then what stood there does.

    Matplotlib takes a text's font when the text is made, and a tick's when it is drawn.
    """
    import matplotlib

    defaults = matplotlib.rcParamsDefault
    with matplotlib.rc_context({k: v for k, v in defaults.items() if k.split(".")[0] in LOOKS}):
        yield
