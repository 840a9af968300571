import pytest
import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.memorisation import NearestTraining, closest


def draw(n: int, seed: int) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))


def measure(training: Tensor, held_out: Tensor, generated: Tensor) -> dict[str, float]:
    metric = NearestTraining(6)
    metric.update_held_out(held_out)
    metric.update(training, real=True)
    metric.update(generated, real=False)
    return {name: e.value for name, e in metric.estimates().items()}


def test_new_draws_are_as_far_as_held_out_images_and_copies_are_at_0() -> None:
    training, held_out = draw(500, 0), draw(500, 1)
    new = measure(training, held_out, draw(500, 2))
    assert new["nearest_training"] == pytest.approx(1, abs=0.08)
    assert new["copied"] < 0.03
    copies = measure(training, held_out, training[:100])
    assert copies == {"nearest_training": 0.0, "copied": 1.0}
    half = measure(training, held_out, torch.cat([training[:250], draw(250, 3)]))
    assert half["copied"] == pytest.approx(0.505, abs=0.02)


def test_the_closest_pairs_come_nearest_first() -> None:
    training = draw(40, 0)
    generated = torch.cat([draw(5, 1) + 9, training[[7, 3]] + torch.tensor([[0.2], [0.1]])])
    distances, samples, places = closest(generated, training, 2)
    assert samples.tolist() == [6, 5]
    assert places.tolist() == [3, 7]
    assert distances.tolist() == pytest.approx([0.1 * 6**0.5, 0.2 * 6**0.5], rel=1e-5)


def test_held_out_images_are_needed() -> None:
    metric = NearestTraining(6)
    metric.update(draw(4, 0), real=True)
    metric.update(draw(4, 1), real=False)
    with pytest.raises(InputError, match="no held-out images"):
        metric.compute()
