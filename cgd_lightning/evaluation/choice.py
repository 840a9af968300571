"""Which of several scales of guidance to use, how sure that is, and what guidance makes worse.

The best scale is the one whose samples lie nearest to real images of the classes that they were
asked for (`by_class`). For an unconditional noise predictor and the true classifier that is scale
1, Bayes' rule; for networks as they are it is where fidelity and variety are together most like
those of the real images.

All scales share noise and labels, so their differences are much surer than their values. A scale is
as good as the best unless another one is nearer beyond the error, by Student's t, its level shared
out among all comparisons (Bonferroni): with 95% the scale that is truly the best of those asked is
among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cgd_lightning.evaluation.by_class import ByClass, error
from cgd_lightning.evaluation.choice_words import listed, next_of, sure, warnings, why
from cgd_lightning.evaluation.estimate import student
from cgd_lightning.evaluation.jackknife import BLOCKS
from cgd_lightning.evaluation.measured import Measured


@dataclass(frozen=True)
class Choice:
    """The best of the scales asked, those that are `as_good`, and what to say of it.

    best, as_good: places among the scales. sure: how sure the choice is. why: what speaks for it.
    warnings: what guidance makes worse than none, and what to ask next.
    """

    best: int
    as_good: tuple[int, ...]
    sure: str
    why: str
    warnings: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it, a line each."""
        return self.sure, self.why, *self.warnings


def choose(points: Sequence[Measured]) -> Choice:
    """The choice among `points`, which share noise and labels, by rising scale, 0 among them."""
    best, as_good = nearest([point.distance for point in points])
    return Choice(
        best,
        as_good,
        sure(points, best, as_good),
        why(points, best),
        (*warnings(points, critical(len(points) - 1)), *next_of(points, best)),
    )


def choose_among(points: Sequence[Measured], called: Sequence[str]) -> str:
    """The best of all `points`, which share noise and labels, and those that are as good.

    called: how each is called.
    """
    best, as_good = nearest([point.distance for point in points])
    others = [called[place] for place in as_good if place != best]
    n = points[best].n
    if not others:
        return f"{called[best]} (at 95% better than all others, with {n:,} samples)"
    shown = others[:5] + ([f"{len(others) - 5} more"] if len(others) > 5 else [])
    return f"{called[best]} (cannot be told apart with {n:,} samples from {listed(shown)})"


def nearest(distances: Sequence[ByClass]) -> tuple[int, tuple[int, ...]]:
    """The place of the least distance, and the places of those that are as good as it."""
    best = min(range(len(distances)), key=lambda place: distances[place].value)
    bound = critical(len(distances) - 1)

    def beaten(one: ByClass) -> bool:
        return any(
            one.value - other.value > bound * error(one, other)
            for other in distances
            if other is not one
        )

    return best, tuple(
        place for place, one in enumerate(distances) if place == best or not beaten(one)
    )


def critical(comparisons: int, degrees: int = BLOCKS - 1) -> float:
    """How many errors a difference must have to be sure at 95%, in so many comparisons, one-sided.

    Of a difference of paired samples the error is well known, so that it has all B - 1 degrees.
    """
    return student(degrees, 1 - 0.05 / max(1, comparisons))
