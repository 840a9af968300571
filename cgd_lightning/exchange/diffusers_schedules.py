"""Schedulers of diffusers and our schedules, both ways.

A scheduler there is three things here: the process that a network was trained on (a schedule and
what the network predicts), which is read; the way to walk it, which `cgd sample` is told anew; and
what limits x0, which is a rule. Their betas stand for any T as they are; those of our schedules
stand for T = 1000 and are scaled by 1000 / T.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.checkpoints import schema
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.schedules import (
    MOST_TIMESTEPS,
    Cosine,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    VariancePreserving,
)
from cgd_lightning.diffusion.tabulated import Tabulated
from cgd_lightning.errors import InputError

WALKERS = {
    "DDPMScheduler": "leading",
    "DDPMParallelScheduler": "leading",
    "DDIMScheduler": "leading",
    "DDIMParallelScheduler": "leading",
    "PNDMScheduler": "leading",
    "DEISMultistepScheduler": "linspace",
    "DPMSolverMultistepScheduler": "linspace",
    "DPMSolverSinglestepScheduler": "linspace",
    "UniPCMultistepScheduler": "linspace",
    "EulerDiscreteScheduler": "linspace",
    "EulerAncestralDiscreteScheduler": "linspace",
    "HeunDiscreteScheduler": "linspace",
    "LMSDiscreteScheduler": "linspace",
    "KDPM2DiscreteScheduler": "linspace",
    "KDPM2AncestralDiscreteScheduler": "linspace",
}
"""The schedulers of DDPM's process, and where their timesteps lie unless they say otherwise."""

OTHER_BETAS = ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
"""Those whose betas go from 0.00085 to 0.012 unless they say otherwise, not from 0.0001 to 0.02."""

LAST_STEPS = {"DDIMScheduler": True, "DDIMParallelScheduler": True, "PNDMScheduler": False}
"""Those with set_alpha_to_one, whether the last step takes all noise away, unless they say so."""

PREDICTIONS: dict[str, PredictionType] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}

SPACINGS = {"leading": "leading", "trailing": "trailing", "linspace": "uniform"}
"""Theirs and ours."""

