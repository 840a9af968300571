"""Noise schedules: how much of the image and how much noise is in x_t.

    x_t = alpha_t x0 + sigma_t eps,    log_snr(t) = log(alpha_t^2 / sigma_t^2)

in the notation of Kingma et al. 2021 (arXiv:2107.00630). Trained timesteps are t = 0 ... T-1, and t
= 0 is the least noisy of them. Between two of them a schedule interpolates the angle atan2(sigma,
alpha), which stays finite where log_snr does not. A sampler walks levels, plain Python floats, from
the noisiest one down to `CLEAN`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.level import CLEAN, Level
from cgd_lightning.diffusion.spacings import LeastNoisy, space
from cgd_lightning.errors import InputError
from cgd_lightning.values import Value, arguments

MOST_TIMESTEPS = 100_000


class NoiseSchedule(Value, ABC):
    """alpha and sigma at timesteps t in [0, T-1], exact at integers; any t in between is legal.

    A subclass is a frozen dataclass with `timesteps`, T, among its fields. It gives `tables` and
    says by `from_angle` which process it is.

    Args:
        timesteps: T, the number of noise levels that networks are trained on.
    """

    timesteps: int

    @abstractmethod
    def tables(self) -> tuple[Tensor, Tensor]:
        """alpha and sigma of all timesteps, each float64 (T,) on the CPU, noisier at every step."""

    @abstractmethod
    def from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of this process at noise angle atan2(sigma, alpha), in its shape."""

    def __post_init__(self) -> None:
        """Raises InputError if the noise does not grow at every timestep."""
        self._on(torch.device("cpu"))

    def alpha(self, t: Tensor) -> Tensor:
        """alpha_t, (B,), in the dtype of `t` (B,) in [0, T-1]."""
        return self.alpha_sigma(t)[0]

    def sigma(self, t: Tensor) -> Tensor:
        """sigma_t, (B,), in the dtype of `t` (B,) in [0, T-1]."""
        return self.alpha_sigma(t)[1]

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha_t^2 / sigma_t^2), (B,), for `t` (B,) in [0, T-1]."""
        alpha, sigma = self.alpha_sigma(t)
        return 2 * (alpha.log() - sigma.log())

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha_t, sigma_t), each (B,), in the dtype of `t` (B,) in [0, T-1].

        They are on the device of `t`, without waiting for it.
        """
        alpha, sigma, angle = self._on(t.device)
        position = t.to(angle.dtype)
        below = position.floor().long().clamp(0, self.timesteps - 1)
        above = (below + 1).clamp(max=self.timesteps - 1)
        part = position - below
        between = self.from_angle(torch.lerp(angle[below], angle[above], part))
        exact = part == 0
        return (
            torch.where(exact, alpha[below], between[0]).to(t.dtype),
            torch.where(exact, sigma[below], between[1]).to(t.dtype),
        )

    def timestep(self, log_snr: float) -> float:
        """The t in [0, T-1] at which log(alpha^2 / sigma^2) is `log_snr`, held at either end.

        The inverse of `log_snr`.
        """
        angles = self._on(torch.device("cpu"))[2]
        angle = torch.tensor(math.atan(math.exp(min(-log_snr / 2, 700.0))), dtype=angles.dtype)
        above = int(torch.searchsorted(angles, angle).clamp(1, self.timesteps - 1))
        part = (angle - angles[above - 1]) / (angles[above] - angles[above - 1])
        return above - 1 + float(part.clamp(0, 1))

    def level(self, t: float) -> Level:
        """The noise level at timestep `t`. Raises ValueError outside [0, T-1]."""
        if not 0 <= t <= self.timesteps - 1:
            raise InputError(f"timestep {t}: this schedule has timesteps 0 to {self.timesteps - 1}")
        alpha, sigma = self.alpha_sigma(torch.tensor([t], dtype=torch.float64))
        return Level(alpha.item(), sigma.item(), float(t))

    def covers(self, level: Level) -> bool:
        """Whether the noise at `level`, of any schedule, is within that of timesteps 0 to T-1."""
        angles = self._on(torch.device("cpu"))[2]
        return angles[0].item() - 1e-9 <= level.angle <= angles[-1].item() + 1e-9

    def levels(
        self, steps: int, spacing: str = "uniform", timesteps: int | None = None
    ) -> list[Level]:
        """The `steps` levels of a sampler, noisiest first, and the clean level behind them.

        spacing: one of `SPACINGS` or an ADM respacing string, see `spacings`. `uniform` spaces t
        evenly over 0 ... T-1 with both ends included (one step stands at T-1). timesteps: so many
        of the least noisy timesteps in place of all T. Raises ValueError if `steps` is not in 1 ...
        T or the spacing is unknown.
        """
        part = self if timesteps is None else LeastNoisy(self, timesteps)
        return [*map(self.level, space(part, steps, spacing)), CLEAN]

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """The tables of alpha, sigma and the angle on `device`, where they are kept."""
        kept: dict[torch.device, tuple[Tensor, Tensor, Tensor]]
        kept = vars(self).setdefault("_tables", {})
        if device not in kept:
            # The angle is tabulated once, so that it is the same on every device.
            made = self._tabulated() if device.type == "cpu" else self._on(torch.device("cpu"))
            dtype = torch.float32 if device.type == "mps" else torch.float64
            with torch.inference_mode(False):
                alpha, sigma, angle = (table.to(device, dtype) for table in made)
            kept[device] = alpha, sigma, angle
        return kept[device]

    def _tabulated(self) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode(False):
            alpha, sigma = self._two(self.tables(), f"tables, each float64 ({self.timesteps},)")
            angle = torch.atan2(sigma, alpha)
        if len(angle) < 2 or not bool((angle.diff() > 0).all()):
            raise InputError(
                f"{type(self).__name__}({arguments(self)}): the noise does not grow at every "
                "timestep; a schedule needs at least 2 timesteps and strictly growing sigma/alpha"
            )
        if len(angle) != self.timesteps:
            raise InputError(f"{self}: tables of {len(angle)} timesteps, not {self.timesteps}")
        there = self._two(self.from_angle(angle), "from_angle, in the shape of the angle")
        if not torch.allclose(torch.atan2(there[1], there[0]), angle, rtol=0, atol=1e-6):
            raise InputError(
                f"{type(self).__name__}.from_angle: gives (alpha, sigma) of another angle; wanted "
                "atan2(sigma, alpha) to be the angle, as of (angle.cos(), angle.sin())"
            )
        return alpha, sigma, angle

    def _two(self, given: Any, wanted: str) -> tuple[Tensor, Tensor]:
        """`given`, if it is two tensors in one shape. Raises InputError else."""
        tensors = isinstance(given, tuple | list) and all(isinstance(x, Tensor) for x in given)
        if tensors and [x.ndim for x in given] == [1, 1] and len(given[0]) == len(given[1]):
            return given[0], given[1]
        raise InputError(f"{type(self).__name__}: wanted alpha and sigma of {wanted}")


