from itertools import combinations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import compare
from cgd_lightning.evaluation.frechet import WIDE, FrechetDistance
from cgd_lightning.evaluation.jackknife import block_of, error_of, interactions, variance
from cgd_lightning.evaluation.metrics import frechet_distance


def correlated(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (
        scale * torch.randn(n, d, generator=generator) @ torch.randn(d, d, generator=generator)
        + shift
    )


def by_numpy(real: Tensor, fake: Tensor) -> float:
    (a, b), (mine, theirs) = (
        (x.double().mean(0) for x in (real, fake)),
        (np.cov(x.double().numpy(), rowvar=False) for x in (real, fake)),
    )
    root = scipy.linalg.sqrtm(mine @ theirs).real
    return (a - b).square().sum().item() + float(np.trace(mine + theirs - 2 * root))


class Flat(nn.Module):
    num_features = 12

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.mark.parametrize("n", [8, 500], ids=["fewer images than features", "many images"])
def test_the_frechet_distance_equals_torchmetrics(n: int) -> None:
    real, fake = correlated(700, 12, seed=0), correlated(n, 12, seed=1, scale=1.5, shift=0.3)
    theirs = FrechetInceptionDistance(feature=Flat(), normalize=True).set_dtype(torch.float64)
    theirs.update(real.reshape(-1, 3, 2, 2).double(), real=True)
    theirs.update(fake.reshape(-1, 3, 2, 2).double(), real=False)
    assert frechet_distance(real, fake) == pytest.approx(theirs.compute().item(), rel=1e-6)


def test_the_frechet_distance_is_the_formula_with_a_matrix_root() -> None:
    real, fake = correlated(300, 5, seed=2), correlated(200, 5, seed=3, shift=1)
    assert frechet_distance(real, fake) == pytest.approx(by_numpy(real, fake), rel=1e-8)


def test_the_frechet_distance_of_known_gaussians() -> None:
    x = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(x, 3 * x + 5) == pytest.approx(25 + 4 * 4 / 3)
    assert (
        frechet_distance(1000 + correlated(400, 8, seed=4), 1000 + correlated(400, 8, seed=4)) >= 0
    )


def test_of_independent_features_each_adds_the_difference_of_its_standard_deviations() -> None:
    """|mean_r - mean_g|^2 + sum_i (std_r - std_g)_i^2, of features that are uncorrelated."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    stds, shift = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.0, 1.0, -2.0])
    bessel = (8 / 7) ** 0.5
    wanted = 5 + (bessel * (stds - 3 * stds.flip(0)).double()).square().sum().item()
    got = frechet_distance(signs * stds, signs * 3 * stds.flip(0) + shift)
    assert got == pytest.approx(wanted, rel=1e-12)


def test_a_large_mean_costs_no_digit_that_counts() -> None:
    real, fake = correlated(500, 6, seed=5), correlated(300, 6, seed=6, scale=1.1)
    far = 1000 * torch.ones(6, dtype=torch.float64)
    moved = frechet_distance(real.double() + far, fake.double() + far)
    assert moved == pytest.approx(by_numpy(real, fake), rel=1e-7)


def test_batches_and_their_order_do_not_matter() -> None:
    real, fake = correlated(230, 7, seed=7), correlated(110, 7, seed=8)
    metric = FrechetDistance(7)
    for part in fake.flip(0).split(13):
        metric.update(part, real=False)
    for part in real[torch.randperm(230)].split(50):
        metric.update(part, real=True)
    assert metric.compute().item() == pytest.approx(frechet_distance(real, fake), rel=1e-10)
    assert metric.compute().dtype == torch.float64


def test_wrong_features_are_refused() -> None:
    x = torch.zeros(4, 3)
    with pytest.raises(InputError, match="1 real and 4 generated images: a Frechet distance needs"):
        frechet_distance(x[:1], x)
    with pytest.raises(InputError, match=r"generated features of shape \(4, 2\): wanted \(N, 3\)"):
        frechet_distance(x, x[:, :2])
    with pytest.raises(InputError, match=r"real features of shape \(4,\)"):
        frechet_distance(x[:, 0], x)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_counted_and_refused(bad: float) -> None:
    x, y = torch.zeros(9, 3), torch.zeros(5, 3)
    y[1, 2] = y[4, 0] = y[4, 1] = bad
    metric = FrechetDistance(3)
    metric.update(x, real=True)
    metric.update(y[:3], real=False)
    metric.update(y[3:], real=False)
    with pytest.raises(InputError, match="the features of 2 of 5 generated images are not finite"):
        metric.compute()
    with pytest.raises(InputError, match="the features of 2 of 5 real images are not finite"):
        frechet_distance(y, x)


def by_leaving_out(real: Tensor, fake: Tensor, blocks: int) -> float:
    """The error, where every block and every pair of blocks is left out of the images."""
    block = block_of(torch.arange(len(fake)), blocks)
    both = list(combinations(range(blocks), 2))
    outs: list[tuple[int, ...]] = [(), *((j,) for j in range(blocks)), *both]
    found = torch.tensor(
        [[frechet_distance(real, fake[~torch.isin(block, torch.tensor(out))])] for out in outs],
        dtype=torch.float64,
    )
    whole, single, double = found.split([1, blocks, len(both)])
    return error_of(variance(single), interactions(whole[0], single, double, both)).item()


@pytest.mark.parametrize("shift", [0.0, 0.4])
@pytest.mark.parametrize("n", [60, 90, 200, 1500])
def test_the_error_by_a_series_is_that_of_leaving_blocks_out(n: int, shift: float) -> None:
    """With no more images than the 60 features, and with many more."""
    generator = torch.Generator().manual_seed(n)
    scale = torch.linspace(1, 0.05, 60)
    real, fake = (scale * torch.randn(m, 60, generator=generator).relu() for m in (800, n))
    fake = fake + shift * scale
    found = compare(FrechetDistance(60), real, fake)["fid_lite"].error
    assert found == pytest.approx(by_leaving_out(real, fake, 20), rel=0.1)


@pytest.mark.slow
def test_wide_features_have_half_as_many_blocks_and_an_error_too() -> None:
    d = WIDE + 8
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(n, d, generator=generator)[:, :9] for n in (300, 90))
    wide = torch.zeros(d - 9)
    real, fake = (torch.cat([x, wide.expand(len(x), -1)], dim=1) for x in (real, fake))
    metric = FrechetDistance(d)
    found = compare(metric, real, fake)["fid_lite"].error
    assert metric.counts.tolist() == [9] * 10
    assert found == pytest.approx(by_leaving_out(real[:, :9], fake[:, :9], 10), rel=0.1)


def test_blocks_are_the_same_in_whatever_batches_images_come() -> None:
    fake = correlated(157, 5, seed=9)
    one, many = FrechetDistance(5), FrechetDistance(5)
    one.update(fake, real=False)
    for part in fake.split([1, 19, 20, 21, 0, 41, 55]):
        many.update(part, real=False)
    block = block_of(torch.arange(157))
    for number in range(20):
        own = fake[block == number].double()
        torch.testing.assert_close(one.block_products[number], own.T @ own)
    for name in ("counts", "block_sums", "block_products"):
        torch.testing.assert_close(getattr(many, name), getattr(one, name))
    assert many.counts.sum() == 157
