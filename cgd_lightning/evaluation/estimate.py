"""A number that was estimated from n images, with the interval that is right for it."""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

from scipy.special import stdtrit

FEWEST_DEGREES = 4
"""Of a variance from so little that its degrees of freedom are hardly known."""


@dataclass(frozen=True)
class Estimate:
    """A number, and the ends of its 95% interval where one is known.

    The interval is for what the number is on average over samples of this size, with the reference
    fixed; for KID, which does not depend on the size, for its value in the population. error: the
    standard error, where the interval was made of one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    error: float | None = None

    def __float__(self) -> float:
        return self.value

    def __format__(self, spec: str) -> str:
        text = format(self.value, spec)
        if self.low is None or self.high is None:
            return text
        return f"{text} [{format(self.low, spec)}, {format(self.high, spec)}]"

    def to_plain(self) -> dict[str, float]:
        """The numbers that are known, by name, as a JSON holds them."""
        known = {"value": self.value, "low": self.low, "high": self.high, "error": self.error}
        return {name: number for name, number in known.items() if number is not None}


def about(value: float, error: float, degrees: float, least: float = -math.inf) -> Estimate:
    """`value` +- Student's t quantile of so many `degrees` of freedom times its standard `error`.

    least: the number is never below it.
    """
    half = student(degrees) * error
    return Estimate(value, max(least, value - half), value + half, error)


def student(degrees: float, level: float = 0.975) -> float:
    """A quantile of Student's t."""
    return float(stdtrit(degrees, level))


def share(hits: float, n: float, quantile: float = NormalDist().inv_cdf(0.975)) -> Estimate:
    """A share `hits` / `n` of independent images, with Wilson's interval (1927), for any share.

    quantile: how many standard errors the interval reaches.
    """
    z, p = quantile, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding must not put the value itself outside.
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def share_of_variance(value: float, variance: float, degrees: float, most: int) -> Estimate:
    """A share with a `variance` of so many degrees of freedom, and an interval within 0 and 1.

    It is Wilson's, as of so many independent images that a share of them varies as much; of `most`
    where nothing varies.
    """
    varies = variance > 0 and 0 < value < 1
    n = value * (1 - value) / variance if varies else most
    found = share(value * n, n, student(max(FEWEST_DEGREES, degrees)))
    return replace(found, value=value, error=variance**0.5)
