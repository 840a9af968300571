"""What was measured, as text: a line a metric, samples beside as many real images."""

from collections.abc import Iterator, Mapping

from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.report import Report

SHARES = ("accuracy",)
"""Told in per cent."""


def table(
    samples: Report, real: Report | None = None, called: str = "real training images"
) -> list[str]:
    """Lines: each metric of `samples`, by the name that tells its n, beside that of `real`.

    called: what images `real` is of.
    """
    heads = ["", f"samples (n = {samples.n})"]
    if real is not None:
        heads.append(f"{called} (n = {real.n})")
    rows = [heads]
    for name, estimate in samples.estimates.items():
        own = [samples.named(name), told(name, estimate)]
        if real is not None:
            own.append(told(name, real.estimates[name]) if name in real.estimates else "")
        rows.append(own)
    return aligned(rows)


CLASS_LETTERS = 40
"""At most so much of a class's name stands in a table."""


def class_table(by_class: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines: each class, its n, and its numbers."""
    names = list(dict.fromkeys(name for numbers in by_class.values() for name in numbers))
    rows = [["class", *names]]
    for label, numbers in by_class.items():
        cells = [_number(name, numbers[name]) if name in numbers else "" for name in names]
        shown = "".join(c if c.isprintable() else "_" for c in label)
        short = shown if len(shown) <= CLASS_LETTERS else f"{shown[: CLASS_LETTERS - 3]}..."
        rows.append([short, *cells])
    return aligned(rows)


def told(name: str, estimate: Estimate) -> str:
    """The number and its 95% interval, where one is known."""
    ends = (estimate.low, estimate.high)
    value = _number(name, estimate.value)
    low, high = (None if end is None else _number(name, end) for end in ends)
    return value if low is None or high is None else f"{value} [{low}, {high}]"


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name in SHARES else f"{value:.4g}"


def aligned(rows: list[list[str]]) -> list[str]:
    """Lines: each of `rows`, its cells below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: list[str], widths: list[int]) -> Iterator[str]:
    return (cell.ljust(width) for cell, width in zip(row, widths))
