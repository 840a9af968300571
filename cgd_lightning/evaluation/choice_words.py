"""What is said of a choice among scales: how sure it is, why, what is worse, what to ask next."""

from collections.abc import Sequence
from statistics import NormalDist

from cgd_lightning.evaluation.by_class import error
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.measured import DISTANCE, FRECHET, HIGHER, LOWER, Measured
from cgd_lightning.evaluation.report import named


def sure(points: Sequence[Measured], best: int, as_good: Sequence[int]) -> str:
    """Which scale, and how sure that is; `best`, `as_good` are places among `points`."""
    scales, n = [point.scale for point in points], points[best].n
    first = f"scale {scales[best]:g}" + (" or more" if _at_the_end(points, best) else "")
    if len(as_good) == 1:
        return f"{first} (at 95% better than the other scales asked, with {n:,} samples)"
    whole = list(as_good) == list(range(as_good[0], as_good[-1] + 1))
    if whole and len(as_good) > 2:
        among = f"between {scales[as_good[0]]:g} and {scales[as_good[-1]]:g}"
    else:
        among = listed([f"{scales[place]:g}" for place in as_good])
    return f"{first} ({among} cannot be told apart with {n:,} samples)"


def why(points: Sequence[Measured], best: int) -> str:
    """What is measured at the best scale, beside the unguided samples and its neighbours."""
    unguided = [place for place, point in enumerate(points) if point.scale == 0]
    near = [place for place in (best - 1, best + 1) if 0 <= place < len(points)]
    beside = sorted({*unguided, *near} - {best})
    names = [
        name
        for name in (DISTANCE, "accuracy", *FRECHET, "recall")
        if all(name in points[place].estimates for place in (best, *beside))
    ]
    parts = []
    for name in names:
        others = ", ".join(
            f"{shown(name, points[p].estimates[name].value)} at {points[p].scale:g}" for p in beside
        )
        mine = shown(name, points[best].estimates[name].value)
        parts.append(f"{named(name, points[best].n)} {mine}" + (f" ({others})" if others else ""))
    return "its samples are the nearest to real images of their classes: " + "; ".join(parts)


def shown(name: str, value: float) -> str:
    """A number as a person reads it."""
    return f"{value:.1%}" if name == "accuracy" else f"{value:.3g}"


def warnings(points: Sequence[Measured], bound: float) -> list[str]:
    """What is worse with guidance than without, by `bound` errors, a line for each metric."""
    unguided = next((point for point in points if point.scale == 0), None)
    guided = [point for point in points if point.scale != 0]
    if unguided is None:
        return []
    said = []
    for name in (*HIGHER, *LOWER):
        worse = [point for point in guided if _worse(name, point, unguided, bound)]
        if worse:
            where = listed(
                [f"{shown(name, p.estimates[name].value)} at scale {p.scale:g}" for p in worse]
            )
            without = shown(name, unguided.estimates[name].value)
            called = named(name, unguided.n)
            said.append(f"warning: {called} is worse than without guidance ({without}): {where}")
    return said


def _worse(name: str, point: Measured, unguided: Measured, bound: float) -> bool:
    if name not in point.estimates or name not in unguided.estimates:
        return False
    mine, theirs = point.estimates[name], unguided.estimates[name]
    by = theirs.value - mine.value if name in HIGHER else mine.value - theirs.value
    if name == DISTANCE:
        return by > bound * error(point.distance, unguided.distance)
    errors = [_error_of(mine), _error_of(theirs)]
    if None in errors:
        return False
    # Not less than the error of the difference: what shares its noise varies together.
    return by > bound * sum(e * e for e in errors if e is not None) ** 0.5


def _error_of(estimate: Estimate) -> float | None:
    """The standard error, also of an estimate that has an interval alone."""
    if estimate.error is not None or estimate.low is None or estimate.high is None:
        return estimate.error
    return (estimate.high - estimate.low) / (2 * NormalDist().inv_cdf(0.975))


def next_of(points: Sequence[Measured], best: int) -> list[str]:
    """What to ask next."""
    scales = [point.scale for point in points]
    if _at_the_end(points, best):
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


def _at_the_end(points: Sequence[Measured], best: int) -> bool:
    return len(points) > 1 and best == len(points) - 1


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: 1, 2 and 5."""
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]
