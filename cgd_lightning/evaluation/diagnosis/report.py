"""A diagnosis: all numbers, what they mean in words, and both as plain data."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cgd_lightning.evaluation.diagnosis.evidence import Fault
from cgd_lightning.evaluation.diagnosis.gradients import PathGradient
from cgd_lightning.evaluation.diagnosis.measure import LevelReport
from cgd_lightning.evaluation.diagnosis.verdict import TIMES_BAYES, Advice
from cgd_lightning.evaluation.diagnosis.weakest import weakest, weakest_in_words

HEAD = (
    "     t  log SNR  accuracy  means  cross-entropy    ECE  temperature  multiplier         "
    "gradient    fit"
)

LEGEND = """\
means          accuracy of the class means alone, a classifier without training: be above it
cross-entropy  in nats; of one that knows only how frequent the classes are, {entropy:.3f}
ECE            how far its confidence is from its accuracy, on average: 0 is best
temperature    the number its logits should be divided by: 1 is best, 2 is twice too sure
multiplier     the number its gradient should be multiplied by to fit the data, with its standard
               error: 1 is best, 0 is of no use
gradient       mean length of sigma grad log p(y | x_t), what guidance at scale 1 adds to eps
fit            what guidance at scale 1 explains of the images' own scores: below 0, it harms\
"""


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a classifier.

    levels: the least noisy first. differences: the error of finite differences at each. path: along
    guided sampling, from the noise on; empty without a diffusion model. faults: the cause before
    what follows. advice: None if it can guide nowhere. notes: what could not be told. images: how
    many. entropy: of their classes, in nats.
    """

    levels: tuple[LevelReport, ...]
    differences: tuple[float, ...]
    path: tuple[PathGradient, ...]
    faults: tuple[Fault, ...]
    advice: Advice | None
    notes: tuple[str, ...]
    class_names: tuple[str, ...]
    images: int
    entropy: float

    @property
    def verdict(self) -> tuple[str, ...]:
        """Where it can guide and how to start, then what is wrong, then what could not be told."""
        return (
            _where(self.advice, self.levels),
            *(f"{fault.kind}: {fault.text}" for fault in self.faults or [self._no_fault()]),
            *(f"note: {note}" for note in self.notes),
        )

    def _no_fault(self) -> Fault:
        return Fault(
            f"no fault found with {self.images:,} images",
            weakest_in_words(weakest(self.levels, self.entropy), self.entropy),
        )

    def table(self) -> str:
        """A line a level, and below it what the columns mean."""
        legend = LEGEND.format(entropy=self.entropy)
        return "\n".join([HEAD, *map(_row, self.levels), "", legend])

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain data, as JSON takes it; what is not finite is None."""
        plain = _finite(asdict(self))
        for row, found in zip(plain["levels"], self.levels):
            row["level"] = _finite({**found.level._asdict(), "log_snr": found.level.log_snr})
        advice = None if self.advice is None else {**plain["advice"], "scale": self.advice.scale}
        return plain | {"advice": advice, "verdict": list(self.verdict)}


def _where(advice: Advice | None, levels: Sequence[LevelReport]) -> str:
    if advice is None:
        return "Cannot guide, at any noise."
    ends = [found.level for found in levels if found.level.t in (advice.first, advice.last)]
    within = ""
    if advice.low is not None or advice.high is not None:
        low, high = bounds(advice, levels)
        within = f", in the interval of log SNR from {low:g} to {high:g}"
    return (
        f"Can guide from t = {advice.first:.0f} to {advice.last:.0f} (log SNR "
        f"{ends[0].log_snr:.1f} to {ends[-1].log_snr:.1f}): start at scale {advice.scale:g}"
        f"{within}. The scale that fits the data is {advice.bayes:.2g}, where a perfect "
        f"classifier has 1; {TIMES_BAYES:g} times as much trades variety for likeness."
    )


def bounds(advice: Advice, levels: Sequence[LevelReport]) -> tuple[float, float]:
    """The interval of log SNR, (low, high), both ends finite."""
    top, bottom = levels[0].level.log_snr, levels[-1].level.log_snr
    low = math.floor(max(bottom, -1000.0)) - 1.0 if advice.low is None else advice.low
    high = math.ceil(top) + 1.0 if advice.high is None else advice.high
    return low, high


def _row(found: LevelReport) -> str:
    mine, score = found.found, found.score
    multiplier = f"{score.multiplier:.3g} +- {score.multiplier_error:.1g}" if score else "-"
    return (
        f"{found.level.t or 0:>6.0f}  {found.level.log_snr:>7.1f}  {mine.accuracy:>8.1%}  "
        f"{found.baseline.accuracy:>5.0%}  {mine.cross_entropy:>13.3f}  {mine.ece:>5.3f}  "
        f"{mine.temperature:>11.2f}  {multiplier:>15}  {found.gradient:>8.3g}"
        f"  {f'{score.skill:>+.2g}' if score else '-':>5}"
    )


def _finite(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {name: _finite(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_finite(value) for value in thing]
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing
