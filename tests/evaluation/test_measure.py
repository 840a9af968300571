from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.data_spec import DataSpec, Trained
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import FeatureMetric
from cgd_lightning.evaluation.features import FeatureNetwork, Seen
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.metrics import frechet_distance, precision_recall
from cgd_lightning.evaluation.reference import Reference


@dataclass(frozen=True)
class Corners(FeatureNetwork):
    """Features are the pixels; the class is the brightest of the first three."""

    network: Trained
    name: str = "corners"

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        return x0.flatten(1), x0.flatten(1)[:, :3]


def images(n: int, seed: int, low: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, 256, (n, 1, 2, 2), generator=generator, dtype=torch.uint8)


def seen(pictures: Tensor) -> Tensor:
    return PIXELS.encode(pictures).flatten(1)


FEATURES = Corners(Trained(nn.Linear(1, 1), DataSpec((1, 2, 2), ("a", "b", "c"))), batch_size=7)
REAL, FAKE, TRAIN = images(60, seed=0), images(30, seed=1, low=90), images(100, seed=2)


def test_a_report_holds_what_the_metrics_say_of_the_features() -> None:
    labels = seen(REAL)[:, :3].argmax(1)
    labels[:15] = (labels[:15] + 1) % 3
    measure = Measure(FEATURES, REAL, labels)
    assert measure.recognised == 0.75
    classes = seen(FAKE)[:, :3].argmax(1)
    report = measure(FAKE, [*classes[:20].tolist(), *[(1.0, 1.0, 1.0)] * 4, *[(0.0, 0.0, 0.0)] * 6])
    assert (report.n, report.reference, report.features) == (30, 60, "corners")
    assert list(report.values) == ["accuracy", "fid_lite", "precision", "recall"]
    assert report["accuracy"] == 24 / 30
    assert report["fid_lite"] == frechet_distance(seen(REAL), seen(FAKE))
    assert (report["precision"], report["recall"]) == precision_recall(seen(REAL), seen(FAKE))
    assert list(measure(FAKE).values) == ["fid_lite", "precision", "recall"]
    assert measure(FAKE, classes)["accuracy"] == 1


def test_images_beside_themselves_are_at_distance_0_and_all_within_their_manifold() -> None:
    report = Measure(FEATURES, REAL)(REAL)
    assert report["fid_lite"] == pytest.approx(0, abs=1e-6)
    assert (report["precision"], report["recall"]) == (1.0, 1.0)


def test_real_images_are_the_mean_of_as_many_draws_as_there_are() -> None:
    measure = Measure(FEATURES, REAL)
    real = measure.real(TRAIN, 30)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    parts = seen(TRAIN)[order][:90].split(30)
    assert (real.n, real.reference) == (30, 60)
    assert real.draws == tuple(frechet_distance(seen(REAL), part) for part in parts)
    assert real["fid_lite"] == pytest.approx(sum(real.draws) / 3)
    assert real["precision"] == precision_recall(seen(REAL), parts[0])[0]
    assert "accuracy" not in real.values


@pytest.mark.parametrize("n", [100, 500])
def test_as_many_real_images_as_there_are_or_fewer_are_one_draw(n: int) -> None:
    real = Measure(FEATURES, REAL, metrics=[FrechetDistance]).real(TRAIN, n)
    assert (real.n, len(real.draws)) == (100, 1)
    assert real["fid_lite"] == pytest.approx(frechet_distance(seen(REAL), seen(TRAIN)), rel=1e-9)
    assert list(real.values) == ["fid_lite"]


class MeanShift(FeatureMetric):
    """A user's own metric: how far the mean of the features has moved."""

    names = ("mean_shift",)

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 1, "a mean needs at least 1 of each")
        self.add_state("sums", torch.zeros(2, num_features), dist_reduce_fx="sum")

    def add(self, features: Tensor, side: int) -> None:
        self.sums[side] += features.sum(dim=0)

    def value(self) -> Tensor:
        real, generated = self.sums / self.images[:, None]
        return (real - generated).norm()


def test_metrics_are_chosen_and_own_ones_stand_beside_ours() -> None:
    measure = Measure(FEATURES, REAL, metrics=[MeanShift, partial(PrecisionRecall, k=5)])
    report = measure(FAKE)
    assert list(report.values) == ["mean_shift", "precision", "recall"]
    shift = (seen(REAL).mean(0) - seen(FAKE).mean(0)).norm().item()
    assert report["mean_shift"] == pytest.approx(shift, rel=1e-5)
    assert report["precision"] == precision_recall(seen(REAL), seen(FAKE), k=5)[0]


@pytest.mark.parametrize(("n", "says"), [(0, "0 generated"), (1, "1 generated")])
def test_too_few_images_are_refused(n: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Measure(FEATURES, REAL)(FAKE[:n])
    with pytest.raises(InputError, match=says):
        Measure(FEATURES, REAL).real(TRAIN[:n], 30)


def test_what_wants_more_images_is_left_out_with_a_note() -> None:
    for report in (Measure(FEATURES, REAL)(FAKE[:3]), Measure(FEATURES, REAL).real(TRAIN[:3], 30)):
        assert list(report.values) == ["fid_lite"]
        assert report.notes[0] == (
            "precision, recall: 60 real and 3 generated images: precision and recall with k = 3 "
            "need more than 3 of each; give more to be told"
        )
    few = Measure(FEATURES, REAL[:3])(FAKE)
    assert list(few.values) == ["fid_lite"]
    assert "3 real and 30 generated" in few.notes[0]
    assert list(Measure(FEATURES, REAL)(FAKE[:4]).values) == ["fid_lite", "precision", "recall"]


def test_a_network_that_is_damaged_is_named_and_not_measured() -> None:
    @dataclass(frozen=True)
    class Damaged(Corners):
        def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
            return x0.flatten(1) / 0, x0.flatten(1)

    says = "the features of 60 of 60 real images are not finite"
    with pytest.raises(InputError, match=f"^broken: {says}"):
        Measure(Damaged(FEATURES.network, "broken"), REAL)(FAKE)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, 1e20])
def test_logits_that_are_no_numbers_make_no_accuracy(number: float) -> None:
    @dataclass(frozen=True)
    class Damaged(Corners):
        def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
            features, logits = super().see(x0)
            return features, torch.where(x0.flatten(1)[:, :1] > 0, number, logits)

    judge = Damaged(FEATURES.network, "broken")
    bad = int((FAKE.flatten(1)[:, 0] > 127).sum())
    with pytest.raises(InputError, match=f"^broken: the logits of {bad} of 30 samples are not fin"):
        Measure(FEATURES, REAL, judge=judge)(FAKE, [0] * 30)


def test_real_images_dealt_by_class_have_no_bias_in_kid_where_classes_are_known() -> None:
    """10 far classes, as many of each: KID of equal distributions is 0, as its interval says."""
    held, values, blind = 0, [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        centres = 3 * torch.eye(10)
        labels = torch.arange(200) % 10
        real, fake = (centres[labels] + torch.randn(200, 10, generator=generator) for _ in range(2))
        reference = Reference("classes", "", 200, real, None, labels)
        measure = Measure(FEATURES, reference, metrics=[KernelDistance])
        seen = Seen(fake, torch.zeros(200, 10))
        found = measure.of_seen(seen, labels).estimates["kid"]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
        values.append(found.value)
        blind.append(measure.of_seen(seen).estimates["kid"].value)
    mean, error = torch.tensor(values).mean(), torch.tensor(values).std() / 40**0.5
    assert abs(mean) < 3 * error
    assert torch.tensor(blind).mean() < -5 * error
    assert held >= 36
