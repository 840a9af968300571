"""What metrics say of features that are no numbers, of settings that are none, of equal sets."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.feature_metric import FeatureMetric, compare
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.memorisation import NearestTraining
from cgd_lightning.evaluation.monge import MongeDistance

METRICS: list[type[FeatureMetric]] = [
    FrechetDistance,
    KernelDistance,
    MongeDistance,
    PrecisionRecall,
    DensityCoverage,
]
each_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)


def draw(n: int, seed: int, d: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


@each_metric
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300])
def test_features_that_are_no_numbers_are_counted(
    metric: type[FeatureMetric], number: float
) -> None:
    good, bad = draw(50, 0), draw(50, 1)
    bad[3:5, 2] = number
    for sides, which in (((good, bad), "generated"), ((bad, good), "real")):
        with pytest.raises(InputError, match=f"the features of 2 of 50 {which} images are not fin"):
            compare(metric(16), *sides)


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e30])
def test_held_out_images_are_looked_at_as_well(number: float) -> None:
    held_out = draw(20, 0)
    held_out[7, 1] = number
    for features, says in (
        (held_out, "1 of 20 held-out images are not"),
        (held_out[:0], "no held"),
    ):
        metric = NearestTraining(16)
        metric.update_held_out(features)
        with pytest.raises(InputError, match=says):
            compare(metric, draw(30, 1), draw(30, 2))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_logits_that_are_no_numbers_have_no_score(number: float) -> None:
    logits = draw(30, 0).index_fill(1, torch.tensor(2), number)
    metric = InceptionScore(16)
    metric.update(draw(10, 1))
    metric.update(logits)
    for call in (metric.compute, metric.estimate):
        with pytest.raises(InputError, match="the logits of 30 of 40 images are not finite"):
            call()
    metric.reset()
    metric.update(draw(10, 1))
    assert metric.compute().isfinite()


@pytest.mark.parametrize("width", [0, -1, 1.5, True, None])
@pytest.mark.parametrize("make", [*METRICS, InceptionScore, NearestTraining])
def test_a_width_is_a_whole_number(make: Callable[..., object], width: object) -> None:
    with pytest.raises(InputError, match=f"{width!r} of an? .*: wanted a whole number from 1"):
        make(width)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("mean", "scale"), [(0, 1), (1e4, 1), (1e6, 1), (1e6, 1e-2), (0, 1e-6), (1e10, 1e3), (3, 0)]
)
def test_a_set_is_at_no_distance_of_itself(dtype: torch.dtype, mean: float, scale: float) -> None:
    x = (mean + scale * draw(60, 0)).to(dtype)
    y = x[torch.randperm(60, generator=torch.Generator().manual_seed(1))]
    for batch in (y, torch.cat([y, y])):
        found = compare(PrecisionRecall(16), x, batch, intervals=False)
        assert {e.value for e in found.values()} == {1.0}
        assert compare(DensityCoverage(16), x, batch, False)["coverage"].value == 1
    frechet = compare(FrechetDistance(16), x, y, intervals=False)["fid_lite"].value
    spread = x.double().var(dim=0).sum().item()
    rounding = 1e-15 * x.double().square().sum(dim=1).mean().item()
    assert frechet <= 1e-12 * spread + 16 * rounding
    assert compare(MongeDistance(16), x, y, False)["mind"].value <= 1e-12 * spread + rounding
