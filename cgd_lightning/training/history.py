"""What a run logged, thinned so that it takes the same memory and time however long the run is."""

import math
from collections.abc import Mapping
from typing import Any

KEPT = ("train/", "val/", "guided/", "self_judged/")
"""What the names begin with that are kept: those of the trainings and of their guided samples."""

MOST_NAMES = 100

MOST_POINTS = 1_000
"""Of one name, an even number: from there on a point is the mean of twice as many values."""


LARGEST = 1e30
"""What is larger is no measure of anything, and sums of it may be no number."""


class Series:
    """The values of one name against steps, as at most `MOST_POINTS` + 1 points.

    A point is one value, and in a long run the mean of `each` values that were logged one after the
    other, at the mean of their steps.
    """

    def __init__(self) -> None:
        self.whole: list[tuple[float, float]] = []
        self.begun: list[tuple[float, float]] = []
        self.each = 1

    def add(self, step: float, value: float) -> None:
        """Put a value at its step, in the place of all that stands there or later.

        A run that was killed after its last checkpoint goes on from there, and logs again what came
        after it.
        """
        for points in (self.begun, self.whole):
            while points and points[-1][0] >= step:
                points.pop()
        self.begun.append((step, value))
        if len(self.begun) == self.each:
            self.whole.append(_mean(self.begun))
            self.begun = []
        if len(self.whole) == MOST_POINTS:
            pairs = zip(self.whole[::2], self.whole[1::2], strict=True)
            self.whole = [_mean(list(pair)) for pair in pairs]
            self.each *= 2

    @property
    def points(self) -> list[tuple[float, float]]:
        """(step, value), in the order of steps."""
        return [*self.whole, _mean(self.begun)] if self.begun else list(self.whole)


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    if len(points) == 1:
        return points[0]
    step, value = (math.fsum(numbers) / len(points) for numbers in zip(*points))
    return step, value


class History:
    """A `Series` for each name that is kept: rows of numbers as they are logged or stand in a file.

    What is no number up to `LARGEST` is left out, and so is a row whose step is none.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    def add(self, values: Mapping[str, Any], step: Any) -> None:
        """Add the values that were logged at a step."""
        at = _number(step)
        if at is None:
            return
        for name, value in values.items():
            number = _number(value) if wanted(name) else None
            if number is None or (name not in self.series and len(self.series) >= MOST_NAMES):
                continue
            self.series.setdefault(name, Series()).add(at, number)

    def points(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a name, in the order of steps; none if it was not logged."""
        return self.series[name].points if name in self.series else []


def wanted(name: Any) -> bool:
    """Whether values of this name are kept."""
    return isinstance(name, str) and name.startswith(KEPT)


def _number(value: Any) -> float | None:
    """`value` as a float, if it is a number or the text of one, and not beyond `LARGEST`."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST else None  # neither is NaN
