"""On Gaussian data the exact denoiser is affine, so a sampler's result is Gaussian with a mean and
variance known in closed form.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Prediction
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.samplers import (
    DDIM,
    DDPM,
    AnnealedLangevin,
    DPMSolver,
    DPMSolverSDE,
    Euler,
    Heun,
    LangevinCorrector,
    Sampler,
)
from cgd_lightning.diffusion.schedules import (
    CLEAN,
    Cosine,
    Level,
    Linear,
    NoiseSchedule,
    VarianceExploding,
)
from tests.conftest import Draws, Mixture, exact_classifier, exact_denoiser
from tests.diffusion.closed_form import closed_form, with_variance

SAMPLERS: dict[str, Sampler] = {
    "DDIM": DDIM(20),
    "DDIM-0.6": DDIM(20, eta=0.6, spacing="trailing"),
    "DDPM-fixed_small": DDPM(20),
    "DDPM-fixed_large": DDPM(20, variance="fixed_large", spacing="ddim20"),
    "DDPM-learned": DDPM(20, variance="learned"),
    "DPMSolver": DPMSolver(20),
    "DPMSolverSDE": DPMSolverSDE(20),
    "Euler": Euler(20),
    "Heun": Heun(20),
    "LangevinCorrector-ancestral": LangevinCorrector(20),
    "LangevinCorrector-reverse_diffusion": LangevinCorrector(
        20, corrections=2, predictor="reverse_diffusion", spacing="log_snr"
    ),
    "AnnealedLangevin": AnnealedLangevin(100, rounds=2),
}
MEAN, VARIANCE, LEARNED = 0.7, 0.3, 0.4

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def exact_gaussian(x_t: Tensor, level: Level) -> Prediction:
    gain = level.alpha * VARIANCE / (level.alpha**2 * VARIANCE + level.sigma**2)
    return Prediction.from_x0(x_t, level, MEAN + gain * (x_t - level.alpha * MEAN))._replace(
        variance=torch.full_like(x_t, LEARNED)
    )


@every_sampler
@pytest.mark.parametrize("schedule", [Cosine(), VarianceExploding()], ids=["VP", "VE"])
def test_the_guided_trajectory_is_that_of_the_target(
    sampler: Sampler, schedule: NoiseSchedule
) -> None:
    unguided, target = (
        with_variance(exact_denoiser(schedule)),
        with_variance(exact_denoiser(schedule, [2])),
    )
    guided = ClassifierGuidance(1.0).bind(
        unguided, exact_classifier(schedule), torch.full((16,), 2)
    )
    points = zip(
        sampler.trajectory(guided, Draws(1), schedule),
        sampler.trajectory(target, Draws(1), schedule),
        strict=True,
    )
    for x, expected in points:
        torch.testing.assert_close(x, expected, rtol=1e-6, atol=1e-6)
    assert (x - sampler(unguided, Draws(1), schedule)).abs().max() > 0.1


@every_sampler
def test_a_trajectory_has_a_point_for_every_step_and_asks_as_often_as_it_says(
    sampler: Sampler,
) -> None:
    asked = []

    def counted(x_t: Tensor, level: Level) -> Prediction:
        asked.append(level.t)
        return exact_gaussian(x_t, level)

    assert (
        len(list(sampler.trajectory(counted, Draws(3), Cosine())))
        == sampler.steps
        == 20 + 80 * isinstance(sampler, AnnealedLangevin)
    )
    assert len(asked) == sampler.evaluations
    assert None not in asked


@every_sampler
def test_an_image_does_not_depend_on_its_batch(sampler: Sampler) -> None:
    """The images of a batch are scaled differently, so that a mean over them would tell."""
    denoise = with_variance(closed_form(Cosine()))
    scale = torch.linspace(0.5, 2, 16, dtype=torch.float64).reshape(16, 1, 1, 1)
    together, draws = Draws(3), Draws(3)
    whole = sampler(denoise, lambda: scale * together(), Cosine())
    alone = sampler(denoise, lambda: (scale * draws())[5:6], Cosine())
    torch.testing.assert_close(whole[5:6], alone)


def moments(sampler: Sampler, schedule: NoiseSchedule) -> tuple[float, float]:
    """Mean and variance of the sampler's result, exactly: its answer to no noise, and its squared
    responses to each single draw.
    """
    draws = sampler.evaluations + 1

    class Impulses:
        count = 0

        def __call__(self) -> Tensor:
            noise = torch.zeros(draws + 1, 1, 1, 1, dtype=torch.float64)
            noise[self.count] = 1
            self.count += 1
            return noise

    x = sampler(exact_gaussian, Impulses(), schedule).flatten()
    return x[-1].item(), (x[:-1] - x[-1]).square().sum().item()


def ddpm_theory(steps: int, variance: str) -> tuple[float, float]:
    """Ho et al. 2020, eq. 6, 7 and 11, in betas and alpha bars of the walked levels, noise of
    variance 1 at the start.
    """
    bars = [Linear().level(999 - 999 * i / (steps - 1)).alpha ** 2 for i in range(steps)] + [1.0]
    mean, var = 0.0, 1 - bars[0]
    for bar, before in zip(bars, bars[1:]):
        beta = 1 - bar / before
        gain = math.sqrt(bar) * VARIANCE / (bar * VARIANCE + 1 - bar)
        to_x0, to_x = (
            math.sqrt(before) * beta / (1 - bar),
            math.sqrt(bar / before) * (1 - before) / (1 - bar),
        )
        slope = to_x0 * gain + to_x
        mean = slope * mean + to_x0 * (MEAN - gain * math.sqrt(bar) * MEAN)
        noise = (
            0.0
            if before == 1
            else beta
            if variance == "fixed_large"
            else (1 - before) / (1 - bar) * beta
        )
        var = slope**2 * var + noise
    return mean, var


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("steps", [2, 10, 250])
def test_ddpm_has_the_moments_of_the_theory(steps: int, variance: str) -> None:
    assert moments(DDPM(steps, variance), Linear()) == pytest.approx(
        ddpm_theory(steps, variance), rel=1e-9
    )


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
        shift = (
            (math.sqrt(before) - to_eps * math.sqrt(bar) / math.sqrt(1 - bar))
            * MEAN
            * (1 - gain * math.sqrt(bar))
        )
        mean, var = slope * mean + shift, slope**2 * var + noise
    assert moments(DDIM(10, eta), Cosine()) == pytest.approx((mean, var), rel=1e-9)


Step = tuple[np.ndarray, np.ndarray, float]
"""What a step makes of the state (x, x0 before): matrix (2, 2), shift (2,), variance of the noise
added to x.
"""


def affine(
    to_x: float, to_x0: float, level: Level, noise: float = 0.0, to_before: float = 0.0
) -> Step:
    """The step x_s = to_x x_t + to_x0 x0 + to_before x0_before + noise, with x0 = gain x_t + (1 -
    gain alpha) MEAN.
    """
    gain = level.alpha * VARIANCE / (level.alpha**2 * VARIANCE + level.sigma**2)
    rest = (1 - gain * level.alpha) * MEAN
    return (
        np.array([[to_x + to_x0 * gain, to_before], [gain, 0]]),
        np.array([to_x0 * rest, rest]),
        noise,
    )


def dpm_solver_theory(levels: list[Level], stochastic: bool) -> Iterator[Step]:
    """Lu et al. 2022 (arXiv:2211.01095), 2M forms, in lambda = log(alpha / sigma), with D = (1 + 1
    / 2r) x0 - x0_before / 2r.
    """
    lambdas = [math.log(level.alpha / level.sigma) for level in levels[:-1]] + [math.inf]
    for i, (t, s) in enumerate(zip(levels, levels[1:])):
        h = lambdas[i + 1] - lambdas[i]
        half = 0 if i == 0 or h == math.inf else h / (2 * (lambdas[i] - lambdas[i - 1]))
        decay = math.exp(-2 * h) if stochastic else math.exp(-h)
        to_x = s.sigma / t.sigma * (math.exp(-h) if stochastic else 1)
        to_x0 = s.alpha * (1 - decay)
        yield affine(
            to_x, to_x0 * (1 + half), t, s.sigma**2 * (1 - decay) * stochastic, -to_x0 * half
        )


def heun_theory(levels: list[Level], order: int) -> Iterator[Step]:
    """Karras et al. 2022 (arXiv:2206.00364), algorithm 1 with s(t) = 1 on x / alpha, whose
    derivative is (x / alpha - x0) / r.
    """

    def slope(r: float) -> tuple[float, float]:
        """d = a x~ + b for data N(MEAN, VARIANCE) with noise r."""
        return r / (VARIANCE + r**2), -r * MEAN / (VARIANCE + r**2)

    for t, s in zip(levels, levels[1:]):
        high, low = t.sigma / t.alpha, s.sigma / s.alpha
        a, b = slope(high)
        matrix, shift = 1 + (low - high) * a, (low - high) * b
        if order == 2 and low > 0:
            a2, b2 = slope(low)
            matrix, shift = (
                1 + (low - high) / 2 * (a + a2 * matrix),
                (low - high) / 2 * (b + a2 * shift + b2),
            )
        yield (
            np.array([[s.alpha / t.alpha * matrix, 0], [0, 0]]),
            np.array([s.alpha * shift, 0]),
            0.0,
        )


def learned_theory(levels: list[Level]) -> Iterator[Step]:
    """Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 15, in betas and alpha bars."""
    for t, s in zip(levels, levels[1:]):
        bar, before = t.alpha**2, s.alpha**2
        beta = 1 - bar / before
        small = (1 - before) / (1 - bar) * beta
        part = (LEARNED + 1) / 2
        noise = beta**part * small ** (1 - part) if s.sigma > 0 else 0.0
        yield affine(
            math.sqrt(1 - beta) * (1 - before) / (1 - bar),
            math.sqrt(before) * beta / (1 - bar),
            t,
            noise,
        )


def reverse_diffusion_theory(levels: list[Level]) -> Iterator[Step]:
    """Song et al. 2021 (arXiv:2011.13456), algorithm 3: x = (2 - sqrt(1 - beta)) x + beta score +
    sqrt(beta) z.
    """
    for t, s in zip(levels, levels[1:]):
        beta = 1 - (t.alpha / s.alpha) ** 2
        # The score is (alpha x0 - x) / sigma^2.
        to_x = 2 - math.sqrt(1 - beta) - beta / t.sigma**2
        yield affine(to_x, beta * t.alpha / t.sigma**2, t, beta if s.sigma > 0 else 0.0)


def annealed_langevin_theory(levels: list[Level], rounds: int, epsilon: float) -> Iterator[Step]:
    """Song and Ermon 2020 (arXiv:2006.09011), algorithm 1, on x / alpha with noise r = sigma /
    alpha; at last x + r^2 score.
    """
    smallest = levels[-2].sigma / levels[-2].alpha
    for t, s in zip(levels, levels[1:]):
        r = t.sigma / t.alpha
        step = epsilon * smallest**2 * r**2 / smallest**2
        score = -1 / (VARIANCE + r**2)
        matrix, shift, noise = 1 / t.alpha, 0.0, 0.0
        for _ in range(rounds):
            factor = 1 + step * score
            matrix, shift, noise = (
                factor * matrix,
                factor * shift - step * score * MEAN,
                factor**2 * noise + 2 * step,
            )
        if s == CLEAN:
            factor = 1 + r**2 * score
            matrix, shift, noise = (
                factor * matrix,
                factor * shift - r**2 * score * MEAN,
                factor**2 * noise,
            )
        yield (
            np.array([[s.alpha * matrix, 0], [0, 0]]),
            np.array([s.alpha * shift, 0]),
            s.alpha**2 * noise,
        )


THEORIES: dict[str, tuple[Sampler, Callable[[list[Level]], Iterator[Step]]]] = {
    "DDPM-learned": (DDPM(20, "learned"), learned_theory),
    "DPMSolver": (DPMSolver(20), lambda levels: dpm_solver_theory(levels, False)),
    "DPMSolverSDE": (DPMSolverSDE(20), lambda levels: dpm_solver_theory(levels, True)),
    "Euler": (Euler(20), lambda levels: heun_theory(levels, 1)),
    "Heun": (Heun(20), lambda levels: heun_theory(levels, 2)),
    "ancestral": (
        LangevinCorrector(20, 0),
        lambda levels: (affine(*ancestral(t, s)) for t, s in zip(levels, levels[1:])),
    ),
    "reverse_diffusion": (
        LangevinCorrector(20, 0, predictor="reverse_diffusion"),
        reverse_diffusion_theory,
    ),
    "AnnealedLangevin": (
        AnnealedLangevin(30, 3, 0.1),
        lambda levels: annealed_langevin_theory(levels, 3, 0.1),
    ),
}


def ancestral(t: Level, s: Level) -> tuple[float, float, Level, float]:
    """Song et al. 2021 (arXiv:2011.13456), eq. 47 of appendix F, on x / alpha with noise r = sigma
    / alpha; x0 = x + r^2 score.
    """
    r, low = t.sigma / t.alpha, s.sigma / s.alpha
    return (
        s.alpha / t.alpha * (low / r) ** 2,
        s.alpha * (1 - (low / r) ** 2),
        t,
        s.alpha**2 * low**2 * (r**2 - low**2) / r**2,
    )


@pytest.mark.parametrize(("sampler", "theory"), THEORIES.values(), ids=THEORIES)
@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=["Linear", "Cosine"])
def test_a_sampler_has_the_moments_of_its_theory(
    sampler: Sampler, theory, schedule: NoiseSchedule
) -> None:
    levels = schedule.levels(sampler.steps, sampler.spacing)
    mean, covariance = np.zeros(2), np.diag([levels[0].sigma ** 2, 0])
    for matrix, shift, noise in theory(levels):
        mean, covariance = (
            matrix @ mean + shift,
            matrix @ covariance @ matrix.T + np.diag([noise, 0]),
        )
    assert moments(sampler, schedule) == pytest.approx((mean[0], covariance[0, 0]), rel=1e-7)


def test_the_corrector_brings_a_wrong_distribution_to_the_levels_own() -> None:
    """With steps epsilon on Gaussian data of variance S, Langevin dynamics settle at S / (1 -
    epsilon / 2S): 1% above S here.
    """
    schedule = Cosine()
    levels = [schedule.level(500), schedule.level(400), CLEAN]
    generator = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        return torch.randn(64, 1, 16, 16, generator=generator, dtype=torch.float64)

    def result(corrections: int) -> tuple[float, float]:
        sampler = LangevinCorrector(2, corrections, snr=0.1 / levels[1].alpha)
        *_, x = sampler.walk(
            exact_gaussian, torch.full((64, 1, 16, 16), 1.5, dtype=torch.float64), levels, draw
        )
        return x.mean().item(), x.var().item()

    level = levels[1]
    spread = level.alpha**2 * VARIANCE + level.sigma**2
    expected = (level.alpha * VARIANCE / spread) ** 2 * spread
    mean, variance = result(600)
    assert mean == pytest.approx(MEAN, abs=0.02)
    assert variance == pytest.approx(expected, rel=0.04)
    wrong_mean, wrong_variance = result(0)
    assert abs(wrong_mean - MEAN) > 0.2
    assert wrong_variance < expected / 2


def test_the_mean_shift_is_algorithm_1_of_adm() -> None:
    """Dhariwal and Nichol 2021 (arXiv:2105.05233): x ~ N(mu + s Sigma grad log p(y | x_t), Sigma),
    in betas, the last step too.
    """
    schedule = Cosine()
    levels = schedule.levels(5)
    denoise, classifier = with_variance(closed_form(schedule)), exact_classifier(schedule)
    guided = ClassifierGuidance(3.0).bind(denoise, classifier, torch.full((16,), 1))
    draws = Draws(4)
    x = levels[0].sigma * draws()
    noises = [draws() for _ in range(4)]
    for variance in ("fixed_small", "fixed_large", "learned"):
        points = list(
            DDPM(5, variance, mean_shift=True).walk(guided, x, levels, iter(noises).__next__)
        )
        mine, betas = x, []
        for i, (t, s) in enumerate(zip(levels, levels[1:])):
            bar, before = t.alpha**2, s.alpha**2
            beta = 1 - bar / before
            betas.append((1 - before) / (1 - bar) * beta)
            prediction = denoise(mine, t)
            mu = (
                math.sqrt(before) * beta * prediction.x0
                + math.sqrt(bar / before) * (1 - before) * mine
            ) / (1 - bar)
            clipped = betas[-1] or betas[-2]
            part = (prediction.variance + 1) / 2
            sigma = {
                "fixed_small": betas[-1],
                "fixed_large": beta if i < 4 else betas[-2],
                "learned": beta**part * clipped ** (1 - part),
            }[variance]
            gradient = (prediction.eps - guided(mine, t).eps) / t.sigma
            noise = noises[i] if i < 4 else 0
            mine = mu + sigma * gradient + sigma**0.5 * noise
            torch.testing.assert_close(points[i], mine, rtol=1e-9, atol=1e-9)


def test_the_mean_shift_of_many_steps_comes_near_guidance_and_without_guidance_is_none() -> None:
    schedule = Cosine()
    guided = ClassifierGuidance(1.0).bind(
        closed_form(schedule), exact_classifier(schedule), torch.full((16,), 1)
    )
    near, far = (
        (DDPM(n, mean_shift=True)(guided, Draws(1), schedule) - DDPM(n)(guided, Draws(1), schedule))
        .abs()
        .mean()
        for n in (500, 20)
    )
    assert near < far / 3
    unguided = closed_form(schedule)
    assert torch.equal(
        DDPM(5, mean_shift=True)(unguided, Draws(1), schedule),
        DDPM(5)(unguided, Draws(1), schedule),
    )


def test_a_learned_variance_is_asked_of_a_network_that_has_one() -> None:
    with pytest.raises(ValueError, match="did not learn any"):
        DDPM(5, "learned")(exact_denoiser(Cosine()), Draws(0), Cosine())
    assert DDPM(1, "learned")(exact_gaussian, Draws(0), Cosine()).isfinite().all()


def test_euler_is_ddim_without_noise() -> None:
    denoise = closed_form(Cosine())
    torch.testing.assert_close(
        Euler(9, "karras")(denoise, Draws(0), Cosine()),
        DDIM(9, spacing="karras")(denoise, Draws(0), Cosine()),
    )


def test_ddim_with_eta_one_is_ddpm_with_the_small_variance() -> None:
    for schedule in (Cosine(), VarianceExploding()):
        ours = DDIM(15, eta=1.0)(exact_gaussian, Draws(0), schedule)
        torch.testing.assert_close(
            ours, DDPM(15, "fixed_small")(exact_gaussian, Draws(0), schedule)
        )


@pytest.mark.parametrize(
    "sampler",
    [
        DDIM(1000),
        DDIM(1000, eta=1.0),
        DDPM(1000),
        DPMSolver(100),
        DPMSolverSDE(200),
        Heun(50),
        AnnealedLangevin(300, 20, 0.1),
    ],
    ids=["DDIM", "DDIM-1", "DDPM", "DPMSolver", "DPMSolverSDE", "Heun", "AnnealedLangevin"],
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


@pytest.mark.parametrize(("sampler", "order"), [(DDIM, 1), (Euler, 1), (DPMSolver, 2), (Heun, 2)])
def test_an_ode_sampler_converges_with_its_order(sampler: type[Sampler], order: int) -> None:
    coarse, fine = errors(sampler, [100, 200])
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)


def test_the_second_order_pays_where_steps_are_few() -> None:
    assert errors(DPMSolver, [10])[0] < errors(DDIM, [40])[0]


def test_the_trajectory_ends_with_the_sample() -> None:
    *_, last = DDIM(7).trajectory(exact_gaussian, Draws(3), Linear())
    assert torch.equal(last, DDIM(7)(exact_gaussian, Draws(3), Linear()))


def sliced_wasserstein(a: Tensor, b: Tensor) -> float:
    """Mean over 64 fixed directions of the 1-Wasserstein distance between two equally large
    samples.
    """
    directions = torch.randn(4, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions /= directions.norm(dim=0)
    return (
        (
            (a.flatten(1) @ directions).sort(dim=0).values
            - (b.flatten(1) @ directions).sort(dim=0).values
        )
        .abs()
        .mean()
        .item()
    )


def test_guided_samples_are_distributed_as_the_class_and_those_of_a_wrong_scale_are_not() -> None:
    n, schedule = 20_000, Cosine()
    truth = [
        Mixture(schedule, [1]).sample(n, torch.Generator().manual_seed(seed)) for seed in (1, 2)
    ]
    y = torch.ones(n, dtype=torch.long)

    def distance(scale: float) -> float:
        denoise = ClassifierGuidance(scale).bind(
            exact_denoiser(schedule), exact_classifier(schedule), y
        )
        return sliced_wasserstein(DDIM(100, eta=1.0)(denoise, Draws(3, n), schedule), truth[0])

    by_chance = sliced_wasserstein(*truth)
    assert distance(1.0) < 3 * by_chance
    assert distance(2.0) > 6 * by_chance


class TooLittleNoise(DDPM):
    """A wrong coefficient: nine tenths of the noise that the step should add."""

    def walk(self, denoise, x, levels, noise):
        return super().walk(denoise, x, levels, lambda: 0.9 * noise())


class NoExtrapolation(DPMSolverSDE):
    """A wrong coefficient: the noise of the ODE's step, e^-h instead of e^-2h."""

    def walk(self, denoise, x, levels, noise):
        for level, below in zip(levels, levels[1:]):
            h = (below.log_snr - level.log_snr) / 2
            fresh = -math.expm1(-h)
            x = (
                below.sigma / level.sigma * math.exp(-h) * x
                + below.alpha * -math.expm1(-2 * h) * denoise(x, level).x0
            )
            x = x + below.sigma * math.sqrt(fresh) * noise()
            yield x


