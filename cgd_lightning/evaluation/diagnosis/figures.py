"""The picture of a diagnosis, all against noise level: a panel for each thing that was measured.

The title of a panel says what good looks like.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cgd_lightning.evaluation import figures
from cgd_lightning.evaluation.diagnosis.measure import LevelReport
from cgd_lightning.evaluation.diagnosis.report import Diagnosis
from cgd_lightning.evaluation.diagnosis.score_fit import ScoreFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MINE, MEANS = figures.PALETTE[0], figures.PALETTE[1]
"""Of the classifier, and of what it is compared with: the class means, or another measurement."""

BEST, SHADE = figures.PALETTE[5], "#e3efe0"
"""Of the classifier made the best of, and of the levels that it can guide at."""

Panel = Callable[["Axes", Diagnosis], None]


def draw(diagnosis: Diagnosis) -> "Figure":
    """A figure of five to nine panels; the levels that the classifier can guide at are shaded."""
    wanted = _panels(diagnosis)
    figure, made = figures.panels(len(wanted), width=4.6, height=3.4)
    for place, (axes, panel) in enumerate(zip(made, wanted, strict=True)):
        _along_noise(axes, diagnosis, first=place == 0)
        panel(axes, diagnosis)
    with figures.default_looks():
        title = f"{diagnosis.verdict[0].split('. ')[0].rstrip('.')}\n{_found(diagnosis)}"
        figure.suptitle(title, fontsize=12, color=figures.INK)
    return figure


def save(diagnosis: Diagnosis, path: str | Path) -> None:
    """Write the figure to the PNG file `path`, whole or not at all."""
    figures.save(draw(diagnosis), path)


def _panels(diagnosis: Diagnosis) -> list[Panel]:
    """Those of which there are numbers."""
    wanted: list[Panel] = [_accuracy, _cross_entropy, _calibration, _temperature]
    if _scores(diagnosis):
        wanted += [_multiplier, _skill]
    wanted.append(_length)
    if diagnosis.path:
        wanted.append(_smoothness)
    return [*wanted, *([_noise] if _scores(diagnosis) else [])]


def _found(diagnosis: Diagnosis) -> str:
    kinds = "; ".join(fault.kind for fault in diagnosis.faults)
    return kinds or f"no fault found with {diagnosis.images:,} images"


def _along_noise(axes: "Axes", diagnosis: Diagnosis, first: bool) -> None:
    """The timesteps, with log SNR below each, and the shade; `first` names it."""
    levels = [found.level for found in diagnosis.levels]
    some = levels[:: -(-len(levels) // 6)]
    advice = diagnosis.advice
    with figures.default_looks():
        axes.set_xlim(levels[0].t or 0.0, levels[-1].t)
        words = [f"{level.t or 0:.0f}\n{_short(level.log_snr)}" for level in some]
        axes.set_xticks([level.t or 0.0 for level in some], words)
        if advice is not None:
            label = "can guide" if first else "_nolegend_"
            axes.axvspan(advice.first, advice.last, color=SHADE, zorder=0, label=label)


def _short(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "-inf"


def _caption(axes: "Axes", title: str, y: str = "") -> None:
    figures.caption(axes, title, "timestep t, log SNR below it", y)


def _times(found: Sequence[LevelReport]) -> list[float]:
    return [each.level.t or 0.0 for each in found]


def _accuracy(axes: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    t = _times(found)
    figures.curve(axes, t, [each.found.accuracy for each in found], None, None, "classifier", MINE)
    means = [each.baseline.accuracy for each in found]
    figures.curve(axes, t, means, None, None, "class means", MEANS, dashed=True)
    figures.level(axes, 1 / len(diagnosis.class_names), "chance")
    axes.set_ylim(0, 1.02)
    _caption(axes, "accuracy (good: above the class means)")


def _cross_entropy(axes: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    t, mine = _times(found), [each.found.cross_entropy for each in found]
    best = [each.found.tempered for each in found]
    means = [each.baseline.tempered for each in found]
    figures.curve(axes, t, best, None, None, "at best temperature", BEST)
    figures.curve(axes, t, mine, None, None, "classifier", MINE)
    figures.curve(axes, t, means, None, None, "class means", MEANS, dashed=True)
    figures.level(axes, diagnosis.entropy, "knows nothing")
    axes.set_ylim(0, min(1.1 * max(mine), 3 * diagnosis.entropy))
    _caption(axes, "cross-entropy (good: below the class means)", "nats")


def _calibration(axes: "Axes", diagnosis: Diagnosis) -> None:
    ece = [each.found.ece for each in diagnosis.levels]
    figures.curve(axes, _times(diagnosis.levels), ece, color=MINE)
    axes.set_ylim(0, max(0.2, 1.1 * max(ece)))
    _caption(axes, "calibration error, ECE (good: near 0)")


def _temperature(axes: "Axes", diagnosis: Diagnosis) -> None:
    found = diagnosis.levels
    figures.curve(axes, _times(found), [each.found.temperature for each in found], color=MINE)
    figures.level(axes, 1, "calibrated")
    axes.set_ylim(0.2, 60)
    figures.logarithmic(axes)
    _caption(axes, "best temperature (good: near 1; above: too sure)")


def _scores(diagnosis: Diagnosis) -> list[tuple[float, ScoreFit]]:
    """Timestep and fit of each level at which a diffusion model told the score."""
    return [(each.level.t or 0.0, each.score) for each in diagnosis.levels if each.score]


def _multiplier(axes: "Axes", diagnosis: Diagnosis) -> None:
    t, scores = zip(*_scores(diagnosis))
    middle = [score.multiplier for score in scores]
    low, high = (
        [score.multiplier + side * score.multiplier_error for score in scores] for side in (-2, 2)
    )
    figures.curve(axes, t, middle, low, high, "with 2 standard errors", MINE)
    figures.level(axes, 1, "perfect")
    axes.set_ylim(-0.5, 2.5)
    _caption(axes, "best multiplier of its gradient (good: near 1)")


def _skill(axes: "Axes", diagnosis: Diagnosis) -> None:
    t, scores = zip(*_scores(diagnosis))
    best = [score.multiplier**2 * score.power for score in scores]
    figures.curve(axes, t, best, None, None, "at the best multiplier", BEST)
    skill = [score.skill for score in scores]
    figures.curve(axes, t, skill, None, None, "at scale 1", MINE)
    figures.level(axes, 0, "no guidance")
    top = max([*best, 0.01])
    axes.set_ylim(-top, 1.2 * top)
    _caption(axes, "fit: what guidance explains (good: above 0)")


def _length(axes: "Axes", diagnosis: Diagnosis) -> None:
    found, path = diagnosis.levels, diagnosis.path
    label = "noisy images" if path else ""
    figures.curve(axes, _times(found), [each.gradient for each in found], label=label, color=MINE)
    if path:
        t, length = [each.t for each in path], [each.length for each in path]
        figures.curve(axes, t, length, None, None, "sampling paths", MEANS, dashed=True)
    figures.logarithmic(axes)
    _caption(axes, "length: sigma |gradient|, what scale 1 adds to eps")


def _smoothness(axes: "Axes", diagnosis: Diagnosis) -> None:
    path = diagnosis.path
    t = [each.t for each in path]
    turn, step = [each.turn for each in path], [each.step for each in path]
    figures.curve(axes, t, turn, None, None, "over a tenth of the noise", MINE)
    figures.curve(axes, t, step, None, None, "from step to step", MEANS, dashed=True)
    axes.set_ylim(bottom=0)
    _caption(axes, "turn of the gradient on paths (good: small)", "1 - cos")


def _noise(axes: "Axes", diagnosis: Diagnosis) -> None:
    t, scores = zip(*_scores(diagnosis))
    error = [score.noise_error for score in scores]
    figures.curve(axes, t, error, color=MINE)
    # At pure noise x_t is eps, which v-prediction knows to rounding.
    axes.set_ylim(max(1e-4, 0.5 * min(error)), 2 * max(error))
    figures.logarithmic(axes)
    _caption(axes, "error of the noise predictor (good: small)", "mean square of eps")
