"""Schedules whose last level is noise alone, and guided samples from there: Lin et al. 2023
(arXiv:2305.08891).
"""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.samplers import AnnealedLangevin, LangevinCorrector, Sampler
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, Sigmoid
from cgd_lightning.values import arguments
from tests.conftest import SHAPE, Draws, ExactLogits
from tests.diffusion.closed_form import closed_form, with_variance
from tests.diffusion.test_samplers import SAMPLERS

KINDS = [Linear, Cosine, Sigmoid]
REFUSED = ["LangevinCorrector-reverse_diffusion", "AnnealedLangevin"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_level_has_no_signal_and_the_first_stays(kind: type[NoiseSchedule]) -> None:
    plain, schedule = kind(), kind(zero_terminal_snr=True)  # type: ignore[call-arg]
    last = schedule.level(999)
    assert (last.alpha, last.sigma) == (0, 1)
    assert schedule.level(0).alpha == pytest.approx(plain.level(0).alpha, rel=1e-15)
    assert schedule.level(0).sigma == plain.level(0).sigma
    t = torch.linspace(0, 999, 777, dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones_like(t))


@pytest.mark.parametrize("kind", KINDS)
def test_the_rescaled_schedule_is_that_of_diffusers(kind: type[NoiseSchedule]) -> None:
    t = torch.arange(1000, dtype=torch.float64)
    alpha_bar = kind().alpha(t) ** 2
    beta = 1 - alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])
    theirs = (1 - rescale_zero_terminal_snr(beta)).cumprod(0)
    torch.testing.assert_close(
        kind(zero_terminal_snr=True).alpha(t) ** 2, theirs, rtol=1e-9, atol=1e-12
    )  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", KINDS)
def test_levels_timesteps_and_angles_stay_inverse_to_each_other(kind: type[NoiseSchedule]) -> None:
    schedule = kind(zero_terminal_snr=True)  # type: ignore[call-arg]
    last = schedule.level(999)
    assert last.angle == math.pi / 2
    assert last.log_snr == -math.inf
    assert schedule.log_snr(torch.tensor([999.0])).item() == -math.inf
    assert schedule.timestep(-math.inf) == 999
    for t in (0, 17.25, 998, 998.5):
        assert schedule.timestep(schedule.level(t).log_snr) == pytest.approx(t, abs=1e-6)


def test_a_schedule_says_whether_its_last_level_is_noise_alone() -> None:
    assert Cosine(zero_terminal_snr=False) == Cosine()
    schedule = Cosine(zero_terminal_snr=True)
    assert schedule != Cosine()
    assert (
        repr(schedule) == "Cosine(timesteps=1000, s=0.008, max_beta=0.999, zero_terminal_snr=True)"
    )
    assert Cosine(**arguments(schedule)) == schedule


def test_eps_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="noise alone, from which eps tells nothing"):
        Denoiser(torch.nn.Identity(), Cosine(zero_terminal_snr=True), "eps")


@pytest.mark.parametrize("prediction", ["v", "x0"])
@pytest.mark.parametrize(
    "sampler",
    [s for name, s in SAMPLERS.items() if name not in REFUSED],
    ids=[n for n in SAMPLERS if n not in REFUSED],
)
def test_guided_samples_from_noise_alone_are_those_of_the_class(
    sampler: Sampler, prediction: PredictionType
) -> None:
    schedule = Cosine(zero_terminal_snr=True)
    classifier = NoisyClassifier(
        ExactLogits(schedule).requires_grad_(False), schedule, DataSpec(SHAPE, ("a", "b", "c"))
    )
    guided = ClassifierGuidance(1.0).bind(
        with_variance(closed_form(schedule, None, prediction)), classifier, torch.full((16,), 2)
    )
    conditional = with_variance(closed_form(schedule, [2], prediction))

    # Where nothing of the image is left the classifier says nothing, and the unguided mean of all
    # classes stands in for that of one.
    def target(x, level):
        return (
            conditional(x, level)
            if level.alpha > 0
            else with_variance(closed_form(schedule, None, prediction))(x, level)
        )

    points = zip(
        sampler.trajectory(guided, Draws(1), schedule),
        sampler.trajectory(target, Draws(1), schedule),
        strict=True,
    )
    for x, expected in points:
        assert x.isfinite().all()
        torch.testing.assert_close(x, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "sampler",
    [LangevinCorrector(5, predictor="reverse_diffusion"), AnnealedLangevin(5)],
    ids=REFUSED,
)
def test_samplers_that_cannot_start_from_noise_alone_say_so_before_any_work(
    sampler: Sampler,
) -> None:
    schedule = Cosine(zero_terminal_snr=True)
    denoiser = closed_form(schedule)
    with pytest.raises(ValueError, match="zero signal"):
        sampler(denoiser, Draws(0), schedule)
    assert denoiser.network.calls == 0


def test_limiters_work_where_the_image_is_noise_alone() -> None:
    schedule = Linear(zero_terminal_snr=True)
    level = schedule.level(999)
    x = Draws(2)()
    clamped = Chain([Clamp(-0.01, 0.01)]).bind(
        closed_form(schedule, None, "v"), None, torch.zeros(16)
    )(x, level)
    assert clamped.x0.abs().max() <= 0.01
    torch.testing.assert_close(clamped.eps, x)
