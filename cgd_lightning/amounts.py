"""Times and sizes as they are told: in two digits or a few, in the unit that fits."""

import math

DAY = 86400.0

UNITS = (
    ("ms", 1e-3, 0.1),
    ("s", 1.0, 100.0),
    ("min", 60.0, 6000.0),
    ("h", 3600.0, 2 * DAY),
    ("days", DAY, math.inf),
)
"""(name, seconds, below how many seconds a duration is told in it)."""

SIZES = (("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12))
"""(name, bytes)."""


def duration(seconds: float) -> str:
    """`seconds` in words: 12 ms, 0.41 s, 30 min, 1.7 h, 6.2 days."""
    name, size = next((name, size) for name, size, most in UNITS if seconds < most)
    return f"{_digits(seconds / size)} {name}"


def size(count: float) -> str:
    """`count` bytes in words: 0.52 kB, 31 MB, 9.8 GB."""
    name, unit = next((each for each in SIZES if count < 995 * each[1]), SIZES[-1])
    return f"{_digits(count / unit)} {name}"


def _digits(number: float) -> str:
    return f"{number:.2g}" if number < 9.95 else f"{number:,.0f}"
