"""How strongly a guidance term counts at each noise level, as a factor on Bayes' weight sigma_t."""

import math
from abc import ABC, abstractmethod

from cgd_lightning.diffusion.schedules import Level, Linear, NoiseSchedule
from cgd_lightning.errors import InputError


class Weight(ABC):
    """A factor over the noise levels: 1 everywhere is Bayes' rule."""

    @abstractmethod
    def __call__(self, level: Level) -> float:
        """The factor at `level`, at least 0; at 0 the term is off and asks no network."""


class Constant(Weight):
    """1 at every level: eps~ = eps - s sigma_t grad log p(y | x_t). Dhariwal and Nichol 2021 (arXiv:2105.05233), algorithm 2."""

    def __call__(self, level: Level) -> float:
        return 1.0


class SqrtBeta(Weight):
    """The tutorial's weight, eps~ = eps - s sqrt(beta_t) grad log p(y | x_t): the factor is sqrt(beta_t) / sigma_t.

    beta_t is the variance of one step of `schedule`, Linear() if none is given, met at equal signal-to-noise ratio. On the linear one the
    factor is between 0.099 and 0.20 at 95% of the timesteps, so that a scale of 5 is about Bayes' 0.6.
    """

    def __init__(self, schedule: NoiseSchedule | None = None) -> None:
        self.schedule = schedule or Linear()

    def __call__(self, level: Level) -> float:
        t = self.schedule.timestep(level.log_snr)
        own = self.schedule.level(t)
        before = self.schedule.level(t - 1).alpha if t >= 1 else 1.0
        return math.sqrt(1 - (own.alpha / before) ** 2) / own.sigma


class Interval(Weight):
    """1 where the log SNR, log(alpha^2 / sigma^2), is at least `low` and below `high`, 0 outside: guidance in a limited interval.

    Kynkaanniemi et al. 2024 (arXiv:2404.07724), there in sigma: log SNR = -2 log(sigma / alpha).
    """

    def __init__(self, low: float = -4.0, high: float = 4.0) -> None:
        check_interval(low, high)
        self.low, self.high = low, high

    def __call__(self, level: Level) -> float:
        return float(self.low <= level.log_snr < self.high)


class Ramp(Weight):
    """A factor that goes straight from `start`, at log SNR `low` and noisier, to `end`, at log SNR `high` and cleaner."""

    def __init__(self, low: float = -4.0, high: float = 4.0, start: float = 0.0, end: float = 1.0) -> None:
        check_interval(low, high)
        if min(start, end) < 0:
            raise InputError(f"start {start}, end {end}: a factor is at least 0")
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, level: Level) -> float:
        part = (min(max(level.log_snr, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def check_interval(low: float, high: float) -> None:
    """Raises InputError unless low < high, both finite."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"low {low}, high {high}: an empty interval of log SNR; wanted low < high, as -4 and 4")
