"""How strongly a guidance term counts at each noise level, as a factor on Bayes' weight sigma_t."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from cgd_lightning.diffusion.level import CLEAN, Level
from cgd_lightning.diffusion.schedules import Linear, NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.values import Value

LINEAR = Linear()


class Weight(Value, ABC):
    """A factor over the noise levels: 1 everywhere is Bayes' rule."""

    @abstractmethod
    def __call__(self, level: Level) -> float:
        """The factor at `level`, at least 0; at 0 the term is off and asks no network."""


@dataclass(frozen=True)
class Constant(Weight):
    """1 at every level: eps~ = eps - s sigma_t grad log p(y | x_t).

    Dhariwal and Nichol 2021 (arXiv:2105.05233), algorithm 2.
    """

    def __call__(self, level: Level) -> float:
        return 1.0


CONSTANT = Constant()


@dataclass(frozen=True)
class SqrtBeta(Weight):
    """The tutorial's weight: the factor sqrt(beta_t) / sigma_t.

    So eps~ = eps - s sqrt(beta_t) grad log p(y | x_t). beta_t is the variance that one step of
    `schedule` adds, at equal signal-to-noise ratio. On the linear one the factor is between 0.099
    and 0.20 at 95% of the timesteps, so that a scale of 5 is about Bayes' 0.6.

    Args:
        schedule: noise schedule whose beta_t it is; Linear() if none is given.
    """

    schedule: NoiseSchedule | None = None

    def __call__(self, level: Level) -> float:
        schedule = self.schedule or LINEAR
        t = schedule.timestep(level.log_snr)
        own = schedule.level(t)
        before = schedule.level(t - 1) if t >= 1 else CLEAN
        return math.sqrt(1 - (own.alpha / before.alpha * before.sigma / own.sigma) ** 2)


@dataclass(frozen=True)
class Interval(Weight):
    """Guidance in a limited interval of the noise: 1 where low <= log SNR < high, 0 outside.

    Kynkaanniemi et al. 2024 (arXiv:2404.07724), there in sigma: log SNR = -2 log(sigma / alpha).

    Args:
        low: log(alpha^2 / sigma^2) of the noisiest level that is guided.
        high: log(alpha^2 / sigma^2) at which guidance ends.
    """

    low: float = -4.0
    high: float = 4.0

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)

    def __call__(self, level: Level) -> float:
        return float(self.low <= level.log_snr < self.high)


@dataclass(frozen=True)
class Ramp(Weight):
    """A factor that goes straight in log SNR from one value to another.

    Args:
        low: log(alpha^2 / sigma^2) up to which, from the noisy side, the factor is `start`.
        high: log(alpha^2 / sigma^2) from which on the factor is `end`.
        start: factor at the noisy end, at least 0.
        end: factor at the clean end, at least 0.
    """

    low: float = -4.0
    high: float = 4.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)
        if min(self.start, self.end) < 0:
            raise InputError(f"start {self.start}, end {self.end}: a factor is at least 0")

    def __call__(self, level: Level) -> float:
        part = (min(max(level.log_snr, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def check_interval(low: float, high: float) -> None:
    """Raises InputError unless low < high, both finite."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"low {low}, high {high}: an empty interval of log SNR; wanted low < high, as -4 and 4"
        )


def check_weight(on: bool, weight: Weight, levels: Sequence[Level]) -> None:
    """Raises InputError if a term is on and its weight is 0 at all `levels` of a walk."""
    asked = [level for level in levels if level.t is not None]
    if on and not any(weight(level) for level in asked):
        raise InputError(
            f"{type(weight).__name__}: 0 at all {len(asked)} levels of the walk, whose log SNR "
            f"goes from {asked[0].log_snr:.3g} to {asked[-1].log_snr:.3g}; wanted an interval with "
            "some of them in it"
        )
