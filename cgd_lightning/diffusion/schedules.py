"""Noise schedules: how much of the image and how much noise is in x_t.

    x_t = alpha_t x0 + sigma_t eps,    log_snr(t) = log(alpha_t^2 / sigma_t^2)

in the notation of Kingma et al. 2021 (arXiv:2107.00630). Trained timesteps are t = 0 ... T-1, and t
= 0 is the least noisy of them. Between two of them a schedule interpolates the angle atan2(sigma,
alpha), which stays finite where log_snr does not. A sampler walks levels, plain Python floats, from
the noisiest one down to `CLEAN`.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from cgd_lightning.diffusion.spacings import space
from cgd_lightning.errors import InputError

MOST_TIMESTEPS = 100_000


class Level(NamedTuple):
    """A noise level: x = alpha x0 + sigma eps. `t` is the timestep that a network is told, None
    where none is asked.
    """

    alpha: float
    sigma: float
    t: float | None

    @property
    def angle(self) -> float:
        """atan2(sigma, alpha), in [0, pi/2]."""
        return math.atan2(self.sigma, self.alpha)

    @property
    def radius(self) -> float:
        """sqrt(alpha^2 + sigma^2): 1 in a variance-preserving process."""
        return math.hypot(self.alpha, self.sigma)

    @property
    def log_snr(self) -> float:
        """log(alpha^2 / sigma^2), infinite at the clean level."""
        if self.sigma == 0:
            return math.inf
        return 2 * math.log(self.alpha / self.sigma) if self.alpha > 0 else -math.inf


CLEAN = Level(1.0, 0.0, None)


class NoiseSchedule(ABC):
    """alpha and sigma at timesteps t in [0, T-1], exact at integers; any t in between is legal.

    A subclass calls `_tabulate` in its constructor. `init_args` holds its arguments, from which a
    checkpoint makes it again.
    """

    init_args: dict[str, int | float]

    def _tabulate(self, alpha: Tensor, sigma: Tensor, **init_args: int | float) -> None:
        """Keep the float64 tables (T,), noisier at every step, and the constructor's arguments."""
        angle = torch.atan2(sigma, alpha)
        if len(angle) < 2 or not bool((angle.diff() > 0).all()):
            raise InputError(
                f"{type(self).__name__}({init_args}): the noise does not grow at every timestep; "
                "a schedule needs at least 2 timesteps and strictly growing sigma/alpha"
            )
        self.init_args = init_args
        self.timesteps = len(angle)
        cpu = torch.device("cpu")
        self._tables = {cpu: (alpha, sigma, angle)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.init_args.items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.init_args == other.init_args

    def __hash__(self) -> int:
        return hash((type(self), *self.init_args.items()))

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
        """(alpha_t, sigma_t), each (B,) in the dtype of `t` (B,) in [0, T-1]. On the device of `t`,
        without waiting for it.
        """
        alpha, sigma, angle = self._on(t.device)
        position = t.to(angle.dtype)
        below = position.floor().long().clamp(0, self.timesteps - 1)
        above = (below + 1).clamp(max=self.timesteps - 1)
        part = position - below
        between = self._from_angle(torch.lerp(angle[below], angle[above], part))
        exact = part == 0
        return (
            torch.where(exact, alpha[below], between[0]).to(t.dtype),
            torch.where(exact, sigma[below], between[1]).to(t.dtype),
        )

    def timestep(self, log_snr: float) -> float:
        """The t in [0, T-1] at which log(alpha^2 / sigma^2) is `log_snr`: the inverse of `log_snr`,
        held at either end.
        """
        angles = self._tables[torch.device("cpu")][2]
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
        """Whether the noise at `level`, of any schedule, is within that of the timesteps 0 to T-1."""
        angles = self._tables[torch.device("cpu")][2]
        return angles[0].item() - 1e-9 <= level.angle <= angles[-1].item() + 1e-9

    def levels(self, steps: int, spacing: str = "uniform") -> list[Level]:
        """The `steps` levels at which a sampler asks the network, noisiest first, and the clean
        level behind them.

        spacing: one of `SPACINGS` or an ADM respacing string, see `spacings`. `uniform` spaces t
        evenly over 0 ... T-1 with both ends included (one step stands at T-1). Raises ValueError if
        `steps` is not in 1 ... T or the spacing is unknown.
        """
        return [*map(self.level, space(self, steps, spacing)), CLEAN]

    @abstractmethod
    def _from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of this process at noise angle atan2(sigma, alpha)."""

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        if device not in self._tables:
            dtype = torch.float32 if device.type == "mps" else torch.float64
            with torch.inference_mode(False):
                alpha, sigma, angle = (
                    table.to(device, dtype) for table in self._tables[torch.device("cpu")]
                )
            self._tables[device] = alpha, sigma, angle
        return self._tables[device]


class VariancePreserving(NoiseSchedule):
    """A schedule with alpha^2 + sigma^2 = 1.

    With `zero_terminal_snr` its last level is noise alone: alpha is shifted and scaled so that the
    last one is 0 and the first stays. A network then has to predict v or x0. Lin et al. 2023
    (arXiv:2305.08891), algorithm 1.
    """

    def _from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        return angle.cos(), angle.sin()

    def _tabulate_betas(
        self, beta: Tensor, zero_terminal_snr: bool, **init_args: int | float
    ) -> None:
        """Tables from the variances beta_t of DDPM's single steps: alpha_t^2 = prod (1 - beta).

        `init_args` names `zero_terminal_snr` only where it is set: schedules without it say what
        they said before there was one.
        """
        log_alpha_bar = torch.log1p(-beta).cumsum(0)
        alpha, sigma = (log_alpha_bar / 2).exp(), (-torch.expm1(log_alpha_bar)).sqrt()
        if zero_terminal_snr:
            alpha = (alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
            sigma = torch.cat([sigma[:1], ((1 - alpha) * (1 + alpha)).sqrt()[1:]])
            init_args["zero_terminal_snr"] = True
        self._tabulate(alpha, sigma, **init_args)


class Linear(VariancePreserving):
    """beta_t grows linearly from `beta_start` to `beta_end`, both scaled by 1000 / T as in ADM.

    Ho et al. 2020 (arXiv:2006.11239), section 4.
    """

    def __init__(
        self,
        timesteps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        zero_terminal_snr: bool = False,
    ) -> None:
        _check_timesteps(timesteps)
        beta = (
            torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64) * 1000 / timesteps
        )
        _check_betas(beta, self)
        self._tabulate_betas(
            beta, zero_terminal_snr, timesteps=timesteps, beta_start=beta_start, beta_end=beta_end
        )


class Cosine(VariancePreserving):
    """alpha_bar follows cos^2((t/T + s) / (1 + s) * pi/2), each beta at most `max_beta`.

    Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 17.
    """

    def __init__(
        self,
        timesteps: int = 1000,
        s: float = 0.008,
        max_beta: float = 0.999,
        zero_terminal_snr: bool = False,
    ) -> None:
        _check_timesteps(timesteps)
        edges = torch.linspace(0, 1, timesteps + 1, dtype=torch.float64)
        alpha_bar = ((edges + s) / (1 + s) * math.pi / 2).cos().square()
        beta = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)
        _check_betas(beta, self)
        self._tabulate_betas(beta, zero_terminal_snr, timesteps=timesteps, s=s, max_beta=max_beta)


class Sigmoid(VariancePreserving):
    """alpha_bar follows a falling sigmoid between `start` and `end` with temperature `tau`,
    rescaled to go from 1 to 0.

    Jabri et al. 2022 (arXiv:2212.11972), algorithm 4; as in `Cosine` each beta is at most
    `max_beta`.
    """

    def __init__(
        self,
        timesteps: int = 1000,
        start: float = -3.0,
        end: float = 3.0,
        tau: float = 1.0,
        max_beta: float = 0.999,
        zero_terminal_snr: bool = False,
    ) -> None:
        _check_timesteps(timesteps)
        edges = torch.linspace(0, 1, timesteps + 1, dtype=torch.float64)
        falling = (-(start + edges * (end - start)) / tau).sigmoid()
        alpha_bar = (falling - falling[-1]) / (falling[0] - falling[-1])
        beta = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)
        _check_betas(beta, self)
        self._tabulate_betas(
            beta,
            zero_terminal_snr,
            timesteps=timesteps,
            start=start,
            end=end,
            tau=tau,
            max_beta=max_beta,
        )


class VarianceExploding(NoiseSchedule):
    """alpha = 1 and sigma grows geometrically from `sigma_min` to `sigma_max`.

    Song et al. 2021 (arXiv:2011.13456), appendix C; for data in [-1, 1].
    """

    def __init__(
        self, timesteps: int = 1000, sigma_min: float = 0.01, sigma_max: float = 50.0
    ) -> None:
        if not 0 < sigma_min < sigma_max:
            raise InputError(
                f"sigma_min {sigma_min}, sigma_max {sigma_max}: wanted 0 < sigma_min < sigma_max"
            )
        _check_timesteps(timesteps)
        log_sigma = torch.linspace(
            math.log(sigma_min), math.log(sigma_max), timesteps, dtype=torch.float64
        )
        sigma = log_sigma.exp()
        init_args = {"timesteps": timesteps, "sigma_min": sigma_min, "sigma_max": sigma_max}
        self._tabulate(torch.ones_like(sigma), sigma, **init_args)

    def _from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(angle), angle.tan()


def _check_timesteps(timesteps: int) -> None:
    if not 2 <= timesteps <= MOST_TIMESTEPS:
        raise InputError(
            f"timesteps {timesteps}: a schedule has 2 to {MOST_TIMESTEPS:,} of them, mostly 1,000"
        )


def _check_betas(beta: Tensor, schedule: NoiseSchedule) -> None:
    if not bool(((beta > 0) & (beta < 1)).all()):
        raise InputError(
            f"{type(schedule).__name__}: betas from {beta.min():.3g} to {beta.max():.3g}; each must lie between 0 and 1: "
            "change the number of timesteps or the ends of the schedule"
        )
