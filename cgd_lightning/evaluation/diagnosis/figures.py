"""The pictures of a diagnosis, all against noise level: one file with a panel for each question."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgd_lightning.evaluation.diagnosis.measure import LevelReport
from cgd_lightning.evaluation.diagnosis.report import Diagnosis
from cgd_lightning.files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MINE, MEANS, LINE, SHADE = "#1f5fa8", "#d1702a", "#888888", "#e3efe0"


def draw(diagnosis: Diagnosis) -> "Figure":
    """A figure of nine panels; the levels that can guide are shaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 11), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 3).flatten().tolist()
    panels = (_accuracy, _cross_entropy, _calibration, _temperature)
    for axis, panel in zip(axes, (*panels, _multiplier, _skill, _length, _smoothness, _noise)):
        panel(axis, diagnosis)
        _finish(axis, diagnosis)
    faults = "; ".join(fault.kind for fault in diagnosis.faults) or "no fault"
    figure.suptitle(f"{diagnosis.verdict[0].split('. ')[0]}\n{faults}", fontsize=11)
    return figure


def save(diagnosis: Diagnosis, path: str | Path) -> None:
    """Write the figure to the PNG file `path`, whole or not at all."""
    figure = draw(diagnosis)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110)


def _finish(axis: "Axes", diagnosis: Diagnosis) -> None:
    """The timestep below, log SNR above, and the shade."""
    levels = [found.level for found in diagnosis.levels]
    axis.set_xlim(levels[0].t or 0, levels[-1].t)
    axis.set_xlabel("timestep t")
    above = axis.secondary_xaxis("top")
    some = levels[:: max(1, len(levels) // 5)]
    above.set_xticks([level.t or 0 for level in some], [_short(level.log_snr) for level in some])
    above.tick_params(labelsize=8)
    above.set_xlabel("log SNR", fontsize=8)
    if diagnosis.advice is not None:
        axis.axvspan(diagnosis.advice.first, diagnosis.advice.last, color=SHADE, zorder=0)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=8, loc="best")


def _short(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "-inf"


def _times(found: Sequence[LevelReport]) -> list[float]:
    return [each.level.t or 0.0 for each in found]


def _accuracy(axis: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    axis.plot(
        _times(found),
        [each.found.accuracy for each in found],
        "o-",
        color=MINE,
        label="this classifier",
    )
    axis.plot(
        _times(found),
        [each.baseline.accuracy for each in found],
        "--",
        color=MEANS,
        label="class means",
    )
    axis.axhline(1 / len(diagnosis.class_names), color=LINE, linestyle=":", label="chance")
    axis.set_ylim(0, 1.02)
    axis.set_title("accuracy")


def _cross_entropy(axis: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    t = _times(found)
    axis.plot(
        t, [each.found.cross_entropy for each in found], "o-", color=MINE, label="this classifier"
    )
    axis.plot(
        t,
        [each.found.tempered for each in found],
        "-",
        color=MINE,
        alpha=0.4,
        label="at its best temperature",
    )
    axis.plot(
        t,
        [each.baseline.tempered for each in found],
        "--",
        color=MEANS,
        label="class means, at theirs",
    )
    axis.axhline(diagnosis.entropy, color=LINE, linestyle=":", label="knowing nothing")
    axis.set_ylim(bottom=0)
    axis.set_title("cross-entropy, nats")


def _calibration(axis: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    axis.plot(_times(found), [each.found.ece for each in found], "o-", color=MINE)
    axis.set_ylim(bottom=0)
    axis.set_title("calibration error (ECE)")


def _temperature(axis: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    axis.plot(_times(found), [each.found.temperature for each in found], "o-", color=MINE)
    axis.axhline(1, color=LINE, linestyle=":", label="calibrated")
    _ratios(axis)
    axis.set_title("best temperature (above 1: too sure)")


def _ratios(axis: "Axes") -> None:
    """A logarithmic axis from 0.2 to 50, with plain numbers."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axis.set_yscale("log")
    axis.set_ylim(0.2, 60)
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())
    ticks = [0.2, 0.5, 1, 2, 5, 10, 20, 50]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def _told(diagnosis: Diagnosis) -> list[LevelReport]:
    return [each for each in diagnosis.levels if each.score is not None]


def _multiplier(axis: "Axes", diagnosis: Diagnosis) -> None:
    found: list[Any] = _told(diagnosis)
    axis.errorbar(
        _times(found),
        [each.score.multiplier for each in found],
        [2 * each.score.multiplier_error for each in found],
        fmt="o-",
        color=MINE,
        capsize=2,
        label="two standard errors",
    )
    axis.axhline(1, color=LINE, linestyle=":", label="a perfect classifier")
    axis.set_ylim(-0.5, 2.5)
    axis.set_title("best multiplier of the gradient")
    _say_if_missing(axis, found)


def _skill(axis: "Axes", diagnosis: Diagnosis) -> None:
    found: list[Any] = _told(diagnosis)
    t = _times(found)
    axis.plot(t, [each.score.skill for each in found], "o-", color=MINE, label="at scale 1")
    best = [each.score.multiplier**2 * each.score.power for each in found]
    axis.plot(t, best, "-", color=MINE, alpha=0.4, label="at the best multiplier")
    axis.axhline(0, color=LINE, linestyle=":", label="no guidance")
    axis.set_title("what the gradient explains of the score")
    top = max([*best, 0.01])
    axis.set_ylim(-1.5 * top, 1.3 * top)
    _say_if_missing(axis, found)


def _length(axis: "Axes", diagnosis: Diagnosis) -> None:
    found, path = diagnosis.levels, diagnosis.path
    axis.plot(
        _times(found), [each.gradient for each in found], "o-", color=MINE, label="noisy images"
    )
    if path:
        axis.plot(
            [each.t for each in path],
            [each.length for each in path],
            "--",
            color=MEANS,
            label="sampling paths",
        )
    axis.set_yscale("log")
    axis.set_title("length of sigma grad log p(y | x_t)")


def _smoothness(axis: "Axes", diagnosis: Diagnosis) -> None:
    path = diagnosis.path
    t = [each.t for each in path]
    axis.plot(t, [each.turn for each in path], "o-", color=MINE, label="over a tenth of the noise")
    axis.plot(t, [each.step for each in path], "--", color=MEANS, label="from step to step")
    axis.set_title("turn of the gradient on paths, 1 - cos")
    axis.set_ylim(bottom=0)
    _say_if_missing(axis, path)


def _noise(axis: "Axes", diagnosis: Diagnosis) -> None:
    found: list[Any] = _told(diagnosis)
    axis.plot(_times(found), [each.score.noise_error for each in found], "o-", color=MINE)
    axis.set_title("loss of the diffusion model (eps)")
    if found:
        axis.set_yscale("log")
    _say_if_missing(axis, found)


def _say_if_missing(axis: "Axes", found: Sequence[object]) -> None:
    if not found:
        axis.text(0.5, 0.5, "no diffusion model told", ha="center", transform=axis.transAxes)