class VariancePreserving(NoiseSchedule):
    """A schedule with alpha^2 + sigma^2 = 1, from the variances of DDPM's single steps.

    With `zero_terminal_snr` its last level is noise alone: alpha is shifted and scaled so that the
    last one is 0 and the first stays. A network then has to predict v or x0. Lin et al. 2023
    (arXiv:2305.08891), algorithm 1.

    Args:
        zero_terminal_snr: make the last level noise alone; networks then predict v or x0.
    """

    zero_terminal_snr: bool

    @abstractmethod
    def betas(self) -> Tensor:
        """The variances beta_t of single steps, float64 (T,), each above 0 and below 1."""

    def tables(self) -> tuple[Tensor, Tensor]:
        """alpha_t^2 = prod (1 - beta). Raises InputError for betas that are out of range."""
        _check_timesteps(self.timesteps)
        beta = self.betas()
        _check_betas(beta, self)
        log_alpha_bar = torch.log1p(-beta).cumsum(0)
        alpha, sigma = (log_alpha_bar / 2).exp(), (-torch.expm1(log_alpha_bar)).sqrt()
        if self.zero_terminal_snr:
            alpha = (alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
            sigma = torch.cat([sigma[:1], ((1 - alpha) * (1 + alpha)).sqrt()[1:]])
        return alpha, sigma

    def from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        return angle.cos(), angle.sin()


@dataclass(frozen=True)
class Linear(VariancePreserving):
    """beta_t grows linearly, scaled by 1000 / T as in ADM.

    Ho et al. 2020 (arXiv:2006.11239), section 4.

    Args:
        beta_start: the first beta, at T = 1000.
        beta_end: the last beta, at T = 1000.
    """

    timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    zero_terminal_snr: bool = False

    def betas(self) -> Tensor:
        ends = self.beta_start, self.beta_end
        return torch.linspace(*ends, self.timesteps, dtype=torch.float64) * 1000 / self.timesteps


@dataclass(frozen=True)
class ScaledLinear(VariancePreserving):
    """sqrt(beta_t) grows linearly, each beta scaled by 1000 / T as in `Linear`.

    Rombach et al. 2022 (arXiv:2112.10752), as their code has it; `scaled_linear` of diffusers.

    Args:
        beta_start: the first beta, at T = 1000.
        beta_end: the last beta, at T = 1000.
    """

    timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    zero_terminal_snr: bool = False

    def betas(self) -> Tensor:
        if min(self.beta_start, self.beta_end) < 0:
            raise InputError(f"{self}: a beta below 0 has no root; betas lie between 0 and 1")
        ends = math.sqrt(self.beta_start), math.sqrt(self.beta_end)
        root = torch.linspace(*ends, self.timesteps, dtype=torch.float64)
        return root.square() * 1000 / self.timesteps


@dataclass(frozen=True)
class Cosine(VariancePreserving):
    """alpha_bar follows cos^2((t/T + s) / (1 + s) * pi/2), each beta at most `max_beta`.

    Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 17.

    Args:
        s: offset, by which the noise of the first levels is not too small.
        max_beta: the largest beta, below 1.
    """

    timesteps: int = 1000
    s: float = 0.008
    max_beta: float = 0.999
    zero_terminal_snr: bool = False

    def betas(self) -> Tensor:
        edges = torch.linspace(0, 1, self.timesteps + 1, dtype=torch.float64)
        alpha_bar = ((edges + self.s) / (1 + self.s) * math.pi / 2).cos().square()
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=self.max_beta)


