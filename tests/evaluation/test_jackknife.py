import pytest
import torch
from scipy.stats import t
from torch import Tensor

from cgd_lightning.evaluation.estimate import share, share_of_variance
from cgd_lightning.evaluation.jackknife import BLOCKS, block_of, jackknife_error, pairs


def squared_mean(x: Tensor) -> tuple[float, float]:
    """|mean|^2 of `x`, and its error."""
    block = block_of(torch.arange(len(x)))
    counts = torch.bincount(block, minlength=BLOCKS).double()
    sums = torch.zeros(BLOCKS, x.shape[1], dtype=x.dtype).index_add(0, block, x)

    def without(out: tuple[int, ...]) -> Tensor:
        kept = torch.tensor([j not in out for j in range(BLOCKS)])
        return (sums[kept].sum(dim=0) / counts[kept].sum()).square().sum()[None]

    single = torch.stack([without((j,)) for j in range(BLOCKS)])
    double = torch.stack([without(pair) for pair in pairs()])
    whole = without(())
    return whole.item(), jackknife_error(whole, single, double).item()


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.5])
def test_the_error_is_that_of_repeated_draws_also_where_the_first_order_vanishes(
    shift: float,
) -> None:
    generator = torch.Generator().manual_seed(0)
    found = torch.tensor(
        [
            squared_mean(torch.randn(100, 20, generator=generator, dtype=torch.float64) + shift)
            for _ in range(400)
        ]
    )
    assert found[:, 1].square().mean().sqrt() == pytest.approx(found[:, 0].std().item(), rel=0.2)


def test_images_sorted_by_class_are_spread_evenly_over_the_blocks() -> None:
    for size in (20, 100, 1000):
        for start in (0, 7, 12345):
            counts = torch.bincount(block_of(torch.arange(start, start + size)), minlength=BLOCKS)
            assert counts.max() - counts.min() <= 2


def test_each_turn_of_fewer_blocks_reaches_all_of_them() -> None:
    turns = block_of(torch.arange(1000), 10).view(100, 10)
    assert torch.equal(turns.sort(dim=1).values, torch.arange(10).expand(100, 10))
    assert len(turns.unique(dim=0)) > 30


@pytest.mark.parametrize("classes", [2, 3, 10, 20, 55, 89, 100, 144])
def test_no_number_of_classes_in_turn_chimes_with_the_blocks(classes: int) -> None:
    """A class's images fall into the blocks as by chance, or more evenly."""
    excess = []
    for first in range(min(classes, 10)):
        own = block_of(torch.arange(first, 100 * BLOCKS * classes, classes))
        counts = torch.bincount(own, minlength=BLOCKS).double()
        excess.append(((counts - 100).square() / 100).sum().item() / (BLOCKS - 1))
    assert sum(excess) / len(excess) < 2.5


def test_wilsons_interval_of_a_share_holds_it_and_stays_within_0_and_1() -> None:
    none, half, every = share(0, 50), share(25, 50), share(50, 50)
    assert (none.value, none.low, every.value, every.high) == (0, 0, 1, 1)
    assert none.high == pytest.approx(0.0713, abs=1e-3)  # Brown, Cai and DasGupta 2001
    assert half.low == pytest.approx(0.3664, abs=1e-3)


def test_a_share_of_known_variance_has_wilsons_interval_of_as_many_independent_images() -> None:
    wilson = share(30, 50, quantile=t.ppf(0.975, 40))
    found = share_of_variance(0.6, 0.6 * 0.4 / 50, 40, most=1000)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-4)
    assert found.error == pytest.approx((0.24 / 50) ** 0.5)
    nothing = share_of_variance(1.0, 0.0, 40, most=1000)
    assert (nothing.value, nothing.high) == (1, 1)
    assert nothing.low == pytest.approx(0.996, abs=1e-3)
