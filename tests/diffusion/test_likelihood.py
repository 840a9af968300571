import contextlib
import math

import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.likelihood import Likelihood, bits_per_dimension
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, VarianceExploding
from tests.conftest import SHAPE, Draws, Mixture, exact_classifier
from tests.diffusion.closed_form import closed_form

CONTEXTS = {
    "grad": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}
ZERO_TERMINAL = Linear(zero_terminal_snr=True)


def points(schedule: NoiseSchedule, n: int = 16, classes: list[int] | None = None) -> Tensor:
    """Images at the level of timestep 0."""
    level = schedule.level(0)
    return (
        level.alpha * Mixture(schedule, classes).sample(n, torch.Generator().manual_seed(3))
        + level.sigma * Draws(4, n)()
    )


def exact(schedule: NoiseSchedule, x: Tensor, classes: list[int] | None = None) -> Tensor:
    return Mixture(schedule, classes).joint(x, torch.zeros(len(x))).logsumexp(-1).detach()


def bits(log_p: Tensor) -> Tensor:
    return bits_per_dimension(log_p, math.prod(SHAPE))


def test_the_density_is_the_exact_one_within_two_hundredths_of_a_bit(
    schedule: NoiseSchedule,
) -> None:
    x = points(schedule)
    found = Likelihood(100, exact=True)(closed_form(schedule), x, schedule)
    assert found.shape == (16,)
    torch.testing.assert_close(bits(found), bits(exact(schedule, x)), rtol=0, atol=0.02)


def test_the_density_counts_the_radius_of_the_level() -> None:
    schedule = VarianceExploding(sigma_min=0.5)
    x = points(schedule)
    found = Likelihood(exact=True)(closed_form(schedule), x, schedule)
    torch.testing.assert_close(bits(found), bits(exact(schedule, x)), rtol=0, atol=0.02)


def test_the_density_of_improbable_images_is_the_exact_one_too() -> None:
    schedule = Cosine()
    x = 3 * points(schedule)
    assert exact(schedule, x).mean() < exact(schedule, points(schedule)).mean() - 10
    torch.testing.assert_close(
        bits(Likelihood(300, exact=True)(closed_form(schedule), x, schedule)),
        bits(exact(schedule, x)),
        rtol=0,
        atol=0.02,
    )


def test_zero_terminal_snr_has_a_density() -> None:
    x = points(ZERO_TERMINAL)
    found = Likelihood(exact=True)(closed_form(ZERO_TERMINAL, None, "v"), x, ZERO_TERMINAL)
    torch.testing.assert_close(bits(found), bits(exact(ZERO_TERMINAL, x)), rtol=0, atol=0.02)


def test_the_density_under_guidance_is_that_of_the_class() -> None:
    schedule = Cosine()
    x = points(schedule, classes=[1])
    guided = ClassifierGuidance(1.0).bind(
        closed_form(schedule), exact_classifier(schedule), torch.ones(16, dtype=torch.long)
    )
    found = Likelihood(exact=True)(guided, x, schedule)
    torch.testing.assert_close(bits(found), bits(exact(schedule, x, [1])), rtol=0, atol=0.02)
    assert (bits(exact(schedule, x)) - bits(exact(schedule, x, [1]))).abs().max() > 0.1


def test_hutchinsons_estimate_is_right_on_average() -> None:
    schedule = Cosine()
    x = points(schedule, 1).expand(400, -1, -1, -1)
    noise = SeededNoise(0, torch.arange(400), SHAPE)
    found = bits(Likelihood(50)(closed_form(schedule), x, schedule, noise))
    error = found.std() / 20
    assert 0 < error < 0.01
    assert (found.mean() - bits(exact(schedule, x[:1]))).abs() < 4 * error + 0.005


def test_more_probes_err_less() -> None:
    schedule = Cosine()
    x = points(schedule, 1).expand(100, -1, -1, -1)
    few, many = (
        Likelihood(20, probes=n)(closed_form(schedule), x, schedule, Draws(0, 100)).std()
        for n in (1, 16)
    )
    assert many < few / 2.5


def test_the_estimate_of_an_image_does_not_depend_on_its_batch() -> None:
    schedule = Cosine()
    x = points(schedule)
    together = Likelihood(10)(
        closed_form(schedule), x, schedule, SeededNoise(0, torch.arange(16), SHAPE)
    )
    alone = Likelihood(10)(
        closed_form(schedule), x[5:6], schedule, SeededNoise(0, torch.tensor([5]), SHAPE)
    )
    torch.testing.assert_close(together[5:6], alone)
    other = Likelihood(10)(
        closed_form(schedule), x[5:6], schedule, SeededNoise(1, torch.tensor([5]), SHAPE)
    )
    assert (other - alone).abs() > 1e-6


def test_the_method_is_of_second_order() -> None:
    schedule = Linear()
    x = points(schedule)
    fine = Likelihood(400, exact=True)(closed_form(schedule), x, schedule)
    coarse = [
        (Likelihood(n, exact=True)(closed_form(schedule), x, schedule) - fine).abs().max().item()
        for n in (25, 50)
    ]
    assert math.log2(coarse[0] / coarse[1]) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_the_likelihood_works_in_every_gradient_mode(context) -> None:
    schedule = Cosine()
    guided = ClassifierGuidance(1.0).bind(
        closed_form(schedule), exact_classifier(schedule), torch.zeros(16, dtype=torch.long)
    )
    expected = Likelihood(5, exact=True)(guided, points(schedule), schedule)
    with context():
        found = Likelihood(5, exact=True)(guided, points(schedule), schedule)
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_an_even_density_over_256_grey_levels_is_eight_bits() -> None:
    log_p = torch.tensor([-12 * math.log(256 / 127.5)])
    assert bits_per_dimension(log_p, 12).item() == pytest.approx(8, abs=1e-5)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="0 steps"):
        Likelihood(0)
    with pytest.raises(ValueError, match="probes 0"):
        Likelihood(probes=0)
    with pytest.raises(ValueError, match="spacing 'leading'"):
        Likelihood(spacing="leading")
    with pytest.raises(ValueError, match="1001 steps"):
        Likelihood(1000)(closed_form(Cosine()), points(Cosine()), Cosine())
