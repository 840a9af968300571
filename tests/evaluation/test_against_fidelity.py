"""Against torch-fidelity, on the same features."""

import pytest
import torch

from cgd_lightning.evaluation.metrics import frechet_distance, precision_recall

fid = pytest.importorskip("torch_fidelity.metric_fid")
prc = pytest.importorskip("torch_fidelity.metric_prc")


def features(n: int, scale: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, 16, generator=generator).relu()


def test_the_frechet_distance_equals_torch_fidelitys() -> None:
    real, generated = features(600, 1.0, 0), features(500, 1.1, 1)
    moments = [fid.fid_features_to_statistics(x) for x in (generated, real)]
    theirs = fid.fid_statistics_to_metric(*moments, False)["frechet_inception_distance"]
    assert frechet_distance(real, generated) == pytest.approx(theirs, rel=1e-4)


def test_precision_and_recall_equal_torch_fidelitys() -> None:
    real, generated = features(300, 1.0, 0), features(250, 0.9, 1)
    theirs = prc.prc_features_to_metric(
        generated,
        real,
        prc_neighborhood=3,
        prc_batch_size=10_000,
        save_cpu_ram=False,
        verbose=False,
    )
    assert precision_recall(real, generated) == pytest.approx(
        (theirs["precision"], theirs["recall"]), rel=1e-4
    )
