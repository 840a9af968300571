"""Where an edit begins: an image brought part of the way to noise, to come back under guidance.

    by inversion:  the x_t from which DDIM leads back to the image
    by noise:      x_t = alpha_t x0 + sigma_t eps

The first keeps what it can of the image; under the guidance of the class that the image shows it
and the way back are a dual diffusion bridge, Su et al. 2023 (arXiv:2203.08382), unguided, DDIM
inversion, Song et al. 2021 (arXiv:2010.02502), section 4.3. The second draws: SDEdit, Meng et al.
2022 (arXiv:2108.01073). How far up, t of T, decides how much may change.

What came back may go up again: the guide is asked anew from an image nearer to the goal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.level import CLEAN, Level
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.samplers.inversion import invert
from cgd_lightning.diffusion.samplers.resampling import resampled
from cgd_lightning.diffusion.samplers.sampler import Noise
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.values import Value

Way = Literal["inversion", "noise"]

MOST_ROUNDS = 10_000


@dataclass(frozen=True)
class Start(Value):
    """How far images are brought to noise before a sampler comes back, and how.

    The way up has the levels of the way down, all of the sampler's steps. It is DDIM's, whatever
    the sampler: one of higher order, as Heun, comes back nearer to the ODE than the inversion was,
    and one that adds noise, as DDPM, comes back to another image than it came from.

    Args:
        strength: share of the timesteps that are walked, 0 to 1; 0 leaves the images as they are.
        by: inversion, deterministic by DDIM, or noise, seeded.
        refinements: further evaluations in every step of the inversion, each bringing the way back
            closer to the image.
        source: what the images show, written as labels are: the inversion runs under its guidance,
            without any if none is given. Labels that are not given are then all other classes.
        resamplings: times that every step of the way back is undone by fresh noise and taken
            again, by which what a mask keeps and what it lets change come to agree (RePaint).
        rounds: times that an image goes up and comes back, each from where the last one ended.
        shrinkage: by how much of the image's range, -1 to 1, every change that a step predicts is
            lessened; smaller ones are undone.
    """

    strength: float = 0.5
    by: Way = "inversion"
    refinements: int = 0
    source: str | None = None
    resamplings: int = 0
    rounds: int = 1
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError for values out of range."""
        if type(self.strength) not in (int, float) or not 0 <= self.strength <= 1:
            raise InputError(
                f"strength {self.strength!r}: wanted a share of the way to noise, from 0 (the "
                "image as it is) to 1"
            )
        if self.by not in get_args(Way):
            raise InputError(f"by {self.by!r}: wanted one of {', '.join(get_args(Way))}")
        for name, least in (("refinements", 0), ("resamplings", 0), ("rounds", 1)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= MOST_ROUNDS:
                raise InputError(f"{name} {value!r}: wanted an integer, {least} to {MOST_ROUNDS:,}")
        if type(self.shrinkage) not in (int, float) or not 0 <= self.shrinkage <= 2:
            raise InputError(
                f"shrinkage {self.shrinkage!r}: wanted a part of the range from -1 to 1, between "
                "0 (off) and 2, as 0.05"
            )
        if not isinstance(self.source, str | None):
            raise InputError(f"source {self.source!r}: wanted a class as text, as '3'")
        if self.by == "inversion" and self.source is not None and self.rounds > 1:
            raise InputError(
                f"rounds {self.rounds}: the way up is guided by what an image shows, and after one "
                "round it shows something else; leave out one of rounds and source"
            )
        if self.by == "noise" and self.refinements:
            raise InputError(
                f"refinements {self.refinements}: are of an inversion, and by noise there is none; "
                "leave one of them out"
            )

    @property
    def others(self) -> str | None:
        """What is written for all but `source`: the labels of an edit that says no others."""
        if self.source is None:
            return None
        words = [word.strip() for word in self.source.split(",")]
        return ",".join(word[1:] if word.startswith("!") else f"!{word}" for word in words)

    def check(self, sampler: Sampler) -> None:
        """Raises InputError for a sampler that cannot take its steps again, if it has to."""
        if self.resamplings and not sampler.one_step:
            raise InputError(
                f"resamplings {self.resamplings}: a step of {type(sampler).__name__} depends on "
                "those before, and cannot be taken again; take DDIM or DDPM"
            )

    def levels(self, sampler: Sampler, schedule: NoiseSchedule) -> list[Level]:
        """The levels of `sampler` from timestep round(strength T) - 1 down to the clean one.

        That one alone at strength 0. The spacing lies in these timesteps as it would in all of T,
        that of ADM too. Raises InputError if there are fewer of them than steps.
        """
        if self.strength == 0:
            return [CLEAN]
        timesteps = round(self.strength * schedule.timesteps)
        if timesteps < sampler.steps:
            enough = sampler.steps / schedule.timesteps
            further = f", or a strength of at least {enough:g}" if enough <= 1 else ""
            raise InputError(
                f"strength {self.strength}: that is {timesteps} of {schedule.timesteps} timesteps, "
                f"too few for {sampler.steps} steps; take fewer steps{further}"
            )
        return schedule.levels(sampler.steps, sampler.spacing, timesteps)

    def count(self, sampler: Sampler) -> int:
        """How many times `walk` yields: the steps of the way up and down."""
        if self.strength == 0:
            return 0
        up = sampler.steps if self.by == "inversion" else 1
        return self.rounds * (up + sampler.steps)

    def walk(
        self,
        x0: Tensor,
        levels: list[Level],
        inverted: Denoise,
        sampler: Sampler,
        denoise: Denoise,
        noise: Noise,
    ) -> Iterator[Tensor]:
        """x after every step from clean images `x0` (B, C, H, W) up `levels` and down again.

        inverted: what the inversion asks. denoise: what `sampler` asks on the way back.
        """
        x = x0
        for _ in range(self.rounds):
            up = self.rise(x, levels, inverted, noise)
            for x in up:
                yield x
            down = resampled(sampler, self.resamplings, denoise, x, levels, noise)
            for x in down:
                yield x

    def rise(
        self, x0: Tensor, levels: list[Level], inverted: Denoise, noise: Noise
    ) -> Iterator[Tensor]:
        """x after every step from clean images `x0` (B, C, H, W) up to `levels[0]`."""
        if len(levels) < 2:
            return
        if self.by == "inversion":
            yield from invert(inverted, x0, levels, self.refinements)
        else:
            yield levels[0].alpha * x0 + levels[0].sigma * noise()
