import math

import pytest
import torch

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.inception import InceptionScore


def score(logits: torch.Tensor) -> InceptionScore:
    metric = InceptionScore(logits.shape[1])
    for part in logits.split(37):
        metric.update(part)
    return metric


def test_the_score_equals_torch_fidelity_without_splits() -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_isc")
    logits = 3 * torch.randn(500, 10, generator=torch.Generator().manual_seed(0))
    theirs = fidelity.isc_features_to_metric(logits, splits=1, shuffle=False)
    wanted = theirs["inception_score_mean"]
    assert score(logits).compute().item() == pytest.approx(wanted, rel=1e-4)


def test_sure_and_various_images_score_the_number_of_classes() -> None:
    sure = 1e4 * torch.eye(4).repeat(10, 1)
    assert score(sure).compute().item() == pytest.approx(4)
    assert score(sure[:1].repeat(40, 1)).compute().item() == pytest.approx(1)
    assert score(torch.zeros(40, 4)).compute().item() == pytest.approx(1)
    impossible = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]])
    assert score(impossible).compute().item() == pytest.approx(2)


def test_the_interval_holds_the_mean_score() -> None:
    generator = torch.Generator().manual_seed(1)
    found = [score(2 * torch.randn(300, 5, generator=generator)).estimate() for _ in range(80)]
    mean = sum(e.value for e in found) / len(found)
    assert sum(e.low <= mean <= e.high for e in found) >= 70


def test_no_images_and_other_classes_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        InceptionScore(3).compute()
    with pytest.raises(InputError, match="wanted \\(N, 3\\)"):
        InceptionScore(3).update(torch.zeros(2, 4))
