"""Schedules read from settings of diffusers are those of its schedulers, and go back as they came.

Theirs are products of float32 numbers, ours sums of logarithms in float64: they differ by about
1e-7, as 1000 roundings do.
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import (
    Cosine,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    Sigmoid,
    VarianceExploding,
)
from cgd_lightning.diffusion.tabulated import Tabulated
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.diffusers_files import settings as settings_in
from cgd_lightning.exchange.diffusers_schedules import (
    OTHER_BETAS,
    SPACINGS,
    WALKERS,
    read_process,
    scheduler_settings,
)
from cgd_lightning.networks import MLP

diffusers = pytest.importorskip("diffusers")

HERE = Path("scheduler_config.json")
TRAINED = [float(beta) for beta in torch.linspace(0.001, 0.3, 20).square()]

SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear"},
    "other ends": {"beta_start": 0.0003, "beta_end": 0.03},
    "200 timesteps": {"num_train_timesteps": 200, "beta_end": 0.1},
    "scaled linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "100 of them": {"beta_schedule": "scaled_linear", "num_train_timesteps": 100, "beta_end": 0.1},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "50 of it": {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 50},
    "sigmoid": {"beta_schedule": "sigmoid"},
    "trained": {"trained_betas": TRAINED, "num_train_timesteps": 20},
}


def alpha_bar(schedule: NoiseSchedule) -> torch.Tensor:
    return schedule.alpha(torch.arange(schedule.timesteps, dtype=torch.float64)) ** 2


@pytest.mark.parametrize("zero", [False, True], ids=["", "zero terminal SNR"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_alphas_are_those_of_diffusers(settings: dict[str, Any], zero: bool) -> None:
    options = {**settings, "rescale_betas_zero_snr": zero, "prediction_type": "v_prediction"}
    theirs = diffusers.DDPMScheduler(**options)
    process = read_process(dict(theirs.config) | {"_class_name": "DDPMScheduler"}, HERE)
    ours = alpha_bar(process.schedule)
    torch.testing.assert_close(ours, theirs.alphas_cumprod.double(), rtol=0, atol=1e-6)
    assert process.prediction == "v"
    assert (ours[-1] == 0) == zero


@pytest.mark.parametrize("name", WALKERS)
def test_what_settings_leave_out_is_as_in_diffusers(name: str) -> None:
    theirs = getattr(diffusers, name)
    process = read_process({"_class_name": name}, HERE)
    torch.testing.assert_close(
        alpha_bar(process.schedule), theirs().alphas_cumprod.double(), rtol=0, atol=1e-6
    )
    parameters = inspect.signature(theirs.__init__).parameters
    assert parameters["prediction_type"].default == "epsilon"
    assert process.prediction == "eps"
    if "timestep_spacing" in parameters:
        spacing = parameters["timestep_spacing"].default
        assert f"--sampler.spacing {SPACINGS[spacing]}" in process.notes[0]
    clips = "clip_sample" in parameters and parameters["clip_sample"].default
    assert any("--clamp off" in note for note in process.notes) != clips
    assert (parameters["beta_start"].default == 0.00085) == (name in OTHER_BETAS)


@pytest.mark.parametrize(
    "schedule",
    [
        Linear(),
        Linear(4000),
        Linear(300, 2e-4, 0.03),
        ScaledLinear(),
        ScaledLinear(500),
        Cosine(),
        Cosine(100),
        Cosine(s=0.02),
        Sigmoid(),
        Tabulated(tuple(TRAINED)),
        Linear(zero_terminal_snr=True),
        Sigmoid(zero_terminal_snr=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_our_schedules_go_to_diffusers_and_come_back(
    schedule: NoiseSchedule, prediction: Any
) -> None:
    settings = scheduler_settings(Denoiser(MLP(8, 1, 1, 8, 1), schedule, prediction))
    theirs = diffusers.DDPMScheduler(**settings)
    torch.testing.assert_close(
        alpha_bar(schedule), theirs.alphas_cumprod.double(), rtol=0, atol=2e-6
    )
    back = read_process({"_class_name": "DDPMScheduler", **settings}, HERE)
    assert back.prediction == prediction
    torch.testing.assert_close(alpha_bar(back.schedule), alpha_bar(schedule), rtol=1e-12, atol=0)


def test_scaled_linear_is_the_square_of_even_steps() -> None:
    betas = ScaledLinear(5, 0.0001, 0.0004).betas()
    expected = [200 * (0.01 + 0.0025 * step) ** 2 for step in range(5)]
    torch.testing.assert_close(betas, torch.tensor(expected, dtype=torch.float64))
    with pytest.raises(InputError, match="a beta below 0"):
        ScaledLinear(beta_start=-0.1)


def test_a_schedule_of_given_betas_is_kept_in_a_checkpoint(tmp_path: Path) -> None:
    schedule = Tabulated(tuple(TRAINED))
    assert (schedule.timesteps, str(schedule)) == (
        20,
        "Tabulated(zero_terminal_snr=False, timesteps=20)",
    )
    checkpoints.save(Denoiser(MLP(8, 1, 1, 8, 1), schedule), tmp_path / "best.ckpt")
    assert checkpoints.load(tmp_path / "best.ckpt", Denoiser).schedule == schedule
    for wrong in ([0.1], [], [0.1, 1.0], [0.1, -0.1]):
        with pytest.raises(InputError):
            Tabulated(tuple(wrong))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "the scheduler 'ScoreSdeVeScheduler' is not one"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "is not one of DDPM's process"),
        ({"_class_name": None}, "the scheduler None"),
        ({"_class_name": ["DDPMScheduler"]}, "the scheduler a list"),
        ({"beta_schedule": "laplace"}, "beta_schedule 'laplace': known are linear"),
        ({"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps 1000000000: wanted 2 to 100,000"),
        ({"num_train_timesteps": "1000"}, "num_train_timesteps '1000'"),
        ({"beta_end": 20.0}, "betas from"),
        ({"beta_start": "0.1"}, "beta_start '0.1': wanted a number"),
        ({"trained_betas": ["os.system"]}, "trained_betas a list: wanted a list of betas"),
        ({"trained_betas": [0.5, 2], "num_train_timesteps": 2}, "each must lie between 0 and 1"),
        ({"trained_betas": [0.1, True]}, "trained_betas a list"),
        ({"trained_betas": TRAINED}, "trained_betas: 20 of them, and num_train_timesteps 1000"),
        ({"rescale_betas_zero_snr": "yes"}, "rescale_betas_zero_snr 'yes': wanted true or false"),
        ({"variance_type": "mine"}, "variance_type 'mine'"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas True is another process"),
        ({"timestep_type": "continuous"}, "timestep_type 'continuous' is another process"),
    ],
)
def test_what_cannot_be_represented_is_refused_by_name(
    settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"^scheduler_config.json: .*{named}"):
        read_process({"_class_name": "DDPMScheduler", **settings}, HERE)


def test_a_variance_exploding_schedule_is_not_written() -> None:
    with pytest.raises(InputError, match=r"VarianceExploding.*no scheduler of diffusers"):
        scheduler_settings(Denoiser(MLP(8, 1, 1, 8, 1), VarianceExploding()))


def test_what_the_user_says_when_sampling_is_in_the_notes() -> None:
    told = {
        "_class_name": "DDPMScheduler",
        "timestep_spacing": "trailing",
        "steps_offset": 1,
        "variance_type": "fixed_large",
        "clip_sample": False,
        "thresholding": True,
    }
    notes = "\n".join(read_process(told, HERE).notes)
    for word in (
        *("--sampler.spacing trailing", "steps_offset", "--sampler.variance fixed_large"),
        *("--clamp off", "DynamicThreshold"),
    ):
        assert word in notes
    wide = read_process({"_class_name": "DDIMScheduler", "clip_sample_range": 2.0}, HERE).notes
    assert "x0 is clipped to [-2, 2] there, and to [-1, 1] here" in wide


def test_the_last_step_is_in_the_notes_where_it_is_another() -> None:
    for name, settings, there in (
        ("DDIMScheduler", {}, False),
        ("DDIMScheduler", {"set_alpha_to_one": False}, True),
        ("PNDMScheduler", {}, True),
        ("PNDMScheduler", {"set_alpha_to_one": True}, False),
        ("DDPMScheduler", {}, False),
    ):
        notes = read_process({"_class_name": name, **settings}, HERE).notes
        assert any("set_alpha_to_one false" in note for note in notes) == there


def test_settings_as_every_scheduler_saves_them_are_read(tmp_path: Path) -> None:
    """DPM-Solver saves -Infinity, which is no JSON."""
    for name in WALKERS:
        getattr(diffusers, name)().save_config(tmp_path)
        process = read_process(settings_in(tmp_path / "scheduler_config.json"), HERE)
        assert process.word in ("linear", "scaled_linear")


def test_predict_epsilon_of_old_settings_is_read() -> None:
    for old, ours in ((True, "eps"), (False, "x0")):
        settings = {"_class_name": "DDPMScheduler", "predict_epsilon": old}
        assert read_process(settings, HERE).prediction == ours
