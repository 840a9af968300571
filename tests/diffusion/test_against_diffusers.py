"""Whole trajectories equal those of an independent library, with spacing and clipping matched."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)

from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Clamp
from cgd_lightning.diffusion.samplers import (
    DDIM,
    DDPM,
    DPMSolver,
    DPMSolverSDE,
    Euler,
    Heun,
    Sampler,
)
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule

STEPS = 38
TIMESTEPS = list(range(999, -1, -27))


class Wavy(torch.nn.Module):
    """Some smooth function of image and timestep, as a network."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (
            torch.sin(2 * x.flip(-1))
            + 0.3 * x
            + torch.cos(t / 300).reshape(-1, 1, 1, 1).to(x.dtype)
        )


class Unsure(Wavy):
    """The same with some learned variance in a second channel."""

    init_args = {"out_channels": 2}  # noqa: RUF012

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.cat([super().forward(x, t), torch.cos(5 * x)], dim=1)


def noises() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [
        torch.randn(3, 1, 4, 4, generator=generator, dtype=torch.float64) for _ in range(STEPS + 1)
    ]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("clamp", [False, True], ids=["free", "clamped"])
@pytest.mark.parametrize(
    ("schedule", "beta_schedule"), [(Linear(), "linear"), (Cosine(), "squaredcos_cap_v2")]
)
@pytest.mark.parametrize("kind", ["fixed_small", "fixed_large", "learned_range", 0.0, 0.7, 1.0])
def test_trajectories_equal_diffusers(
    kind: str | float,
    schedule: NoiseSchedule,
    beta_schedule: str,
    clamp: bool,
    prediction: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "beta_schedule": beta_schedule,
        "clip_sample": clamp,
        "prediction_type": {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}[prediction],
    }
    theirs = (
        DDPMScheduler(variance_type=kind, **options)
        if isinstance(kind, str)
        else DDIMScheduler(**options)
    )
    in_double(theirs, schedule)
    network = Unsure() if kind == "learned_range" else Wavy()
    denoiser = Denoiser(network, schedule, prediction, DataSpec((1, 4, 4)), kind == "learned_range")  # type: ignore[arg-type]
    denoise = Clamp().bind(denoiser, None, torch.zeros(3)) if clamp else denoiser

    levels = schedule.levels(STEPS)
    assert [level.t for level in levels[:-1]] == pytest.approx(TIMESTEPS)
    sampler = (
        DDPM(STEPS, kind.removesuffix("_range")) if isinstance(kind, str) else DDIM(STEPS, kind)
    )  # type: ignore[arg-type]
    draws = iter(noises())
    x = next(draws)
    ours = list(sampler.walk(denoise, x, levels, lambda: next(draws)))

    theirs_x, draws = x, iter(noises()[1:])
    for t, mine in zip(TIMESTEPS, ours, strict=True):
        raw = network(theirs_x, torch.full((3,), float(t)))
        if isinstance(theirs, DDPMScheduler):
            monkeypatch.setattr(
                "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: next(draws)
            )
            theirs_x = theirs.step(raw, t, theirs_x).prev_sample
        else:
            noise = next(draws) if kind and t > 0 else None
            theirs_x = theirs.step(
                raw, t, theirs_x, eta=kind, use_clipped_model_output=True, variance_noise=noise
            ).prev_sample
        torch.testing.assert_close(mine, theirs_x, rtol=1e-5, atol=1e-5)


