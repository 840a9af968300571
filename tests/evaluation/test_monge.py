import math

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import compare
from cgd_lightning.evaluation.monge import MongeDistance, squared_transport


def draw(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def mind(real: Tensor, generated: Tensor, **options: int) -> float:
    return compare(MongeDistance(real.shape[1], **options), real, generated)["mind"].value


def test_points_on_a_line_go_to_the_quantiles_of_the_others() -> None:
    x, y = draw(3, 12, 0).double().sort().values, draw(3, 18, 1).double().sort().values
    repeated = (x.repeat_interleave(3, dim=1) - y.repeat_interleave(2, dim=1)).square().mean(dim=1)
    torch.testing.assert_close(squared_transport(x, y), repeated)
    torch.testing.assert_close(squared_transport(y, x), repeated)


def test_mind_is_the_formula_of_the_paper_for_equal_numbers() -> None:
    """3 d / (n M) sum over directions and ranks of squared differences (arXiv:2605.06797)."""
    real, generated = draw(200, 16, 0), 1.3 * draw(200, 16, 1)
    generator = torch.Generator().manual_seed(5)
    u = torch.nn.functional.normalize(torch.randn(40, 16, generator=generator), dim=1)
    lines = [(x @ u.T).sort(dim=0).values for x in (real, generated)]
    wanted = 3 * 16 * (lines[0] - lines[1]).square().mean().item()
    assert mind(real, generated, directions=40, seed=5) == pytest.approx(wanted, rel=1e-4)


def test_a_shift_costs_three_times_its_square() -> None:
    x = draw(300, 8, 0)
    shift = torch.full((8,), 0.5)
    # mean over directions of (u.shift)^2 is |shift|^2 / d
    assert mind(x, x + shift, directions=4000) == pytest.approx(3 * 2.0, rel=0.05)
    assert mind(x, x) == 0


def test_one_dimension_agrees_with_scipy() -> None:
    x, y = draw(50, 1, 0), draw(70, 1, 1)
    ours = math.sqrt(mind(x, y, directions=1) / 3)
    # W1 <= W2, and both are of the same order for draws of one distribution.
    assert (
        wasserstein_distance(x[:, 0], y[:, 0]) <= ours < 3 * wasserstein_distance(x[:, 0], y[:, 0])
    )


def test_the_interval_of_mind_holds_its_mean_at_this_n() -> None:
    real = draw(400, 6, 0)
    found = [
        compare(MongeDistance(6, directions=100), real, 1.2 * draw(200, 6, 10 + i))["mind"]
        for i in range(60)
    ]
    mean = sum(e.value for e in found) / len(found)
    held = sum(e.low <= mean <= e.high for e in found)
    assert held >= 52


def test_mind_refuses_directions_below_1_and_one_image() -> None:
    with pytest.raises(InputError, match="directions 0 of MIND"):
        MongeDistance(4, directions=0)
    with pytest.raises(InputError, match="MIND needs at least 2"):
        mind(draw(5, 4, 0), draw(1, 4, 1))
