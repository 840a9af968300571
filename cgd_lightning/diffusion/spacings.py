"""Spacings: at which timesteps a walk of few steps stops on a schedule of many.

A spacing is a function (schedule, steps) -> timesteps, noisiest first, and a line in `SPACINGS`.
Beside these names stand the respacing strings of ADM (Dhariwal and Nichol 2021, arXiv:2105.05233),
which say the number of steps themselves: "250" divides all timesteps evenly, "10,15,20" takes so
many of each of three equal sections, the least noisy first, and "ddim50" every 20th of 1000.

    log_snr:  log(alpha^2 / sigma^2) in equal steps
    karras:   (sigma / alpha)^(1/7) in equal steps
"""

import math
import re
from collections.abc import Callable
from itertools import accumulate, repeat
from typing import Protocol

from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError


class Timesteps(Protocol):
    """What a spacing asks of a schedule."""

    timesteps: int

    def level(self, t: float) -> Level:
        """The noise level at timestep `t` in [0, T-1]."""

    def timestep(self, log_snr: float) -> float:
        """The t in [0, T-1] at which log(alpha^2 / sigma^2) is `log_snr`."""


Spacing = Callable[[Timesteps, int], list[float]]
"""(schedule, steps) -> that many timesteps in [0, T-1], noisiest first."""


def uniform(schedule: Timesteps, steps: int) -> list[float]:
    """t in equal steps from T-1 to 0, both included."""
    last = schedule.timesteps - 1
    return [last * (1 - part) for part in _parts(steps)]


def leading(schedule: Timesteps, steps: int) -> list[float]:
    """t = i * (T // steps): 0 is included and T-1 is not.

    DDIM and Stable Diffusion were published with it.
    """
    return [float(i * (schedule.timesteps // steps)) for i in reversed(range(steps))]


def trailing(schedule: Timesteps, steps: int) -> list[float]:
    """t = round(T - i T / steps) - 1: T-1 is included and 0 is not.

    Lin et al. 2023 (arXiv:2305.08891), section 3.3.
    """
    return [
        float(round(schedule.timesteps - i * schedule.timesteps / steps) - 1) for i in range(steps)
    ]


def log_snr(schedule: Timesteps, steps: int) -> list[float]:
    """log(alpha^2 / sigma^2) in equal steps between both ends.

    Lu et al. 2022 (arXiv:2206.00927), section 4.
    """
    low, high = _finite_ends(schedule)
    return _at_log_snr(schedule, [low + part * (high - low) for part in _parts(steps)])


def karras(schedule: Timesteps, steps: int, rho: float = 7.0) -> list[float]:
    """(sigma / alpha)^(1 / rho) in equal steps between both ends.

    Karras et al. 2022 (arXiv:2206.00364), eq. 5.
    """
    high, low = (math.exp(-end / (2 * rho)) for end in _finite_ends(schedule))
    return _at_log_snr(
        schedule, [-2 * rho * math.log(high + part * (low - high)) for part in _parts(steps)]
    )


class LeastNoisy:
    """The first `timesteps` of a schedule, its least noisy ones, as a schedule of their own."""

    def __init__(self, schedule: Timesteps, timesteps: int) -> None:
        self.schedule, self.timesteps = schedule, timesteps

    def level(self, t: float) -> Level:
        """The noise level at timestep `t`."""
        return self.schedule.level(t)

    def timestep(self, log_snr: float) -> float:
        """The t among them at which log(alpha^2 / sigma^2) is `log_snr`, held at either end."""
        return min(self.schedule.timestep(log_snr), self.timesteps - 1)


SPACINGS: dict[str, Spacing] = {
    "uniform": uniform,
    "leading": leading,
    "trailing": trailing,
    "log_snr": log_snr,
    "karras": karras,
}

_RESPACING = re.compile(r"(ddim)?(\d+)((?:,\d+)*)")


def respaced_steps(spacing: str) -> int | None:
    """The number of steps that an ADM respacing string says, None for the name of a spacing.

    Raises InputError for what is neither.
    """
    if spacing in SPACINGS:
        return None
    match = _RESPACING.fullmatch(spacing)
    if match is None or (match[1] and match[3]):
        raise InputError(
            f"spacing {spacing!r}: known spacings are {', '.join(SPACINGS)} and ADM's, like 250, "
            "ddim50 or 10,15,20"
        )
    steps = sum(map(int, spacing.removeprefix("ddim").split(",")))
    if steps < 1:
        raise InputError(f"spacing {spacing!r} takes 0 steps: wanted at least 1")
    return steps


def space(schedule: Timesteps, steps: int, spacing: str) -> list[float]:
    """`steps` timesteps of `schedule`, noisiest first.

    spacing: the name of one, or an ADM respacing string. Raises InputError if `steps` is not in 1
    ... T or not what a respacing string says, or if there is no such spacing.
    """
    respaced = respaced_steps(spacing)
    if not 1 <= steps <= schedule.timesteps:
        raise InputError(
            f"{steps} steps: this schedule can be walked in 1 to {schedule.timesteps} steps"
        )
    if respaced is None:
        return SPACINGS[spacing](schedule, steps)
    if respaced != steps:
        raise InputError(
            f"{steps} steps with spacing {spacing!r}, which says {respaced} itself: leave one of "
            "them out"
        )
    chosen = (
        _every_nth(spacing, schedule.timesteps)
        if spacing.startswith("ddim")
        else _in_sections(spacing, schedule.timesteps)
    )
    return [float(t) for t in reversed(chosen)]


def _parts(steps: int) -> list[float]:
    """0 ... 1 in equal steps; a single step stands at 0, the noisiest end."""
    return [i / max(steps - 1, 1) for i in range(steps)]


def _finite_ends(schedule: Timesteps) -> tuple[float, float]:
    """log_snr at T-1, or at T-2 where the last level is noise alone, and at 0."""
    low = schedule.level(schedule.timesteps - 1).log_snr
    return low if math.isfinite(low) else schedule.level(
        schedule.timesteps - 2
    ).log_snr, schedule.level(0).log_snr


def _at_log_snr(schedule: Timesteps, values: list[float]) -> list[float]:
    """The timesteps at these log_snr, the ends exactly.

    The first is T-1 even where that is noise alone, with no finite log_snr to space from.
    """
    return [float(schedule.timesteps - 1), *map(schedule.timestep, values[1:-1]), 0.0][
        : len(values)
    ]


def _every_nth(spacing: str, timesteps: int) -> list[int]:
    wanted = int(spacing.removeprefix("ddim"))
    for stride in range(1, timesteps):
        if len(range(0, timesteps, stride)) == wanted:
            return list(range(0, timesteps, stride))
    raise InputError(
        f"spacing {spacing!r}: no whole stride takes {wanted} of {timesteps} timesteps; try "
        f"{wanted} steps with another spacing"
    )


def _in_sections(spacing: str, timesteps: int) -> list[int]:
    counts = [int(count) for count in spacing.split(",")]
    chosen, start = [], 0
    for i, count in enumerate(counts):
        size = timesteps // len(counts) + (i < timesteps % len(counts))
        if count > size:
            raise InputError(
                f"spacing {spacing!r}: {count} steps in a section of {size} timesteps; take at "
                f"most {size}"
            )
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        # Added up, not multiplied: in ADM the rounding of ties follows from the sum.
        chosen += [
            start + round(place) for place in accumulate(repeat(stride, count), initial=0.0)
        ][:count]
        start += size
    return chosen