SCHEDULES = [(Linear(), "linear"), (Cosine(), "squaredcos_cap_v2")]


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize(("schedule", "beta_schedule"), SCHEDULES)
@pytest.mark.parametrize(
    ("sampler", "algorithm"),
    [(DPMSolver(STEPS), "dpmsolver++"), (DPMSolverSDE(STEPS), "sde-dpmsolver++")],
)
def test_dpm_solver_equals_that_of_diffusers(
    schedule: NoiseSchedule, beta_schedule: str, prediction: str, sampler: Sampler, algorithm: str
) -> None:
    theirs = DPMSolverMultistepScheduler(
        beta_schedule=beta_schedule,
        prediction_type={"eps": "epsilon", "v": "v_prediction"}[prediction],
        algorithm_type=algorithm,
        solver_order=2,
        euler_at_final=True,
        final_sigmas_type="zero",
    )
    theirs.set_timesteps(STEPS)
    theirs.timesteps = torch.tensor(TIMESTEPS)
    levels = schedule.levels(STEPS)
    theirs.sigmas = torch.tensor(
        [level.sigma / level.alpha for level in levels], dtype=torch.float64
    )
    x, *later = noises()
    draws = iter(later)
    denoiser = Denoiser(Wavy(), schedule, prediction)  # type: ignore[arg-type]
    ours = list(sampler.walk(denoiser, x, levels, lambda: next(draws)))
    for t, mine, noise in zip(TIMESTEPS, ours, later, strict=True):
        x = theirs.step(
            Wavy()(x, torch.full((3,), float(t))), t, x, variance_noise=noise
        ).prev_sample
        torch.testing.assert_close(mine, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize(("schedule", "beta_schedule"), SCHEDULES)
@pytest.mark.parametrize(
    ("sampler", "kind"),
    [(Euler(STEPS), EulerDiscreteScheduler), (Heun(STEPS), HeunDiscreteScheduler)],
)
def test_euler_and_heun_equal_those_of_diffusers(
    schedule: NoiseSchedule, beta_schedule: str, prediction: str, sampler: Sampler, kind: type
) -> None:
    """Theirs walk x / alpha."""
    theirs = kind(
        beta_schedule=beta_schedule,
        prediction_type={"eps": "epsilon", "v": "v_prediction", "x0": "sample"}[prediction],
    )
    theirs.set_timesteps(STEPS)
    *levels, clean = schedule.levels(STEPS, "karras")
    ratios, t = torch.tensor(
        [[level.sigma / level.alpha, level.t] for level in levels], dtype=torch.float64
    ).T
    twice = (
        [0] + [i for i in range(1, STEPS) for _ in range(2)]
        if isinstance(sampler, Heun)
        else list(range(STEPS))
    )
    theirs.sigmas, theirs.timesteps = torch.cat([ratios[twice], torch.zeros(1)]), t[twice]
    denoiser = Denoiser(Wavy(), schedule, prediction)  # type: ignore[arg-type]
    start = noises()[0]
    ours = list(sampler.walk(denoiser, start, [*levels, clean], lambda: start))

    x, walked = start / levels[0].alpha, []
    for time in theirs.timesteps:
        raw = Wavy()(theirs.scale_model_input(x, time), torch.full((3,), float(time)))
        x = theirs.step(raw, time, x).prev_sample
        walked.append(x)
    ends = walked[1::2] + walked[-1:] if isinstance(sampler, Heun) else walked
    for below, mine, end in zip([*levels[1:], clean], ours, ends, strict=True):
        torch.testing.assert_close(mine, below.alpha * end, rtol=1e-3, atol=1e-3)


def in_double(scheduler: DDPMScheduler | DDIMScheduler, schedule: NoiseSchedule) -> None:
    """Give diffusers' scheduler its tables in float64, and the timesteps of an evenly spaced walk
    with both ends.
    """
    t = torch.arange(1000, dtype=torch.float64)
    torch.testing.assert_close(
        schedule.alpha(t) ** 2, scheduler.alphas_cumprod.double(), rtol=1e-3, atol=1e-7
    )
    scheduler.alphas_cumprod = schedule.alpha(t) ** 2
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    if isinstance(scheduler, DDPMScheduler):
        scheduler.set_timesteps(timesteps=TIMESTEPS)
    else:
        scheduler.set_timesteps(STEPS)
        scheduler.config.num_train_timesteps = 27 * STEPS
        scheduler.timesteps = torch.tensor(TIMESTEPS)
