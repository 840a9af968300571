"""A sampler walks from pure noise to a clean image, asking a `Denoise` at every level.

It has never heard of guidance.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from inspect import signature

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Denoiser
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.diffusion.spacings import respaced_steps
from cgd_lightning.errors import InputError
from cgd_lightning.values import Value

Noise = Callable[[], Tensor]
"""Each call gives fresh standard normal noise, (B, C, H, W)."""


class Sampler(Value, ABC):
    """A walk from noise to an image: `steps` steps between levels spaced as `spacing` says.

    An ADM respacing string as `spacing` says the number of steps itself. A subclass is a frozen
    dataclass with these two among its fields, `steps` with a default.

    Args:
        steps: number of steps, at least 1.
        spacing: how the levels lie: uniform, leading or trailing in timesteps; log_snr, evenly in
            log SNR; karras, in (sigma / alpha)^(1/7); or as ADM writes it, 250 or 10,15,20 or
            ddim50.
    """

    steps: int
    spacing: str

    def __init__(self, steps: int, spacing: str = "uniform") -> None:
        """For a subclass that is no dataclass and has a constructor of its own."""
        vars(self).update(steps=steps, spacing=spacing)
        Sampler.__post_init__(self)

    def __post_init__(self) -> None:
        """Raises InputError for fewer than 1 step, and steps that are not those of `spacing`."""
        for name in ("steps", "spacing"):
            if not hasattr(self, name):
                raise InputError(
                    f"{type(self).__name__} has no field {name}: a sampler has steps, with a "
                    'default, and spacing, as in steps: int = 50 and spacing: str = "uniform"'
                )
        if self.steps < 1:
            raise InputError(f"{self.steps} steps: a sampler takes at least 1")
        respaced = respaced_steps(self.spacing)
        if respaced is None:
            return
        declared = signature(type(self)).parameters.get("steps")
        usual = None if declared is None else declared.default
        if self.steps not in (respaced, usual):
            raise InputError(
                f"{self.steps} steps with spacing {self.spacing!r}, which says {respaced} itself: "
                "leave one of them out"
            )
        vars(self)["steps"] = respaced

    def check(
        self, denoiser: Denoiser, limited: bool = False, called: str = "this network"
    ) -> None:
        """Raises InputError for what this sampler does not go with; most go with anything.

        limited: whether a limiter, as a clamp, stands outside the guidance. called: how the user
        knows the denoiser.
        """

    @property
    def one_step(self) -> bool:
        """Whether a step depends on x and its two levels alone, so that it may be taken again."""
        return False

    @property
    def evaluations(self) -> int:
        """How often the denoiser is asked for a sample, by which samplers are compared.

        Once a step, unless the sampler says otherwise.
        """
        return self.steps

    def __call__(self, denoise: Denoise, noise: Noise, schedule: NoiseSchedule) -> Tensor:
        """Clean images (B, C, H, W) from the first draw of `noise`, over levels of `schedule`."""
        for x in self.trajectory(denoise, noise, schedule):
            sample = x
        return sample

    def trajectory(
        self, denoise: Denoise, noise: Noise, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        """x after every step from noise at the schedule's noisiest level.

        The last one is the clean image.
        """
        levels = schedule.levels(self.steps, self.spacing)
        start = levels[0].sigma * noise()
        return self._checked(self.walk(denoise, start, levels, noise), start)

    def _checked(self, walk: Iterator[Tensor], start: Tensor) -> Iterator[Tensor]:
        """`walk`, each of whose tensors is of the shape of `start`; InputError else."""
        called = f"{type(self).__name__}.walk"
        if not isinstance(walk, Iterator):
            raise InputError(
                f"{called} returns {_shown(walk)}; wanted a generator, with yield x in every step"
            )
        x = None
        for x in walk:
            if not isinstance(x, Tensor) or x.shape != start.shape:
                raise InputError(
                    f"{called} yields {_shown(x)}; wanted x as it began, {_shown(start)}"
                )
            yield x
        if x is None:
            raise InputError(f"{called} yields nothing; wanted yield x in every step")

    @abstractmethod
    def walk(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
    ) -> Iterator[Tensor]:
        """x after every step from `x` (B, C, H, W) at `levels[0]` to `levels[-1]`."""


def _shown(thing: object) -> str:
    if isinstance(thing, Tensor):
        return f"a tensor of shape {tuple(thing.shape)}"
    return f"a {type(thing).__name__}"


def step_variance(level: Level, below: Level) -> float:
    """Variance of x at `level` given x at the level `below` it, DDPM's beta_t.

    It is sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2.
    """
    return level.sigma**2 - (level.alpha / below.alpha * below.sigma) ** 2


def posterior_variance(level: Level, below: Level) -> float:
    """Variance of x at the level `below` given x at `level` and x0.

    It is sigma_s^2 / sigma_t^2 of `step_variance`.
    """
    return (below.sigma / level.sigma) ** 2 * step_variance(level, below)


def posterior_mean(x: Tensor, x0: Tensor, level: Level, below: Level) -> Tensor:
    """Mean of x at the level `below` given `x` at `level` and `x0`, (B, C, H, W)."""
    return (
        level.alpha / below.alpha * below.sigma**2 * x
        + below.alpha * step_variance(level, below) * x0
    ) / level.sigma**2