@dataclass(frozen=True)
class Sigmoid(VariancePreserving):
    """alpha_bar follows a falling sigmoid, rescaled to go from 1 to 0.

    Jabri et al. 2022 (arXiv:2212.11972), algorithm 4; as in `Cosine` each beta is at most
    `max_beta`.

    Args:
        start: where on the sigmoid the schedule begins.
        end: where on the sigmoid the schedule ends.
        tau: temperature of the sigmoid.
        max_beta: the largest beta, below 1.
    """

    timesteps: int = 1000
    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0
    max_beta: float = 0.999
    zero_terminal_snr: bool = False

    def betas(self) -> Tensor:
        edges = torch.linspace(0, 1, self.timesteps + 1, dtype=torch.float64)
        falling = (-(self.start + edges * (self.end - self.start)) / self.tau).sigmoid()
        alpha_bar = (falling - falling[-1]) / (falling[0] - falling[-1])
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=self.max_beta)


@dataclass(frozen=True)
class VarianceExploding(NoiseSchedule):
    """alpha = 1 and sigma grows geometrically from `sigma_min` to `sigma_max`.

    Song et al. 2021 (arXiv:2011.13456), appendix C; for data in [-1, 1].

    Args:
        sigma_min: standard deviation of the noise at the first level.
        sigma_max: standard deviation of the noise at the last level.
    """

    timesteps: int = 1000
    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def tables(self) -> tuple[Tensor, Tensor]:
        low, high = self.sigma_min, self.sigma_max
        if not 0 < low < high:
            raise InputError(f"sigma_min {low}, sigma_max {high}: wanted 0 < sigma_min < sigma_max")
        _check_timesteps(self.timesteps)
        ends = math.log(low), math.log(high)
        sigma = torch.linspace(*ends, self.timesteps, dtype=torch.float64).exp()
        return torch.ones_like(sigma), sigma

    def from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(angle), angle.tan()


def _check_timesteps(timesteps: int) -> None:
    if not 2 <= timesteps <= MOST_TIMESTEPS:
        raise InputError(
            f"timesteps {timesteps}: a schedule has 2 to {MOST_TIMESTEPS:,} of them, mostly 1,000"
        )


def _check_betas(beta: Tensor, schedule: NoiseSchedule) -> None:
    if not bool(((beta > 0) & (beta < 1)).all()):
        raise InputError(
            f"{type(schedule).__name__}: betas from {beta.min():.3g} to {beta.max():.3g}; each "
            "must lie between 0 and 1: change the number of timesteps or the ends of the schedule"
        )
