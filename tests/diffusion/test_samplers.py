"""On Gaussian data the exact denoiser is affine, so a sampler's result is Gaussian with a mean and variance known in closed form."""

import math

import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Prediction
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM, DDPM, DPMSolver, Sampler
from cgd_lightning.diffusion.schedules import Cosine, Level, Linear, NoiseSchedule, VarianceExploding
from tests.conftest import Draws, Mixture, exact_classifier, exact_denoiser

MEAN, VARIANCE = 0.7, 0.3


def exact_gaussian(x_t: Tensor, level: Level) -> Prediction:
    gain = level.alpha * VARIANCE / (level.alpha**2 * VARIANCE + level.sigma**2)
    return Prediction.from_x0(x_t, level, MEAN + gain * (x_t - level.alpha * MEAN))


def moments(sampler: Sampler, schedule: NoiseSchedule) -> tuple[float, float]:
    """Mean and variance of the sampler's result, exactly: its answer to no noise, and its squared responses to each single draw."""
    draws = sampler.steps + 1

    class Impulses:
        count = 0

        def __call__(self) -> Tensor:
            noise = torch.zeros(draws + 1, 1, 1, 1, dtype=torch.float64)
            if self.count < draws:
                noise[self.count] = 1
            self.count += 1
            return noise

    x = sampler(exact_gaussian, Impulses(), schedule).flatten()
    return x[-1].item(), (x[:-1] - x[-1]).square().sum().item()


def ddpm_theory(steps: int, variance: str) -> tuple[float, float]:
    """Ho et al. 2020, eq. 6, 7 and 11, in betas and alpha bars of the walked levels, noise of variance 1 at the start."""
    bars = [Linear().level(999 - 999 * i / (steps - 1)).alpha ** 2 for i in range(steps)] + [1.0]
    mean, var = 0.0, 1 - bars[0]
    for bar, before in zip(bars, bars[1:]):
        beta = 1 - bar / before
        gain = math.sqrt(bar) * VARIANCE / (bar * VARIANCE + 1 - bar)
        to_x0, to_x = math.sqrt(before) * beta / (1 - bar), math.sqrt(bar / before) * (1 - before) / (1 - bar)
        slope = to_x0 * gain + to_x
        mean = slope * mean + to_x0 * (MEAN - gain * math.sqrt(bar) * MEAN)
        noise = 0.0 if before == 1 else beta if variance == "fixed_large" else (1 - before) / (1 - bar) * beta
        var = slope**2 * var + noise
    return mean, var


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("steps", [2, 10, 250])
def test_ddpm_has_the_moments_of_the_theory(steps: int, variance: str) -> None:
    assert moments(DDPM(steps, variance), Linear()) == pytest.approx(ddpm_theory(steps, variance), rel=1e-9)


def test_ddpm_with_few_steps_is_biased_and_with_many_is_not() -> None:
    few, many = (moments(DDPM(steps), Linear())[1] for steps in (10, 1000))
    assert abs(few - VARIANCE) > 10 * abs(many - VARIANCE)
    assert many == pytest.approx(VARIANCE, rel=2e-2)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_has_the_moments_of_the_theory(eta: float) -> None:
    """Song et al. 2021 (arXiv:2010.02502), eq. 12 and 16, in alpha bars."""
    bars = [Cosine().level(999 - 111 * i).alpha ** 2 for i in range(10)] + [1.0]
    mean, var = 0.0, 1 - bars[0]
    for bar, before in zip(bars, bars[1:]):
        noise = eta**2 * (1 - before) / (1 - bar) * (1 - bar / before)
        gain = math.sqrt(bar) * VARIANCE / (bar * VARIANCE + 1 - bar)
        to_eps = math.sqrt(1 - before - noise)
        slope = math.sqrt(before) * gain + to_eps * (1 - math.sqrt(bar) * gain) / math.sqrt(1 - bar)
        shift = (math.sqrt(before) - to_eps * math.sqrt(bar) / math.sqrt(1 - bar)) * MEAN * (1 - gain * math.sqrt(bar))
        mean, var = slope * mean + shift, slope**2 * var + noise
    assert moments(DDIM(10, eta), Cosine()) == pytest.approx((mean, var), rel=1e-9)


