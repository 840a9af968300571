"""Whether telling other timesteps helps a classifier, from what it then says of each image."""

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.level import Level
from cgd_lightning.evaluation.diagnosis.evidence import Evidence
from cgd_lightning.evaluation.diagnosis.measure import Seen
from cgd_lightning.evaluation.diagnosis.noise_faults import other_schedule

COUNT, LEVELS = 200, 4
LABELS = torch.arange(COUNT) % 4


def logits(seed: int) -> Tensor:
    """Of a classifier that is mostly right, (levels, N, 4)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(LEVELS, COUNT, 4, generator=generator).double()
    return 2 * torch.eye(4).double()[LABELS] + noise


def evidence(own: Tensor, told_linear: Tensor) -> Evidence:
    """Of the logits, each (levels, N, 4), that the classifier's own timesteps and others give."""
    ways = {"": own.log_softmax(dim=2), "Linear": told_linear.log_softmax(dim=2)}
    means = torch.full((COUNT, 4), 0.25).double().log()
    seen = [
        Seen(Level(0.8, 0.6, float(t)), log_p, means, torch.zeros(COUNT, 3), False, 4)
        for t, log_p in enumerate(ways[""])
    ]
    return Evidence(seen, LABELS, ways, (0.0,) * LEVELS, nn.Identity(), tuple("abcd"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_timesteps_that_take_a_leaning_to_some_classes_away_are_the_right_ones(seed: int) -> None:
    right = logits(seed)
    # Images of two classes gain by them and those of the others lose, on average a little is won.
    leaning = 0.3 * torch.tensor([1.0, 1.0, -1.0, -1.0]).double()
    found = other_schedule(evidence(right + leaning, right), [])
    assert found is not None
    assert "told the timesteps of Linear" in found.text
    assert other_schedule(evidence(right, right + leaning), []) is None


def test_timesteps_that_are_as_good_are_called_better_once_in_hundreds_of_times() -> None:
    alarms = 0
    for seed in range(40):
        own, other = (logits(seed) + 0.3 * logits(seed + times) for times in (1000, 2000))
        alarms += other_schedule(evidence(own, other), []) is not None
    assert alarms <= 1


@pytest.mark.parametrize("seed", range(5))
def test_being_less_sure_at_some_levels_is_no_other_schedule(seed: int) -> None:
    right = logits(seed)
    hot = torch.cat([5 * right[:2], right[2:]])
    assert other_schedule(evidence(hot, right), []) is None
