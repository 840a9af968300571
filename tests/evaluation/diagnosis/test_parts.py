"""The parts of a diagnosis, each against a known answer."""

import math

import pytest
import torch
from sklearn.naive_bayes import GaussianNB
from torch import nn

from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.evaluation.diagnosis.baseline import ClassMeans
from cgd_lightning.evaluation.diagnosis.calibration import (
    calibration,
    confusion,
    expected_calibration_error,
    fitted_temperature,
)
from cgd_lightning.evaluation.diagnosis.levels import level_grid
from cgd_lightning.evaluation.diagnosis.noise_faults import standard_error
from cgd_lightning.evaluation.diagnosis.score_fit import products, score_fit
from cgd_lightning.evaluation.diagnosis.weights import largest_outlier


def test_levels_go_from_the_first_timestep_to_the_last_in_equal_steps() -> None:
    assert [level.t for level in level_grid(Cosine(), 4)] == [0, 333, 666, 999]


def test_the_fitted_temperature_is_that_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(20_000, 4, generator=generator).double().log_softmax(dim=1)
    labels = torch.multinomial(log_p.exp(), 1, generator=generator)[:, 0]
    assert fitted_temperature(log_p, labels)[0] == pytest.approx(1, abs=0.05)
    hot, tempered = fitted_temperature((3 * log_p).log_softmax(dim=1), labels)
    assert hot == pytest.approx(3, abs=0.15)
    assert tempered == pytest.approx(fitted_temperature(log_p, labels)[1], rel=1e-9)


def test_calibration_error_by_hand() -> None:
    log_p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]).double().log()
    labels = torch.tensor([0, 1, 1, 1])
    # Confidence 0.9 with accuracy 0.5, and confidence 0.6 with accuracy 1, half of the images each.
    assert expected_calibration_error(log_p, labels) == pytest.approx((0.4 + 0.4) / 2)
    found = calibration(log_p, labels)
    assert found.accuracy == 0.75
    assert found.cross_entropy == pytest.approx(
        -(math.log(0.9) + math.log(0.1) + 2 * math.log(0.6)) / 4
    )
    assert found.recall == pytest.approx((1, 2 / 3))
    assert found.probability == pytest.approx((0.65, 0.35))


def test_confusion_counts_what_each_class_is_taken_for() -> None:
    log_p = torch.eye(3).double()[[1, 1, 0, 2]]
    expected = torch.tensor([[0, 1, 0], [0.5, 0.5, 0], [0, 0, 1]]).double()
    assert torch.equal(confusion(log_p, torch.tensor([0, 1, 1, 2])), expected)


def test_class_means_are_naive_bayes_of_one_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(600) % 3
    x = torch.randn(600, 1, 1, 2, generator=generator).double() + labels[:, None, None, None]
    means = ClassMeans.of([(x[:300], labels[:300]), (x[300:], labels[300:])], 3)
    theirs = GaussianNB().fit(x.flatten(1).numpy(), labels.numpy())
    theirs.var_[:] = means.variance
    level = Level(1.0, 1e-9, 0.0)
    found = means.log_prob(x, x, level, labels)
    expected = torch.from_numpy(theirs.predict_log_proba(x.flatten(1).numpy()))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert means.variance == pytest.approx(1, abs=0.1)


def test_an_image_is_left_out_of_the_mean_of_its_class() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 2
    x, level = torch.randn(12, 1, 2, 2, generator=generator).double(), Level(0.8, 0.6, 1.0)
    found = ClassMeans.of([(x, labels)], 2, leave_out=True)
    rest = [place for place in range(12) if place != 4]
    without = ClassMeans.of([(x[rest], labels[rest])], 2)
    variance = level.sigma**2 + level.alpha**2 * found.variance
    distance = (level.alpha * (x[4].flatten() - without.means)).square().sum(dim=1)
    expected = (found.shares.log() - distance / (2 * variance)).log_softmax(dim=0)
    noisy = level.alpha * x
    torch.testing.assert_close(found.log_prob(noisy, x, level, labels)[4], expected)


def test_the_score_fit_finds_the_factor_of_a_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(5000, 1, 2, 2, generator=generator)
    noise = torch.randn(5000, 1, 2, 2, generator=generator)
    found = score_fit(products(target / 0.5 * 4, noise, noise + target, sigma=0.5), 4)
    assert found.multiplier == pytest.approx(0.25)
    assert found.multiplier_error == pytest.approx(0, abs=1e-6)
    assert found.skill == pytest.approx(4 * (1 - 9), rel=0.05)
    assert found.loss == pytest.approx(4 * 9 / 2, rel=0.05)
    assert found.noise_error == pytest.approx(1, rel=0.05)
    unrelated = score_fit(products(noise, noise, noise + target, sigma=1.0), 4)
    assert abs(unrelated.multiplier) < 4 * unrelated.multiplier_error


@pytest.mark.parametrize("scale", [0.02, 1.0])
def test_random_weights_have_no_outlier_and_a_step_of_training_makes_one(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(200, 100)
    layer.weight.data = scale * torch.randn(100, 200, generator=generator)
    assert largest_outlier(layer) == pytest.approx(1, abs=0.05)
    one, other = torch.randn(100, 1, generator=generator), torch.randn(1, 200, generator=generator)
    layer.weight.data += 0.5 * scale * one * other
    found = largest_outlier(layer)
    assert found is not None
    assert found > 1.5


def test_matrices_that_are_too_small_say_nothing() -> None:
    assert largest_outlier(nn.Linear(4, 3)) is None


def test_the_standard_error_is_how_far_means_scatter_where_the_classes_are_given() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    apart = torch.tensor([-5.0, 0.0, 5.0]).double()[labels]
    draws = torch.randn(2000, 60, 1, generator=generator).double() + apart[:, None]
    scatter = draws.mean(dim=1).std().item()
    told = [standard_error(values, labels).item() for values in draws[:200]]
    assert sum(told) / len(told) == pytest.approx(scatter, rel=0.05)
    assert draws[0].std().item() / 60**0.5 > 3 * scatter


def test_where_classes_have_an_image_each_all_variance_is_error() -> None:
    values = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).double()
    found = standard_error(values, torch.arange(60))
    torch.testing.assert_close(found, values.std(dim=0) / 60**0.5)