VARIANCES = (
    *("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
    *("learned", "learned_range"),
)

ANOTHER_PROCESS = {"use_flow_sigmas": False, "timestep_type": "discrete"}
"""Settings that make another process of DDPM's, unless they say this."""


@dataclass(frozen=True)
class Process:
    """What a network was trained on.

    word: how its betas go, in the word of diffusers, or trained_betas. variance: the kind of
    variance of the sampler, in the words of diffusers; None if it does not tell. notes: what is the
    user's to say when sampling, a line each.
    """

    schedule: NoiseSchedule
    prediction: PredictionType
    word: str
    variance: str | None = None
    notes: tuple[str, ...] = ()


def read_process(config: Mapping[str, Any], path: Path) -> Process:
    """The process of a scheduler with the settings `config`, read from `path`.

    Raises InputError, naming the file and the setting, for what cannot be represented.
    """
    try:
        return _process(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _process(config: Mapping[str, Any]) -> Process:
    name = config.get("_class_name")
    if type(name) is not str or name not in WALKERS:
        raise InputError(
            f"the scheduler {schema.shown(name)} is not one of DDPM's process; known are "
            f"{', '.join(WALKERS)}"
        )
    for setting, wanted in ANOTHER_PROCESS.items():
        if config.get(setting, wanted) != wanted:
            raise InputError(
                f"{setting} {schema.shown(config[setting])} is another process than DDPM's, which "
                "cannot be represented"
            )
    given = _Settings(config)
    variance = given.word("variance_type", VARIANCES, None)
    schedule, notes = _schedule(given, name), _notes(given, name)
    return Process(schedule, _prediction(given), _word(given), variance, tuple(notes))


@dataclass(frozen=True)
class _Settings:
    """The settings of a scheduler, each read as the type that it must have."""

    config: Mapping[str, Any]

    def number(self, name: str, default: float) -> float:
        value = self.config.get(name, default)
        if type(value) not in (int, float):
            raise self.refused(name, "wanted a number")
        return float(value)

    def switch(self, name: str, default: bool = False) -> bool:
        value = self.config.get(name, default)
        if type(value) is not bool:
            raise self.refused(name, "wanted true or false")
        return value

    def word(self, name: str, words: Any, default: str | None) -> Any:
        value = self.config.get(name)
        if value is None:
            return default
        if type(value) is not str or value not in words:
            raise self.refused(name, f"known are {', '.join(words)}")
        return value

    def refused(self, name: str, why: str) -> InputError:
        return InputError(f"{name} {schema.shown(self.config.get(name))}: {why}")


def _word(given: _Settings) -> str:
    if given.config.get("trained_betas") is not None:
        return "trained_betas"
    return str(given.word("beta_schedule", BETAS, "linear"))


def _schedule(given: _Settings, name: str) -> NoiseSchedule:
    timesteps = given.config.get("num_train_timesteps", 1000)
    if type(timesteps) is not int or not 2 <= timesteps <= MOST_TIMESTEPS:
        raise given.refused("num_train_timesteps", f"wanted 2 to {MOST_TIMESTEPS:,}")
    zero = given.switch("rescale_betas_zero_snr")
    trained = given.config.get("trained_betas")
    if trained is not None:
        if not isinstance(trained, list) or any(type(b) not in (int, float) for b in trained):
            raise given.refused("trained_betas", "wanted a list of betas between 0 and 1")
        if len(trained) != timesteps:
            raise InputError(
                f"trained_betas: {len(trained)} of them, and num_train_timesteps {timesteps}"
            )
        return Tabulated(tuple(map(float, trained)), zero)
    first, last = (0.00085, 0.012) if name in OTHER_BETAS else (0.0001, 0.02)
    start, end = given.number("beta_start", first), given.number("beta_end", last)
    return BETAS[_word(given)](timesteps, start, end, zero)


def _linear(timesteps: int, start: float, end: float, zero: bool) -> NoiseSchedule:
    return Linear(timesteps, _scaled(start, timesteps), _scaled(end, timesteps), zero)


def _scaled_linear(timesteps: int, start: float, end: float, zero: bool) -> NoiseSchedule:
    return ScaledLinear(timesteps, _scaled(start, timesteps), _scaled(end, timesteps), zero)


def _cosine(timesteps: int, start: float, end: float, zero: bool) -> NoiseSchedule:
    return Cosine(timesteps, zero_terminal_snr=zero)


def _sigmoid(timesteps: int, start: float, end: float, zero: bool) -> NoiseSchedule:
    """beta_t follows a sigmoid from `start` to `end`; in `Sigmoid` alpha_bar does."""
    rising = torch.linspace(-6, 6, timesteps, dtype=torch.float64).sigmoid()
    return Tabulated(tuple((rising * (end - start) + start).tolist()), zero)


BETAS = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _cosine,
    "sigmoid": _sigmoid,
}
"""How betas go from the first to the last, by the names of diffusers."""


def _scaled(beta: float, timesteps: int) -> float:
    """What `beta` of a schedule of `timesteps` is at T = 1000."""
    return beta if timesteps == 1000 else beta * timesteps / 1000


def _prediction(given: _Settings) -> PredictionType:
    if given.config.get("prediction_type") is None and "predict_epsilon" in given.config:
        return "eps" if given.switch("predict_epsilon") else "x0"  # before diffusers 0.9
    return PREDICTIONS[given.word("prediction_type", PREDICTIONS, "epsilon")]


def _notes(given: _Settings, name: str) -> list[str]:
    """What of the walk is not in a checkpoint, with the options that say it."""
    theirs = given.word("timestep_spacing", SPACINGS, WALKERS[name])
    notes = [f"{name} walks timesteps spaced as --sampler.spacing {SPACINGS[theirs]}"]
    if given.config.get("steps_offset", 0) != 0:
        notes.append("its steps_offset, by which timesteps are moved, has no option here")
    if name in LAST_STEPS and not given.switch("set_alpha_to_one", LAST_STEPS[name]):
        notes.append("set_alpha_to_one false: its last step ends at timestep 0, ours without noise")
    variance = given.word("variance_type", VARIANCES, None)
    if variance is not None and name.startswith("DDPM"):
        kind = variance.removesuffix("_log").removesuffix("_range")
        notes.append(f"its variance is --sampler.variance {kind} of --sampler DDPM")
    clips = given.switch("clip_sample", name.startswith("DD"))
    bound = given.number("clip_sample_range", 1.0)
    if not clips:
        notes.append("x0 is not clipped there: --clamp off; here it is clamped to [-1, 1]")
    elif bound != 1:
        notes.append(f"x0 is clipped to [-{bound:g}, {bound:g}] there, and to [-1, 1] here")
    else:
        notes.append("x0 is clipped to [-1, 1], here by --clamp outside, the default")
    if given.switch("thresholding"):
        notes.append("thresholding: the rule DynamicThreshold does it here")
    return notes


def scheduler_settings(denoiser: Denoiser) -> dict[str, Any]:
    """The settings of a `DDPMScheduler` with the process of `denoiser`.

    Raises InputError for a schedule that does not preserve the variance.
    """
    schedule = denoiser.schedule
    if not isinstance(schedule, VariancePreserving):
        raise InputError(
            f"{schedule}: no scheduler of diffusers walks it with a UNet2DModel as it is trained "
            "here; wanted one with alpha^2 + sigma^2 = 1"
        )
    bounds = denoiser.data.codec.bounds
    theirs = next(name for name, ours in PREDICTIONS.items() if ours == denoiser.prediction)
    return {
        **_beta_settings(schedule),
        "num_train_timesteps": schedule.timesteps,
        "prediction_type": theirs,
        "rescale_betas_zero_snr": schedule.zero_terminal_snr,
        "variance_type": "learned_range" if denoiser.learned_variance else "fixed_small",
        "clip_sample": bounds is not None,
        "clip_sample_range": 1.0 if bounds is None else float(bounds[1]),
        "timestep_spacing": "linspace",
    }


def _beta_settings(schedule: VariancePreserving) -> dict[str, Any]:
    own = type(schedule) in (Linear, ScaledLinear)  # a class derived from them may do anything
    if own and isinstance(schedule, Linear | ScaledLinear):
        kind = "linear" if isinstance(schedule, Linear) else "scaled_linear"
        scale = 1000 / schedule.timesteps
        return {
            "beta_schedule": kind,
            "beta_start": schedule.beta_start * scale,
            "beta_end": schedule.beta_end * scale,
        }
    if schedule == Cosine(schedule.timesteps, zero_terminal_snr=schedule.zero_terminal_snr):
        return {"beta_schedule": "squaredcos_cap_v2"}
    return {"trained_betas": schedule.betas().tolist()}
