import pytest
import torch
from torch import Tensor

from cgd_lightning.evaluation.half_samples import HALVES, covered_variance
from cgd_lightning.evaluation.neighbours import distance_to_nearest, in_a_ball


def covered(queries: Tensor, support: Tensor, k: int) -> Tensor:
    return in_a_ball(queries, support, distance_to_nearest(support, k)).double().mean()


def draw(n: int, seed: int) -> Tensor:
    """Of heavy tails, so that a few images make wide balls."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x * x.abs().amax(dim=1, keepdim=True)


@pytest.mark.parametrize(("k", "m"), [(1, 151), (3, 150), (3, 16), (10, 150)])
def test_it_is_the_variance_over_halves_of_which_each_is_looked_at(k: int, m: int) -> None:
    queries, support = draw(200, 0), draw(m, 1)
    generator = torch.Generator().manual_seed(0)
    halves = [torch.randperm(m, generator=generator) < m // 2 for _ in range(HALVES)]
    shares = torch.stack([covered(queries, support[half], k) for half in halves])
    wanted = shares.var().item() * (m // 2) / (m - m // 2)
    assert covered_variance(queries, support, k) == pytest.approx(wanted, rel=0.04)


def test_it_is_that_of_repeated_draws() -> None:
    queries = draw(300, 0)
    values = torch.stack([covered(queries, draw(200, 10 + i), 3) for i in range(200)])
    found = [covered_variance(queries, draw(200, 1000 + i), 3) for i in range(10)]
    assert (sum(found) / 10) ** 0.5 == pytest.approx(values.std().item(), rel=0.15)
