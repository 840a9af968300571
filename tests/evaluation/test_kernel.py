import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import compare
from cgd_lightning.evaluation.jackknife import BLOCKS
from cgd_lightning.evaluation.kernel import KernelDistance


def draw(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def kid(real: Tensor, generated: Tensor) -> float:
    return compare(KernelDistance(real.shape[1]), real, generated)["kid"].value


def test_kid_equals_torchmetrics_and_torch_fidelity_on_one_full_subset() -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    real, generated = draw(300, 24, 0).abs(), draw(300, 24, 1, 0.3).abs()
    theirs = poly_mmd(generated.double(), real.double()).item()
    found = fidelity.kid_features_to_metric(
        generated, real, kid_subsets=1, kid_subset_size=300, verbose=False
    )["kernel_inception_distance_mean"]
    assert kid(real, generated) == pytest.approx(theirs, rel=1e-9)
    assert kid(real, generated) == pytest.approx(found, rel=1e-4)


def test_kid_is_the_u_statistic_of_all_pairs() -> None:
    real, generated = draw(7, 3, 0).double(), draw(5, 3, 1).double()
    within = [
        sum(((x[i] @ x[j]) / 3 + 1) ** 3 for i in range(len(x)) for j in range(len(x)) if i != j)
        / (len(x) * (len(x) - 1))
        for x in (real, generated)
    ]
    across = (((real @ generated.T) / 3 + 1) ** 3).mean()
    assert kid(real.float(), generated.float()) == pytest.approx(
        float(within[0] + within[1] - 2 * across), rel=1e-5
    )


def test_kid_has_no_bias_and_may_be_below_0() -> None:
    values = [kid(draw(60, 4, 2 * i), draw(60, 4, 2 * i + 1)) for i in range(100)]
    mean, error = torch.tensor(values).mean(), torch.tensor(values).std() / 10
    assert min(values) < 0
    assert abs(mean) < 3 * error


def test_the_interval_of_kid_holds_the_population_value() -> None:
    held = 0
    for i in range(60):
        found = compare(KernelDistance(6), draw(150, 6, 500 + i), draw(150, 6, 900 + i))["kid"]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
    assert held >= 52


def test_few_images_have_a_value_and_no_interval() -> None:
    found = compare(KernelDistance(4), draw(2 * BLOCKS - 1, 4, 0), draw(2 * BLOCKS, 4, 1))["kid"]
    assert found.low is found.error is None


def test_kid_refuses_one_image_and_features_that_are_not_finite() -> None:
    x = draw(50, 4, 0)
    with pytest.raises(InputError, match="KID needs at least 2 of each"):
        kid(x, x[:1])
    with pytest.raises(InputError, match="not finite"):
        kid(x, x / 0)


def test_classes_in_equal_shares_leave_no_bias_where_they_are_told() -> None:
    """Both sides are of one distribution: 4 clusters, 10 images of each."""
    classes = torch.arange(4).repeat(10)
    centres = 3 * draw(4, 3, 0)
    told, untold = [], []
    for i in range(50):
        sides = [draw(40, 3, 1000 + 2 * i + j) + centres[classes] for j in (0, 1)]
        metric = KernelDistance(3)
        for side, real in zip(sides, (True, False)):
            metric.update(side, real=real, classes=classes)
        told.append(metric.compute().item())
        untold.append(kid(sides[0], sides[1]))
    for values, biased in ((told, False), (untold, True)):
        x = torch.tensor(values)
        assert (abs(x.mean()) > 3 * x.std() / 50**0.5) == biased
