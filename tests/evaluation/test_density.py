import pytest
import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.feature_metric import compare


def draw(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def density_coverage(real: Tensor, generated: Tensor, k: int = 5) -> tuple[float, float]:
    found = compare(DensityCoverage(real.shape[1], k), real, generated)
    return found["density"].value, found["coverage"].value


def test_density_and_coverage_count_balls_and_visitors() -> None:
    """Real 0, 1, 3: with k = 1 the balls reach 1, 1 and 2; surfaces belong to them."""
    real = torch.tensor([[0.0], [1.0], [3.0]])
    generated = torch.tensor([[0.5], [1.0], [4.9], [9.0]])
    # 0.5 lies in two balls, 1.0 in all three, 4.9 in the third, 9 in none: 6 of 4; all are visited.
    assert density_coverage(real, generated, k=1) == (6 / 4, 1.0)
    assert density_coverage(real, generated[2:], k=1) == (1 / 2, pytest.approx(1 / 3))


def test_they_equal_their_definition_by_a_matrix_of_distances() -> None:
    real, generated = draw(150, 5, 0), 0.8 * draw(90, 5, 1)
    exact = torch.cdist(real.double(), real.double(), compute_mode="donot_use_mm_for_euclid_dist")
    radius = exact.kthvalue(6, dim=1).values
    inside = (
        torch.cdist(real.double(), generated.double(), compute_mode="donot_use_mm_for_euclid_dist")
        <= radius[:, None]
    )
    wanted = (inside.sum().item() / (5 * 90), inside.any(dim=1).double().mean().item())
    assert density_coverage(real, generated) == pytest.approx(wanted, rel=1e-12)


def test_real_images_against_themselves_lie_on_surfaces_and_are_counted() -> None:
    x = draw(64, 8, 3)
    density, coverage = density_coverage(x, x)
    assert coverage == 1.0
    assert density == pytest.approx((5 + 1) / 5)  # each ball holds 5 neighbours and its centre


def test_a_far_outlier_makes_no_ball_that_holds_everything() -> None:
    real = torch.cat([draw(200, 4, 0), torch.full((1, 4), 1000.0)])
    generated = draw(200, 4, 1) + 30
    density, coverage = density_coverage(real, generated)
    # The outlier's own ball does hold them: 1 of 201 balls.
    assert density == pytest.approx(1 / 5)
    assert coverage == pytest.approx(1 / 201)


def test_their_intervals_hold_their_means_at_this_n() -> None:
    real = draw(500, 8, 0)
    found = [compare(DensityCoverage(8), real, 0.9 * draw(250, 8, 10 + i)) for i in range(60)]
    for name in ("density", "coverage"):
        mean = sum(e[name].value for e in found) / len(found)
        held = sum(e[name].low <= mean <= e[name].high for e in found)
        assert held >= 52


def test_they_refuse_k_below_1_and_too_few_images() -> None:
    with pytest.raises(InputError, match="k 0 of density"):
        DensityCoverage(4, k=0)
    with pytest.raises(InputError, match="need more than 5 of each"):
        density_coverage(draw(5, 4, 0), draw(50, 4, 1))