def test_ddim_with_eta_one_is_ddpm_with_the_small_variance() -> None:
    for schedule in (Cosine(), VarianceExploding()):
        ours = DDIM(15, eta=1.0)(exact_gaussian, Draws(0), schedule)
        torch.testing.assert_close(ours, DDPM(15, "fixed_small")(exact_gaussian, Draws(0), schedule))


@pytest.mark.parametrize(
    "sampler", [DDIM(1000), DDIM(1000, eta=1.0), DDPM(1000), DPMSolver(100)], ids=["DDIM", "DDIM-1", "DDPM", "DPMSolver"]
)
def test_a_variance_exploding_process_reaches_the_data_too(sampler: Sampler) -> None:
    mean, variance = moments(sampler, VarianceExploding(sigma_max=300))
    assert mean == pytest.approx(MEAN, rel=2e-2)
    assert variance == pytest.approx(VARIANCE, rel=3e-2)


def errors(sampler: type[Sampler], steps: list[int]) -> list[float]:
    """Distance at a fixed level sigma > 0 from the exact solution of the probability-flow ODE."""
    schedule = Cosine()
    start, end = schedule.level(900), schedule.level(100)
    spread = [math.sqrt(level.alpha**2 * VARIANCE + level.sigma**2) for level in (start, end)]
    x = torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(5, 1, 1, 1)
    exact = end.alpha * MEAN + spread[1] / spread[0] * (x - start.alpha * MEAN)
    found = []
    for n in steps:
        levels = [schedule.level(900 - 800 * i / n) for i in range(n + 1)]
        *_, last = sampler(n).walk(exact_gaussian, x, levels, lambda: torch.zeros_like(x))
        found.append((last - exact).abs().max().item())
    return found


@pytest.mark.parametrize(("sampler", "order"), [(DDIM, 1), (DPMSolver, 2)])
def test_an_ode_sampler_converges_with_its_order(sampler: type[Sampler], order: int) -> None:
    coarse, fine = errors(sampler, [100, 200])
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)


def test_the_second_order_pays_where_steps_are_few() -> None:
    assert errors(DPMSolver, [10])[0] < errors(DDIM, [40])[0]


def test_the_trajectory_ends_with_the_sample_and_has_a_point_for_every_step() -> None:
    points = list(DDIM(7).trajectory(exact_gaussian, Draws(3), Linear()))
    assert len(points) == 7
    assert torch.equal(points[-1], DDIM(7)(exact_gaussian, Draws(3), Linear()))


def sliced_wasserstein(a: Tensor, b: Tensor) -> float:
    """Mean over 64 fixed directions of the 1-Wasserstein distance between two equally large samples."""
    directions = torch.randn(4, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions /= directions.norm(dim=0)
    return ((a.flatten(1) @ directions).sort(dim=0).values - (b.flatten(1) @ directions).sort(dim=0).values).abs().mean().item()


def test_guided_samples_are_distributed_as_the_class_and_those_of_a_wrong_scale_are_not() -> None:
    n, schedule = 20_000, Cosine()
    truth = [Mixture(schedule, [1]).sample(n, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    y = torch.ones(n, dtype=torch.long)

    def distance(scale: float) -> float:
        denoise = ClassifierGuidance(scale).bind(exact_denoiser(schedule), exact_classifier(schedule), y)
        return sliced_wasserstein(DDIM(100, eta=1.0)(denoise, Draws(3, n), schedule), truth[0])

    by_chance = sliced_wasserstein(*truth)
    assert distance(1.0) < 3 * by_chance
    assert distance(2.0) > 6 * by_chance


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"eta 1\.5"):
        DDIM(eta=1.5)
    with pytest.raises(ValueError, match="0 steps"):
        DDPM(0)
    with pytest.raises(ValueError, match="variance 'huge'"):
        DDPM(variance="huge")  # type: ignore[arg-type]
