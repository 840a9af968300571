"""The variational bound against torch.distributions, on exact Gaussians, and against the entropy of
the data.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.process import add_noise, expand
from cgd_lightning.diffusion.samplers.sampler import posterior_variance, step_variance
from cgd_lightning.diffusion.schedules import CLEAN, Cosine, NoiseSchedule
from cgd_lightning.diffusion.variational import decoder_nll, step_kl, variational_bound

SHAPE = (1, 4, 4)
GREYS = torch.arange(256).double() / 127.5 - 1


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("t", [1, 2, 500, 999])
@pytest.mark.parametrize("fraction", [-1.0, -0.3, 0.9, 1.5])
def test_a_step_is_the_kl_of_the_posterior_and_of_the_learned_gaussian(
    t: int, fraction: float, schedule: NoiseSchedule
) -> None:
    x0, noise, found = (
        draws(6, *SHAPE).clamp(-1, 1),
        draws(6, *SHAPE, seed=1),
        draws(6, *SHAPE, seed=2),
    )
    level, below = schedule.level(t), schedule.level(t - 1)
    x_t = level.alpha * x0 + level.sigma * noise
    small, large = posterior_variance(level, below), step_variance(level, below)

    def mean(x0: Tensor) -> Tensor:
        return (
            level.alpha / below.alpha * below.sigma**2 * x_t + below.alpha * large * x0
        ) / level.sigma**2

    f = (fraction + 1) / 2
    learned = Normal(mean(found), math.exp(f * math.log(large) + (1 - f) * math.log(small)) ** 0.5)
    wanted = kl_divergence(Normal(mean(x0), small**0.5), learned).mean(dim=(1, 2, 3)) / math.log(2)
    bits = variational_bound(
        x0, x0 - found, torch.full_like(x0, fraction), torch.full((6,), float(t)), schedule
    )
    assert torch.allclose(bits / schedule.timesteps, wanted, rtol=1e-7)


def test_the_kl_of_a_step_is_what_sampling_estimates() -> None:
    p, q = Normal(0.3, 0.7), Normal(1.0, 1.3)
    x = 0.3 + 0.7 * draws(200_000)
    ratio = p.log_prob(x) - q.log_prob(x)
    found = step_kl(
        torch.tensor(1.0), torch.tensor(2 * math.log(1.3 / 0.7))
    )  # the means are a deviation of p apart
    assert found.item() == pytest.approx(
        ratio.mean().item(), abs=4 * ratio.std().item() / 200_000**0.5
    )


@pytest.mark.parametrize("t", [1, 3, 400, 999])
def test_of_a_perfect_prediction_the_small_variance_costs_nothing(
    t: int, schedule: NoiseSchedule
) -> None:
    x0, timesteps = draws(3, *SHAPE), torch.full((3,), float(t))
    small, large = (
        variational_bound(x0, 0 * x0, torch.full_like(x0, fraction), timesteps, schedule)
        for fraction in (-1.0, 1.0)
    )
    assert small.abs().max() < 1e-9
    ratio = (schedule.level(t).sigma / schedule.level(t - 1).sigma) ** 2
    assert torch.allclose(
        large,
        torch.full_like(large, 1000 / math.log(2) / 2 * (math.log(ratio) - 1 + 1 / ratio)),
        rtol=1e-6,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("deviation", [1e-3, 1 / 255, 0.05, 3.0])
def test_the_grey_values_share_all_of_the_probability(deviation: float, dtype: torch.dtype) -> None:
    greys = GREYS.to(dtype)
    for mean in (-3.0, -1.0, -0.2, 0.0017, 1.0, 1.4):
        nll = decoder_nll(
            greys, torch.full_like(greys, mean), torch.full_like(greys, 2 * math.log(deviation))
        )
        assert (-nll).exp().sum().item() == pytest.approx(
            1, abs=2e-5 if dtype == torch.float32 else 1e-12
        )


def test_the_decoder_is_the_normal_distribution_between_two_greys() -> None:
    normal = Normal(torch.tensor(0.21, dtype=torch.float64), 0.3)
    between = normal.cdf(GREYS[1:-1] + 1 / 255) - normal.cdf(GREYS[1:-1] - 1 / 255)
    nll = decoder_nll(
        GREYS, torch.full_like(GREYS, 0.21), torch.full_like(GREYS, 2 * math.log(0.3))
    )
    seen = between > 1e-9
    assert seen.sum() > 150
    assert torch.allclose(nll[1:-1][seen], -between[seen].log(), rtol=1e-5)
    assert nll[0].item() == pytest.approx(-normal.cdf(GREYS[0] + 1 / 255).log().item(), rel=1e-6)
    assert nll[-1].item() == pytest.approx(
        -(1 - normal.cdf(GREYS[-1] - 1 / 255)).log().item(), rel=1e-5
    )


@pytest.mark.parametrize("mean", [-40.0, -1.0, 0.0, 1.5, 40.0])
def test_the_decoder_and_its_slope_are_finite_however_wrong_the_prediction(mean: float) -> None:
    greys = GREYS.float()
    for log_variance in (-11.0, 0.0, 5.0):
        learned = torch.full_like(greys, log_variance).requires_grad_()
        nll = decoder_nll(greys, torch.full_like(greys, mean), learned)
        [slope] = torch.autograd.grad(nll.sum(), learned)
        assert nll.isfinite().all()
        assert slope.isfinite().all()


def test_a_prediction_of_noise_may_be_as_far_off_in_x0_as_it_likes() -> None:
    """eps off by one is x0 off by sigma / alpha: the decoder, which is asked of t = 0 alone, must
    not see it.
    """
    x0, timesteps = torch.zeros(60, *SHAPE), torch.full((60,), 999.0)
    error = torch.logspace(0, 7, 60).reshape(-1, 1, 1, 1).expand_as(x0)
    fraction = torch.zeros_like(x0).requires_grad_()
    bits = variational_bound(x0, error, fraction, timesteps, Cosine())
    [slope] = torch.autograd.grad(bits.sum(), fraction)
    assert bits.isfinite().all()
    assert slope.isfinite().all()
    assert bits.diff().min() >= 0


def test_at_the_least_noisy_timestep_the_decoder_counts(schedule: NoiseSchedule) -> None:
    x0 = GREYS[torch.randint(256, (5, *SHAPE), generator=torch.Generator().manual_seed(0))]
    found = x0 + schedule.level(0).sigma * draws(5, *SHAPE)
    large, small = (
        step_variance(schedule.level(0), CLEAN),
        posterior_variance(schedule.level(1), schedule.level(0)),
    )
    for fraction in (-1.0, 0.2, 1.0):
        f = (fraction + 1) / 2
        log_variance = torch.full_like(x0, f * math.log(large) + (1 - f) * math.log(small))
        wanted = decoder_nll(x0, found, log_variance).mean(dim=(1, 2, 3)) / math.log(2)
        bits = variational_bound(
            x0, x0 - found, torch.full_like(x0, fraction), torch.zeros(5), schedule
        )
        assert torch.allclose(bits / 1000, wanted, rtol=1e-6)


@pytest.mark.parametrize("t", [1, 5, 30, 100])
def test_the_best_fraction_gives_the_variance_of_the_exact_reverse_step(
    t: int, schedule: NoiseSchedule
) -> None:
    """Of data N(0.1, 0.4^2), where p(x_s | x_t) is a Gaussian in closed form."""
    n, spread = 20_000, 0.4
    level, below = schedule.level(t), schedule.level(t - 1)
    x0 = 0.1 + spread * draws(n, 1, 1, 1)
    timesteps = torch.full((n,), float(t), dtype=torch.float64)
    x_t = add_noise(x0, timesteps, draws(n, 1, 1, 1, seed=1), schedule)
    gain = level.alpha * spread**2 / (level.alpha**2 * spread**2 + level.sigma**2)
    error = x0 - (0.1 + gain * (x_t - level.alpha * 0.1))

    step, marginal = step_variance(level, below), (below.alpha * spread) ** 2 + below.sigma**2
    exact = 1 / (1 / marginal + (level.alpha / below.alpha) ** 2 / step)

    fraction = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [fraction],
        max_iter=60,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = variational_bound(x0, error, fraction.expand_as(x0), timesteps, schedule).mean()
        value.backward()
        return value

    optimiser.step(loss)
    f = (fraction.item() + 1) / 2
    small = posterior_variance(level, below)
    learned = math.exp(f * math.log(step) + (1 - f) * math.log(small))
    # What is above small comes from the mean square of n errors, known to within 3 sqrt(2 / n).
    assert learned - small == pytest.approx(exact - small, rel=3 * (2 / n) ** 0.5)
    assert abs(exact - small) > 1e-3 * small


def test_of_an_exact_model_the_bound_is_the_entropy_of_the_data() -> None:
    """For Gaussian data every reverse step is a Gaussian, so that nothing is lost but where images
    are rounded to greys.
    """
    schedule, spread = Cosine(), 0.3
    parts = ((0, 20, 2000), (20, 100, 200), (100, 1000, 20))
    timesteps = torch.cat(
        [torch.arange(first, end).repeat(times) for first, end, times in parts]
    ).double()
    x0 = PIXELS.encode(
        (127.5 + 127.5 * spread * draws(len(timesteps), *SHAPE)).round().clamp(0, 255)
    ).double()
    x_t = add_noise(x0, timesteps, draws(len(timesteps), *SHAPE, seed=1), schedule)
    alpha, sigma = (expand(values, x0) for values in schedule.alpha_sigma(timesteps))
    error = x0 - alpha * spread**2 / ((alpha * spread) ** 2 + sigma**2) * x_t
    left = spread**2 * sigma**2 / ((alpha * spread) ** 2 + sigma**2)
    later = timesteps.clamp(min=1)
    (alpha, sigma), (alpha_s, sigma_s) = (schedule.alpha_sigma(t) for t in (later, later - 1))
    fall = (alpha_s / sigma_s) ** 2 - (alpha / sigma) ** 2
    f = (1 + expand(fall, x0) * left).log() / expand(2 * (sigma / sigma_s).log(), x0)
    f = torch.where(expand(timesteps, x0) == 0, 1.0, f)
    bits = variational_bound(x0, error, 2 * f - 1, timesteps, schedule)
    of_each_t = (
        torch.zeros(1000, dtype=torch.float64).index_add(0, timesteps.long(), bits)
        / timesteps.long().bincount()
    )
    entropy = math.log2(spread * math.sqrt(2 * math.pi * math.e)) - math.log2(2 / 255)
    assert of_each_t.mean().item() == pytest.approx(entropy, abs=0.04)
