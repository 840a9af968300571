"""A diagnosis of the exact classifier of a Gaussian mixture, of which the truth is known."""

import pytest
import torch

from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.evaluation.diagnosis import Diagnosis, diagnose
from tests.conftest import SHAPE, ExactLogits
from tests.evaluation.diagnosis.mixture import SCHEDULE, classifier, denoiser, images

COUNT = 4000


@pytest.fixture(scope="module")
def exact() -> Diagnosis:
    return diagnose(classifier(), *images(COUNT), denoiser(), levels=6, batch_size=1000)


@pytest.fixture(scope="module")
def times_five() -> Diagnosis:
    return diagnose(classifier(5.0), *images(COUNT), denoiser(), levels=6, batch_size=1000)


def test_bayes_classifier_has_no_fault_and_guides_at_its_own_scale(exact: Diagnosis) -> None:
    assert exact.faults == ()
    assert exact.advice is not None
    assert exact.advice.bayes == pytest.approx(1, abs=0.1)
    assert exact.advice.first == 0
    assert exact.advice.last > 600
    assert exact.verdict[0].startswith("Can guide from t = 0 to ")


def test_the_best_multiplier_of_the_true_gradient_is_one(exact: Diagnosis) -> None:
    for found in exact.levels[1:-1]:
        assert found.score is not None
        assert abs(found.score.multiplier - 1) < 4 * found.score.multiplier_error
        assert found.score.multiplier_error < 0.2


def test_five_times_the_logits_are_five_times_the_temperature_and_about_a_fifth_to_multiply(
    times_five: Diagnosis, exact: Diagnosis
) -> None:
    assert [fault.kind for fault in times_five.faults] == ["overconfident"]
    for found, true in zip(times_five.levels[1:-1], exact.levels[1:-1]):
        assert found.score is not None
        assert found.found.temperature == pytest.approx(5 * true.found.temperature, rel=1e-3)
        assert found.found.accuracy == true.found.accuracy
        # Less than a fifth, as the softmax of five times the logits errs in direction, too.
        assert 0.08 < found.score.multiplier < 0.21
    assert times_five.advice is not None
    assert times_five.advice.bayes == pytest.approx(0.16, abs=0.03)


def test_bayes_classifier_is_calibrated_and_as_right_as_it_expects(exact: Diagnosis) -> None:
    mixture, (x0, _) = ExactLogits(SCHEDULE), images(COUNT)
    eps = SeededNoise(0, torch.arange(COUNT), SHAPE)().double()
    for found in exact.levels:
        x_t = found.level.alpha * x0 + found.level.sigma * eps
        t = torch.full((COUNT,), found.level.t)
        bayes = mixture.joint(x_t, t).softmax(dim=1).amax(dim=1).mean().item()
        assert found.found.accuracy == pytest.approx(bayes, abs=0.025)
        assert found.found.ece < 0.03
    for found in exact.levels[:-1]:
        assert found.found.temperature == pytest.approx(1, abs=0.15)


def test_the_true_gradient_is_the_slope(exact: Diagnosis) -> None:
    assert max(exact.differences) < 1e-4


def test_a_wrong_schedule_on_the_card_is_found() -> None:
    wrong = classifier(schedule=Linear())
    found = diagnose(wrong, *images(2000), levels=8, batch_size=1000)
    assert [fault.kind for fault in found.faults] == ["other schedule"]
    assert "Cosine" in found.faults[0].text or "Sigmoid" in found.faults[0].text
    assert found.advice is None


def test_without_a_diffusion_model_it_says_what_could_not_be_told() -> None:
    found = diagnose(classifier(), *images(1000), levels=5)
    assert found.faults == ()
    assert found.advice is not None
    assert found.advice.bayes == pytest.approx(1, abs=0.2)
    assert all(level.score is None for level in found.levels)
    assert found.path == ()
    assert "could not be told: no diffusion model was given" in found.verdict[-1]
