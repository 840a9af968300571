"""Where in the noise range a classifier can guide, and with which scale to start.

With a diffusion model, a level guides where the best multiplier of the gradient is above 0 beyond
doubt, and no mere crumb of what it is elsewhere. Bayes' rule is then the scale that equals the
multiplier, and not 1: samples are wanted that are more typical than the data, and `TIMES_BAYES` is
where this package's own examples start. Without one, the classifier's temperature has to do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cgd_lightning.evaluation.diagnosis.evidence import told, usual_temperature
from cgd_lightning.evaluation.diagnosis.measure import LevelReport

TIMES_BAYES = 5.0

SURE = 2.0
"""Standard errors."""

CRUMB = 0.2
"""Of the usual multiplier."""

TELLS = 0.01
"""Of the entropy of the classes: what a classifier must tell to guide, by its temperature alone."""


@dataclass(frozen=True)
class Advice:
    """Where and how strongly to start.

    first, last: the timesteps of the least noisy and of the noisiest level that guide. low, high:
    an interval of log SNR, in half units, that holds them; None at an end of the schedule where
    guidance needs no end. bayes: the scale that is Bayes' rule.
    """

    first: float
    last: float
    low: float | None
    high: float | None
    bayes: float

    @property
    def scale(self) -> float:
        """The scale to start from, of two digits."""
        return float(f"{TIMES_BAYES * self.bayes:.2g}")


def advise(reports: Sequence[LevelReport], usable: Sequence[int], nothing: float) -> Advice | None:
    """The advice for a classifier, None if it can guide nowhere.

    reports: of every level, the least noisy first. usable: places of the levels at which it is not
    blind. nothing: the entropy of the labels.
    """
    known = [reports[place] for place in usable]
    if not known:
        return None
    bayes = usual_multiplier(known)
    if bayes is None:
        bayes = 1 / usual_temperature(known, nothing)
        guides = {place for place in usable if told(reports[place], nothing) > TELLS}
        harmless = guides
    else:
        guides = {place for place in usable if _guides(reports[place], bayes)}
        harmless = {place for place in usable if _may_guide(reports[place], bayes)}
    run = _longest_run(guides, harmless)
    if bayes <= 0 or not run:
        return None
    first, last = reports[run[0]].level, reports[run[-1]].level
    return Advice(
        first.t or 0.0,
        last.t or 0.0,
        None if run[-1] == len(reports) - 1 else math.floor(2 * last.log_snr) / 2,
        None if run[0] == 0 else math.ceil(2 * first.log_snr + 1e-6) / 2,
        bayes,
    )


def usual_multiplier(reports: Sequence[LevelReport]) -> float | None:
    """The median of the multipliers that are known to a fifth, or the best known one.

    None if no level has one.
    """
    scores = [each.score for each in reports if each.score is not None]
    if not scores:
        return None
    sharp = sorted(score.multiplier for score in scores if score.significance > 5)
    if sharp:
        return sharp[len(sharp) // 2]
    return max(scores, key=lambda score: score.significance).multiplier


def _guides(found: LevelReport, bayes: float) -> bool:
    score = found.score
    return score is not None and score.significance > SURE and score.multiplier > CRUMB * bayes


def _may_guide(found: LevelReport, bayes: float) -> bool:
    """Whether nothing speaks against it: little noise leaves little gradient to tell from."""
    score = found.score
    return score is not None and score.multiplier + SURE * score.multiplier_error > CRUMB * bayes


def _longest_run(guides: set[int], harmless: set[int]) -> list[int]:
    """The longest run of neighbouring levels that may guide, of those in which some do."""
    runs: list[list[int]] = []
    for place in sorted(guides | harmless):
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return max((run for run in runs if guides & set(run)), key=len, default=[])
