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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from cgd_lightning.evaluation.by_class import ByClass, error
from cgd_lightning.evaluation.estimate import Estimate, student
from cgd_lightning.evaluation.jackknife import BLOCKS

DISTANCE = "energy_by_class"
"""How the distance that decides is called."""

HIGHER = ("accuracy", "precision", "recall", "density", "coverage")
"""Of these, more is better."""

LOWER = (DISTANCE, "fid_lite", "fid", "kid", "mind")
"""Of these, less is better."""


@dataclass(frozen=True)
class Measured:
    """What was measured of `n` samples at one scale.

    estimates: by name, with their intervals; the distance to real images is one of them. distance:
    the same, as it is compared with that at other scales.
    """

    n: int
    scale: float
    estimates: Mapping[str, Estimate]
    distance: ByClass


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
        _sure(points, best, as_good),
        _why(points, best),
        (*_warnings(points), *_next(points, best)),
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
    return f"{called[best]} (cannot be told apart with {n:,} samples from {_listed(shown)})"


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


def _sure(points: Sequence[Measured], best: int, as_good: Sequence[int]) -> str:
    scales, n = [point.scale for point in points], points[best].n
    first = f"scale {scales[best]:g}"
    if len(as_good) == 1:
        return f"{first} (at 95% better than the other scales asked, with {n:,} samples)"
    whole = list(as_good) == list(range(as_good[0], as_good[-1] + 1))
    if whole and len(as_good) > 2:
        among = f"between {scales[as_good[0]]:g} and {scales[as_good[-1]]:g}"
    else:
        among = _listed([f"{scales[place]:g}" for place in as_good])
    return f"{first} ({among} cannot be told apart with {n:,} samples)"


def _why(points: Sequence[Measured], best: int) -> str:
    """What is measured at the best scale, beside the unguided samples and its neighbours."""
    unguided = [place for place, point in enumerate(points) if point.scale == 0]
    near = [place for place in (best - 1, best + 1) if 0 <= place < len(points)]
    beside = sorted({*unguided, *near} - {best})
    names = [
        name
        for name in (DISTANCE, "accuracy", "fid_lite", "fid", "recall")
        if all(name in points[place].estimates for place in (best, *beside))
    ]
    parts = []
    for name in names:
        others = ", ".join(
            f"{shown(name, points[p].estimates[name].value)} at {points[p].scale:g}" for p in beside
        )
        mine = shown(name, points[best].estimates[name].value)
        parts.append(f"{name} {mine}" + (f" ({others})" if others else ""))
    return "its samples are the nearest to real images of their classes: " + "; ".join(parts)


def shown(name: str, value: float) -> str:
    """A number as a person reads it."""
    return f"{value:.1%}" if name == "accuracy" else f"{value:.3g}"


def _warnings(points: Sequence[Measured]) -> list[str]:
    """What is worse with guidance than without, beyond the error, a line for each metric."""
    unguided = next((point for point in points if point.scale == 0), None)
    guided = [point for point in points if point.scale != 0]
    if unguided is None:
        return []
    bound = critical(len(guided))
    said = []
    for name in (*HIGHER, *LOWER):
        worse = [point for point in guided if _worse(name, point, unguided, bound)]
        if worse:
            where = _listed(
                [f"{shown(name, p.estimates[name].value)} at scale {p.scale:g}" for p in worse]
            )
            without = shown(name, unguided.estimates[name].value)
            said.append(f"warning: {name} is worse than without guidance ({without}): {where}")
    return said


def _worse(name: str, point: Measured, unguided: Measured, bound: float) -> bool:
    if name not in point.estimates or name not in unguided.estimates:
        return False
    mine, theirs = point.estimates[name], unguided.estimates[name]
    by = theirs.value - mine.value if name in HIGHER else mine.value - theirs.value
    if name == DISTANCE:
        return by > bound * error(point.distance, unguided.distance)
    errors = [_error(mine), _error(theirs)]
    if None in errors:
        return False
    # Not less than the error of the difference: what shares its noise varies together.
    return by > bound * sum(e * e for e in errors if e is not None) ** 0.5


def _error(estimate: Estimate) -> float | None:
    """The standard error, also of an estimate that has an interval alone."""
    if estimate.error is not None or estimate.low is None or estimate.high is None:
        return estimate.error
    return (estimate.high - estimate.low) / (2 * NormalDist().inv_cdf(0.975))


def _next(points: Sequence[Measured], best: int) -> list[str]:
    """What to ask next."""
    scales = [point.scale for point in points]
    if len(scales) > 1 and best == len(scales) - 1:
        return [
            f"the best lies at the end of the scales asked: ask for larger ones, as "
            f"{scales[-2]:g},{scales[-1]:g},{2 * scales[-1]:g},{4 * scales[-1]:g}"
        ]
    if scales[best] == 0:
        return [
            "guidance is no help at these scales: ask for smaller ones, or train the classifier "
            "longer"
        ]
    return []


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]
