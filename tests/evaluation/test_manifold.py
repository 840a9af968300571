from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.metrics import precision_recall


def covered(queries: np.ndarray, support: np.ndarray, k: int) -> float:
    radius = NearestNeighbors(n_neighbors=k + 1).fit(support).kneighbors(support)[0][:, -1]
    distance = np.linalg.norm(queries[:, None] - support[None], axis=-1)
    return float((distance <= radius).any(axis=1).mean())


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_hand(queries: Tensor, support: Tensor, k: int) -> float:
    """By the definition, on whole numbers, where there is no rounding."""
    x, s = (t.long() for t in (queries, support))
    among = (s[:, None] - s).square().sum(-1).sort(dim=1).values[:, k]
    return ((x[:, None] - s).square().sum(-1) <= among).any(dim=1).double().mean().item()


def test_precision_and_recall_equal_a_count_by_scikit_learn() -> None:
    real, fake = normal(300, 6, seed=0), 1.3 * normal(200, 6, seed=1) + 0.4
    precision, recall = precision_recall(real, fake, k=3)
    assert precision == covered(fake.numpy(), real.numpy(), 3)
    assert recall == covered(real.numpy(), fake.numpy(), 3)
    assert 0.1 < precision < recall < 1


def test_precision_and_recall_of_a_line_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
    # k = 1: around the real ones lie [-1, 1], [0, 2], [1, 3] and [2, 6]; around the generated ones
    # [0, 6], [5, 7] and [6, 8].
    fake = torch.tensor([[3.0], [6.0], [7.0]])
    assert precision_recall(real, fake, k=1) == (pytest.approx(2 / 3), 1.0)
    # k = 2: around 4 lies [1, 7], as its second neighbour is 1.
    assert precision_recall(real, fake, k=2) == (1.0, 1.0)
    # Around an image that is there twice lies nothing but itself; around 3.5 lies [3, 4].
    twice = torch.tensor([[3.0], [3.0], [3.5]])
    assert precision_recall(real, twice, k=1) == (1.0, 0.25)


def test_precision_falls_with_strange_samples_and_recall_with_missing_variety() -> None:
    real = normal(200, 4, seed=1)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, real + 100) == (0.0, 0.0)
    precision, recall = precision_recall(real, real[:1] + 0.01 * torch.randn(50, 4))
    assert precision == 1
    assert recall < 0.2


@pytest.mark.parametrize("width", [33, 64, 200])
@pytest.mark.parametrize("shift", [0, 1, 1e6])
def test_identical_images_lie_in_their_own_manifold(width: int, shift: float) -> None:
    """All of them are there twice, so that every ball has radius 0. In a product of matrices the
    rounding of a distance depends on how many rows are multiplied.
    """
    for seed in range(5):
        x = (normal(100, width, seed) + shift).repeat(2, 1)
        assert precision_recall(x, x, k=1) == (1.0, 1.0)
        some = x[torch.randperm(200, generator=torch.Generator().manual_seed(seed))]
        for count in (2, 3, 9, 30):
            assert precision_recall(x, some[:count], k=1)[0] == 1.0


@pytest.mark.parametrize(("far", "width"), [(0, 12), (16_000_000, 128)])
def test_what_is_on_the_surface_of_a_ball_is_in_it(far: int, width: int) -> None:
    """Whole numbers on a small lattice, on which most distances are ties."""
    generator = torch.Generator().manual_seed(3)
    real, fake = (
        torch.randint(0, 3, (n, width), generator=generator).float() + far for n in (120, 150)
    )
    fake[:, 0] += 1
    wanted = by_hand(fake, real, 3), by_hand(real, fake, 3)
    assert precision_recall(real, fake) == wanted
    assert 0 < wanted[0] < 1


def test_batches_and_the_order_of_the_images_change_no_bit() -> None:
    real, fake = (
        normal(300, 16, seed=4).round(decimals=1),
        normal(220, 16, seed=5).round(decimals=1),
    )
    metric = PrecisionRecall(16, k=2)
    for part in fake[torch.randperm(220)].split(7):
        metric.update(part, real=False)
    for part in real.flip(0).split(100):
        metric.update(part, real=True)
    precision, recall = metric.compute()
    assert (precision.item(), recall.item()) == precision_recall(real, fake, k=2)
    assert precision.dtype == torch.float64


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", True, None])
def test_a_neighbour_that_is_none_is_refused(k: Any) -> None:
    with pytest.raises(InputError, match=f"k {k!r} of precision and recall: wanted a whole number"):
        PrecisionRecall(8, k)


def test_wrong_features_are_refused() -> None:
    x = torch.zeros(9, 2)
    with pytest.raises(InputError, match=r"3 real and 9 generated.* need more than 3 of each"):
        precision_recall(x[:3], x)
    with pytest.raises(
        InputError, match=r"9 real and 4 generated.* k = 4 need more than 4 of each"
    ):
        precision_recall(x, x[:4], k=4)
    with pytest.raises(InputError, match=r"generated features of shape \(9, 3\): wanted \(N, 2\)"):
        precision_recall(x, torch.zeros(9, 3))
    with pytest.raises(InputError, match="the features of 1 of 9 real images are not finite"):
        precision_recall(torch.cat([x[1:], torch.full((1, 2), torch.inf)]), x)
