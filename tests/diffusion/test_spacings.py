import math

import pytest
from diffusers import DDIMScheduler

from cgd_lightning.diffusion.samplers import DDIM, DDPM
from cgd_lightning.diffusion.schedules import (
    CLEAN,
    Cosine,
    Linear,
    NoiseSchedule,
    VarianceExploding,
)
from cgd_lightning.diffusion.spacings import SPACINGS, respaced_steps

NAMES = ["uniform", "leading", "trailing", "log_snr", "karras"]


def timesteps(schedule: NoiseSchedule, steps: int, spacing: str) -> list[float]:
    *levels, clean = schedule.levels(steps, spacing)
    assert clean == CLEAN
    return [level.t for level in levels]


@pytest.mark.parametrize("spacing", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 999, 1000])
def test_every_spacing_gives_as_many_falling_timesteps_as_steps(
    schedule: NoiseSchedule, spacing: str, steps: int
) -> None:
    found = timesteps(schedule, steps, spacing)
    assert len(found) == steps
    assert all(above > below for above, below in zip(found, found[1:]))
    assert 0 <= found[-1] <= found[0] <= 999


def test_the_table_of_spacings_is_tested() -> None:
    assert list(SPACINGS) == NAMES


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [1, 2, 7, 10, 16, 50, 80, 333, 1000])
def test_leading_and_trailing_timesteps_are_those_of_diffusers(spacing: str, steps: int) -> None:
    theirs = DDIMScheduler(timestep_spacing=spacing)
    theirs.set_timesteps(steps)
    assert timesteps(Linear(), steps, spacing) == theirs.timesteps.tolist()


def test_log_snr_spacing_is_even_in_log_snr(schedule: NoiseSchedule) -> None:
    values = [level.log_snr for level in schedule.levels(9, "log_snr")[:-1]]
    low, high = schedule.level(999).log_snr, schedule.level(0).log_snr
    assert values == pytest.approx([low + i / 8 * (high - low) for i in range(9)], rel=1e-6)


def test_karras_spacing_is_that_of_the_paper(schedule: NoiseSchedule) -> None:
    low, high = (level.sigma / level.alpha for level in (schedule.level(0), schedule.level(999)))
    expected = [
        (high ** (1 / 7) + i / 8 * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(9)
    ]
    assert [
        level.sigma / level.alpha for level in schedule.levels(9, "karras")[:-1]
    ] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("spacing", ["uniform", "log_snr", "karras"])
def test_these_spacings_include_both_ends_exactly(schedule: NoiseSchedule, spacing: str) -> None:
    found = timesteps(schedule, 6, spacing)
    assert (found[0], found[-1]) == (999, 0)


@pytest.mark.parametrize("spacing", ["log_snr", "karras"])
def test_zero_terminal_snr_is_walked_from_its_last_level(spacing: str) -> None:
    schedule = Cosine(zero_terminal_snr=True)
    levels = schedule.levels(9, spacing)
    assert levels[0].alpha == 0
    assert levels[-2].t == 0
    assert all(math.isfinite(level.log_snr) for level in levels[1:-1])
    low, high = schedule.level(998).log_snr, schedule.level(0).log_snr
    if spacing == "log_snr":
        assert [level.log_snr for level in levels[1:-1]] == pytest.approx(
            [low + i / 8 * (high - low) for i in range(1, 9)], rel=1e-6
        )


@pytest.mark.parametrize(
    ("spacing", "total", "expected"),
    [
        ("2,3,5", 30, [0, 9, 10, 14, 19, 20, 22, 24, 27, 29]),
        ("2,2", 31, [0, 15, 16, 30]),
        ("1,1,1", 30, [0, 10, 20]),
        ("4", 30, [0, 10, 19, 29]),
        ("ddim50", 1000, list(range(0, 1000, 20))),
        ("ddim7", 40, [0, 6, 12, 18, 24, 30, 36]),
        ("1000", 1000, list(range(1000))),
    ],
)
def test_respacing_strings_take_the_timesteps_that_adm_takes(
    spacing: str, total: int, expected: list[int]
) -> None:
    assert respaced_steps(spacing) == len(expected)
    assert timesteps(Linear(total), len(expected), spacing) == expected[::-1]


def test_250_steps_are_spread_over_both_ends_of_1000() -> None:
    found = timesteps(Linear(), 250, "250")[::-1]
    assert found[:3] == [0, 4, 8]
    assert found[41:44] == [164, 169, 173]
    assert found[-2:] == [995, 999]


def test_a_respacing_string_says_the_number_of_steps_itself() -> None:
    assert DDPM(spacing="250").steps == 250
    assert DDIM(spacing="10,15,20").steps == DDIM(45, spacing="10,15,20").steps == 45
    with pytest.raises(ValueError, match="7 steps with spacing '10,15,20', which says 45 itself"):
        DDIM(7, spacing="10,15,20")
    assert DDIM(spacing="ddim25").steps == 25
    assert DDIM(7, spacing="trailing").steps == 7


@pytest.mark.parametrize(
    ("steps", "spacing", "message"),
    [
        (10, "250", "10 steps with spacing '250', which says 250 itself"),
        (600, "ddim600", "no whole stride takes 600 of 1000"),
        (503, "501,2", "501 steps in a section of 500"),
        (5, "karas", "spacing 'karas': known spacings are uniform"),
        (1001, "1001", "1001 steps: .* 1 to 1000"),
    ],
)
def test_impossible_spacings_are_refused(steps: int, spacing: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Linear().levels(steps, spacing)


@pytest.mark.parametrize(
    "spacing", ["karas", "", "ddim", "ddim5,5", "10,,5", "-3", "0", "ddim0", "1.5"]
)
def test_a_sampler_refuses_a_spacing_that_is_none(spacing: str) -> None:
    with pytest.raises(ValueError, match="spacing"):
        DDIM(10, spacing=spacing)


def test_spacings_hold_for_a_variance_exploding_process() -> None:
    ratios = [math.log(level.sigma) for level in VarianceExploding().levels(5, "log_snr")[:-1]]
    assert [a - b for a, b in zip(ratios, ratios[1:])] == pytest.approx(
        [math.log(5000) / 4] * 4, rel=1e-6
    )
