import pytest
import torch

from cgd_lightning.diffusion.denoiser import Denoise
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.samplers.inversion import invert
from cgd_lightning.diffusion.schedules import (
    Cosine,
    Level,
    Linear,
    NoiseSchedule,
    VarianceExploding,
)
from tests.conftest import Draws, Mixture, exact_classifier
from tests.diffusion.closed_form import closed_form


def images(schedule: NoiseSchedule) -> torch.Tensor:
    return Mixture(schedule).sample(16, torch.Generator().manual_seed(5))


def there_and_back(
    denoise: Denoise, x0: torch.Tensor, levels: list[Level], refinements: int = 0
) -> torch.Tensor:
    """The largest error after the way from images to noise and back."""
    *_, noise = invert(denoise, x0, levels, refinements)
    *_, again = DDIM(len(levels) - 1).walk(denoise, noise, levels, Draws(0))
    return (again - x0).abs().max()


@pytest.mark.parametrize(
    "schedule", [Linear(), Cosine(), VarianceExploding()], ids=lambda s: type(s).__name__
)
def test_images_come_back_and_the_nearer_the_more_steps(schedule: NoiseSchedule) -> None:
    coarse, fine = (
        there_and_back(closed_form(schedule), images(schedule), schedule.levels(steps, "log_snr"))
        for steps in (50, 200)
    )
    assert fine < 0.05
    assert fine < coarse / 2


@pytest.mark.parametrize(
    "schedule", [Linear(), Cosine(), VarianceExploding()], ids=lambda s: type(s).__name__
)
def test_refinements_make_the_way_back_exact(schedule: NoiseSchedule) -> None:
    levels = schedule.levels(25, "log_snr")
    errors = [
        there_and_back(closed_form(schedule), images(schedule), levels, n) for n in (0, 4, 40)
    ]
    assert errors[1] < errors[0] / 4
    assert errors[2] < 1e-9


def test_a_guided_denoiser_is_inverted_too() -> None:
    schedule = Cosine()
    guided = ClassifierGuidance(2.0).bind(
        closed_form(schedule), exact_classifier(schedule), torch.arange(16) % 3
    )
    levels = schedule.levels(20, "log_snr")
    assert there_and_back(guided, images(schedule), levels, 40) < 1e-4
    assert there_and_back(guided, images(schedule), levels) > 1e-2


def test_the_noise_found_is_standard_normal_and_the_image_far_from_it() -> None:
    schedule = Cosine()
    x0 = Mixture(schedule).sample(4000, torch.Generator().manual_seed(5))
    *_, noise = invert(closed_form(schedule), x0, schedule.levels(400, "log_snr"))
    assert noise.mean(0).abs().max() < 0.1
    assert (noise.var(0) - 1).abs().max() < 0.1
    assert (x0.var(0) - 1).abs().max() > 0.1


def test_zero_terminal_snr_is_inverted_too() -> None:
    schedule = Linear(zero_terminal_snr=True)
    x0, levels = images(schedule), schedule.levels(25, "log_snr")
    assert there_and_back(closed_form(schedule, None, "v"), x0, levels, 40) < 1e-9
    with pytest.raises(ValueError, match="1 steps to zero signal"):
        invert(closed_form(schedule, None, "v"), x0, schedule.levels(1))


def test_a_step_costs_one_evaluation_and_its_refinements() -> None:
    denoiser = closed_form(Cosine())
    levels = Cosine().levels(7)
    assert len(list(invert(denoiser, images(Cosine()), levels, 2))) == 7
    assert denoiser.network.calls == 7 * 3


def test_wrong_settings_are_refused_before_any_work() -> None:
    with pytest.raises(ValueError, match="refinements -1"):
        invert(closed_form(Cosine()), images(Cosine()), Cosine().levels(5), -1)
    with pytest.raises(ValueError, match="take more steps"):
        invert(closed_form(Cosine()), images(Cosine()), Cosine().levels(5)[-1:])
