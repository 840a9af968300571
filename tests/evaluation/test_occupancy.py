import pytest
import torch

from cgd_lightning.evaluation.occupancy import marks, reached_variance


def variance(chosen: torch.Tensor) -> float:
    """Of the share of places in some of `chosen` (n, M), which visitor reaches which place."""
    return reached_variance(chosen.double().T @ marks(len(chosen)), len(chosen))[0]


@pytest.mark.parametrize("n", [50, 100, 200])
def test_of_separate_places_it_is_that_of_occupied_boxes(n: int) -> None:
    """m (e^-a - (1 + a) e^-2a) for n = a m balls in m boxes (Feller 1968, IV.2)."""
    generator = torch.Generator().manual_seed(n)
    found = [
        variance(torch.nn.functional.one_hot(torch.randint(100, (n,), generator=generator), 100))
        for _ in range(300)
    ]
    a = torch.tensor(n / 100)
    wanted = ((-a).exp() - (1 + a) * (-2 * a).exp()) / 100
    assert sum(found) / 300 == pytest.approx(wanted.item(), rel=0.06)


def test_of_places_that_overlap_it_is_that_of_repeated_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(300, generator=generator)
    draws = [torch.rand(200, 1, generator=generator) for _ in range(400)]
    chosen = [(x - starts > 0) & (x - starts < 0.01) for x in draws]
    shares = torch.stack([inside.any(dim=0).double().mean() for inside in chosen])
    found = [variance(inside) for inside in chosen]
    assert sum(found) / 400 == pytest.approx(shares.var().item(), rel=0.15)


def test_places_that_all_or_none_reach_vary_by_nothing() -> None:
    assert variance(torch.ones(60, 5)) == variance(torch.zeros(60, 5)) == 0
