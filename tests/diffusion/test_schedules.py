import math

import pytest
import torch
from diffusers import DDPMScheduler

from cgd_lightning.diffusion.process import add_noise
from cgd_lightning.diffusion.schedules import (
    CLEAN,
    Cosine,
    Level,
    Linear,
    NoiseSchedule,
    Sigmoid,
    VarianceExploding,
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Linear(), DDPMScheduler(beta_schedule="linear")),
        (Cosine(), DDPMScheduler(beta_schedule="squaredcos_cap_v2")),
    ],
)
def test_schedules_equal_diffusers(ours: NoiseSchedule, theirs: DDPMScheduler) -> None:
    t = torch.arange(1000, dtype=torch.float64)
    alpha_bar = theirs.alphas_cumprod.double()
    torch.testing.assert_close(ours.alpha(t) ** 2, alpha_bar, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(ours.sigma(t) ** 2, 1 - alpha_bar, rtol=1e-4, atol=1e-7)


def test_linear_schedule_is_the_papers_product_of_betas() -> None:
    alpha_bar = 1.0
    for t in range(1000):
        alpha_bar *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        if t in (0, 10, 500, 999):
            level = Linear().level(t)
            assert level.alpha == pytest.approx(math.sqrt(alpha_bar), rel=1e-12)
            assert level.sigma == pytest.approx(math.sqrt(1 - alpha_bar), rel=1e-10)


def test_sigmoid_schedule_is_jabris_formula_below_the_cap() -> None:
    def gamma(u: float, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> float:
        v_start, v_end = (1 / (1 + math.exp(-v / tau)) for v in (start, end))
        return (v_end - 1 / (1 + math.exp(-(u * (end - start) + start) / tau))) / (v_end - v_start)

    for t in (0, 100, 500, 900, 990):
        assert Sigmoid().level(t).alpha ** 2 == pytest.approx(gamma((t + 1) / 1000), rel=1e-6)


def test_variance_exploding_keeps_the_image_and_grows_geometrically() -> None:
    levels = [VarianceExploding(11, 0.01, 100.0).level(t) for t in range(11)]
    assert [level.alpha for level in levels] == [1.0] * 11
    assert [level.sigma for level in levels] == pytest.approx(
        [0.01 * 10 ** (0.4 * t) for t in range(11)], rel=1e-12
    )


def test_steps_of_another_number_of_timesteps_span_the_same_noise() -> None:
    coarse, fine = Linear(100).level(99), Linear(1000).level(999)
    assert coarse.log_snr == pytest.approx(fine.log_snr, abs=1.0)


def test_timestep_is_the_inverse_of_log_snr(schedule: NoiseSchedule) -> None:
    for t in (0, 0.5, 1, 17.25, 500, 998.9, 999):
        assert schedule.timestep(schedule.level(t).log_snr) == pytest.approx(t, abs=1e-7)
    assert schedule.timestep(math.inf) == 0
    assert schedule.timestep(-math.inf) == 999


def test_fractional_timesteps_interpolate_the_noise_angle(schedule: NoiseSchedule) -> None:
    below, above = schedule.level(41), schedule.level(42)
    between = schedule.level(41.25)
    assert between.angle == pytest.approx(0.75 * below.angle + 0.25 * above.angle, rel=1e-12)
    if isinstance(schedule, VarianceExploding):
        assert between.alpha == 1
    else:
        assert between.radius == pytest.approx(1, rel=1e-12)


def test_float32_timesteps_give_the_tables_rounded_once(schedule: NoiseSchedule) -> None:
    t = torch.tensor([0.0, 500.0, 999.0])
    expected = [schedule.level(v).sigma for v in (0, 500, 999)]
    torch.testing.assert_close(schedule.sigma(t), torch.tensor(expected), rtol=1e-7, atol=0)
    torch.testing.assert_close(
        schedule.log_snr(t.double()),
        torch.tensor([schedule.level(v).log_snr for v in (0, 500, 999)]).double(),
    )


def test_uniform_levels_include_both_ends_and_the_clean_level() -> None:
    levels = Linear().levels(28)
    assert [level.t for level in levels] == [
        *(pytest.approx(999 - 37 * i) for i in range(28)),
        None,
    ]
    assert levels[-1] == CLEAN == Level(1.0, 0.0, None)
    assert [level.t for level in Linear().levels(1)] == [999, None]


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"{steps} steps: .* 1 to 1000"):
        Linear().levels(steps)


def test_wrong_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="betas"):
        Linear(timesteps=10)
    with pytest.raises(ValueError, match="sigma_min"):
        VarianceExploding(sigma_min=2, sigma_max=1)
    with pytest.raises(ValueError, match="timestep 1000"):
        Linear().level(1000)
    with pytest.raises(ValueError, match="spacing 'karas'"):
        Linear().levels(5, "karas")


def test_noise_is_added_per_image_with_its_own_timestep(schedule: NoiseSchedule) -> None:
    x0, eps = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64).unbind()
    t = torch.tensor([0.0, 500.0, 999.0])
    x_t = add_noise(x0, t, eps, schedule)
    for i in range(3):
        level = schedule.level(t[i].item())
        torch.testing.assert_close(
            x_t[i], level.alpha * x0[i] + level.sigma * eps[i], rtol=1e-6, atol=1e-6
        )
