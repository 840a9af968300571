"""Watch the numbers: curves.png in the folder of a run, drawn anew after a validation.

Losses and the other measures in training and held out, by quartile of t, and what is seen in guided
samples: a panel for each of which there are numbers. They are those of metrics.csv, of all parts of
a run that was stopped and gone on with.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, LightningModule, Trainer

from cgd_lightning.errors import one_line
from cgd_lightning.evaluation import figures
from cgd_lightning.evaluation.estimate import Estimate, share
from cgd_lightning.training.history import History
from cgd_lightning.training.metrics_file import RunCSVLogger
from cgd_lightning.training.notices import Notices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RARELY = 20
"""No picture is begun before so many times the time has passed that the last one took."""

QUARTILES = ("least noise", "2nd quarter of t", "3rd quarter of t", "most noise")

SEEN_BY = {"guided": "by the judge", "self_judged": "by the guide itself"}
"""What the measures of guided samples are called, and who measured them."""

TITLES = {"loss": "loss", "accuracy": "accuracy", "vlb": "variational bound, bits per dimension"}
"""Of the measures of the trainings."""

Panel = Callable[["Axes"], None]


class Curves(Callback):
    """Draws curves.png beside the metrics.csv of a run.

    It takes at most about 1 / `RARELY` of the time: where validations are closer, some have no
    picture; the end of the training always has. A run without a metrics.csv has none. What goes
    wrong is said once, and the training goes on.
    """

    def __init__(self) -> None:
        self.notices = Notices("curves")
        self.next = -float("inf")
        self.late = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self.late = time.perf_counter() < self.next
        if not self.late:
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.late:
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        logs = [logger for logger in trainer.loggers if isinstance(logger, RunCSVLogger)]
        if not logs or not trainer.is_global_zero:
            return
        begin = time.perf_counter()
        try:
            write(logs[0].history, logs[0].file.with_name("curves.png"))
        except Exception as error:  # of a library, or a full disk: no reason to lose a training
            self.notices.once(f"no picture: {one_line(error) or type(error).__name__}", trainer)
        end = time.perf_counter()
        self.next = end + RARELY * (end - begin)


def write(history: History, path: Path) -> None:
    """Draw what is known of a run into the PNG file `path`; nothing if there is nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's, of numbers that it cannot show well
        figure = draw(history)
        if figure is not None:
            figures.save(figure, path)


def draw(history: History) -> "Figure | None":
    """A figure with a panel for each thing of which there are numbers; None if there are none."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    wanted = list(_panels(history))
    if not wanted:
        return None
    figure, axes = figures.panels(len(wanted), columns=2 if len(wanted) in (2, 4) else 3)
    ends = [series.points[-1][0] for series in history.series.values() if series.points]
    for panel, each in zip(wanted, axes, strict=True):
        each.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        each.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        each.set_xlim(0, 1.03 * max(1.0, *ends))
        panel(each)
    return figure


def _panels(history: History) -> Iterator[Panel]:
    for measure in TITLES:
        if history.points(f"train/{measure}") or history.points(f"val/{measure}"):
            yield partial(_both, history, measure)
        if any(history.points(f"val/{measure}_q{q}") for q in range(len(QUARTILES))):
            yield partial(_by_quartile, history, measure)
        # In three columns those of guided samples come below one another.
        sampled = {"loss": "fid_lite", "accuracy": "accuracy"}.get(measure)
        for eyes in SEEN_BY if sampled else ():
            if history.points(f"{eyes}/{sampled}"):
                yield partial(_fid if sampled == "fid_lite" else _recognised, history, eyes)


def _both(history: History, measure: str, axes: "Axes") -> None:
    """A measure in training, thin, and held out."""
    training, held_out = history.points(f"train/{measure}"), history.points(f"val/{measure}")
    if training:
        figures.curve(axes, *_split(training), label="training", color=figures.PALETTE[5])
    if held_out:
        figures.curve(axes, *_split(held_out), label="held out", color=figures.PALETTE[0])
    _scale(axes, measure, training + held_out)
    figures.caption(axes, TITLES[measure], "step")


def _by_quartile(history: History, measure: str, axes: "Axes") -> None:
    """A held-out measure at the timesteps of each quarter."""
    everything = []
    for q, label in enumerate(QUARTILES):
        if points := history.points(f"val/{measure}_q{q}"):
            figures.curve(axes, *_split(points), label=label, color=figures.PALETTE[q])
            everything += points
    _scale(axes, measure, everything)
    figures.caption(axes, f"{TITLES[measure]}, held out, by noise level", "step")


def _fid(history: History, eyes: str, axes: "Axes") -> None:
    """FID-lite of guided samples, and of as many real images."""
    found, real = (history.points(f"{eyes}/{name}") for name in ("fid_lite", "fid_lite_real"))
    figures.curve(axes, *_split(found), label="guided samples")
    if len({value for _, value in real}) == 1:
        figures.level(axes, real[0][1], "real images")
    elif real:
        figures.curve(axes, *_split(real), label="real images", color=figures.GREY, dashed=True)
    _scale(axes, "fid_lite", found + real)
    figures.caption(axes, f"FID-lite{_count(history, eyes)}, {SEEN_BY[eyes]}", "step")


def _recognised(history: History, eyes: str, axes: "Axes") -> None:
    """The share of guided samples that show what was asked, with Wilson's interval of 95%."""
    points, counts = history.points(f"{eyes}/accuracy"), dict(history.points(f"{eyes}/n"))
    low, high = [], []
    for step, value in points:
        n = round(counts.get(step, 0))
        known = share(value * n, n) if n > 0 else Estimate(value)
        low.append(value if known.low is None else known.low)
        high.append(value if known.high is None else known.high)
    figures.curve(axes, *_split(points), low=low, high=high, label="with its 95% interval")
    _scale(axes, "accuracy", points)
    figures.caption(axes, f"accuracy{_count(history, eyes)}, {SEEN_BY[eyes]}", "step")


def _count(history: History, eyes: str) -> str:
    counts = history.points(f"{eyes}/n")
    return f" of {counts[-1][1]:.0f} guided samples" if counts else " of guided samples"


def _split(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The steps and the values of points."""
    return [step for step, _ in points], [value for _, value in points]


def _scale(axes: "Axes", measure: str, points: list[tuple[float, float]]) -> None:
    """A share from 0 to 1; all else, where it is positive, by its logarithm."""
    if measure == "accuracy":
        axes.set_ylim(0, 1.02)
    elif all(value > 0 for _, value in points):
        figures.logarithmic(axes)