RIGHT = {
    "DDPM": DDPM(150, spacing="log_snr"),
    "DPMSolver": DPMSolver(40, "log_snr"),
    "DPMSolverSDE": DPMSolverSDE(100, "log_snr"),
    "Heun": Heun(40),
}
WRONG = {
    "DDPM": TooLittleNoise(150, spacing="log_snr"),
    "DPMSolverSDE": NoExtrapolation(100, "log_snr"),
}


def distance(sampler: Sampler, n: int = 20_000) -> float:
    """From the exact mixture, in units of the distance between two samples of it."""
    schedule = Linear()
    truth, other = (
        Mixture(schedule).sample(n, torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )
    return sliced_wasserstein(
        sampler(closed_form(schedule), Draws(3, n), schedule), truth
    ) / sliced_wasserstein(other, truth)


@pytest.mark.parametrize("sampler", RIGHT.values(), ids=RIGHT)
def test_samples_are_distributed_as_the_data(sampler: Sampler) -> None:
    assert distance(sampler) < 3


@pytest.mark.parametrize("sampler", WRONG.values(), ids=WRONG)
def test_samples_of_a_wrong_coefficient_are_not_distributed_as_the_data(sampler: Sampler) -> None:
    assert distance(sampler) > 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(eta=1.5), r"eta 1\.5"),
        (lambda: DDPM(0), "0 steps"),
        (lambda: DDPM(variance="huge"), "variance 'huge'"),
        (lambda: Heun(-1), "-1 steps"),
        (lambda: LangevinCorrector(snr=-0.1), r"snr -0\.1"),
        (lambda: LangevinCorrector(snr=math.nan), "snr nan"),
        (lambda: LangevinCorrector(corrections=-1), "corrections -1"),
        (lambda: LangevinCorrector(predictor="euler"), "predictor 'euler'"),
        (lambda: AnnealedLangevin(rounds=0), "rounds 0"),
        (lambda: AnnealedLangevin(epsilon=2), "epsilon 2"),
        (lambda: DPMSolver(5, "karas"), "spacing 'karas'"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], Sampler], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
