"""Six broken classifiers of digits, and good ones: each is told, and for what is wrong with it.

They are multilayer perceptrons, as these train in seconds; benchmarks/diagnose.py does the same
with other networks, seeds and data.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.process import add_noise
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, VarianceExploding
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.diagnosis import Diagnosis, diagnose
from cgd_lightning.networks.mlp import MLPClassifier
from tests.evaluation.diagnosis.mixture import Times

SEED, STEPS = 11, 300
DIGITS = Digits()
TRAIN, TEST = DIGITS.split("train"), DIGITS.split("test")


def fresh(schedule: NoiseSchedule) -> NoisyClassifier:
    network = MLPClassifier(16, 1, 10, width=192, depth=2)
    return NoisyClassifier(network, schedule, DIGITS.spec)


def train(
    schedule: NoiseSchedule, labels: Tensor, noise: float = 1.0, without: int | None = None
) -> NoisyClassifier:
    torch.manual_seed(SEED)
    classifier = fresh(schedule)
    x0 = DIGITS.codec.encode(TRAIN.images)
    if without is not None:
        x0, labels = x0[labels != without], labels[labels != without]
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        some = torch.randint(len(x0), (128,))
        t = torch.randint(schedule.timesteps, (128,)).float() * noise
        eps = torch.randn_like(x0[some])
        x_t = add_noise(x0[some], t, eps, schedule) if noise else x0[some]
        optimizer.zero_grad()
        F.cross_entropy(classifier.logits(x_t, t), labels[some]).backward()
        optimizer.step()
        rate.step()
    return classifier.eval().requires_grad_(False)


def diagnosed(classifier: NoisyClassifier) -> Diagnosis:
    training = (TRAIN.images, TRAIN.labels)
    return diagnose(classifier, TEST.images, TEST.labels, training=training, levels=10)


def kinds(classifier: NoisyClassifier) -> list[str]:
    return [fault.kind for fault in diagnosed(classifier).faults]


@pytest.fixture(scope="module")
def good() -> dict[str, NoisyClassifier]:
    return {
        type(schedule).__name__: train(schedule, TRAIN.labels) for schedule in (Cosine(), Linear())
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Cosine", "Linear"])
def test_a_good_classifier_gives_no_alarm_and_guides_where_there_is_something_to_see(
    name: str, good: dict[str, NoisyClassifier]
) -> None:
    found = diagnosed(good[name])
    assert found.faults == ()
    assert found.advice is not None
    assert found.advice.first == 0
    assert 300 < found.advice.last < 999
    assert found.verdict[1].startswith(f"no fault found with {len(TEST)} images: its weakest ")


def test_fresh_weights_are_random() -> None:
    torch.manual_seed(SEED)
    assert kinds(fresh(Cosine()).eval().requires_grad_(False)) == ["untrained"]


def test_weights_drawn_anew_are_random() -> None:
    torch.manual_seed(SEED)
    classifier = fresh(Cosine()).eval().requires_grad_(False)
    for weight in classifier.parameters():
        weight.normal_()
    assert kinds(classifier) == ["untrained"]


@pytest.mark.parametrize("name", ["Cosine", "Linear"])
def test_five_times_the_logits_are_overconfident(
    name: str, good: dict[str, NoisyClassifier]
) -> None:
    ours = good[name]
    hot = NoisyClassifier(Times(ours.network, 5.0).eval(), ours.schedule, ours.data)
    assert kinds(hot) == ["overconfident"]


def test_training_on_clean_images_alone_is_blind_to_noise() -> None:
    found = diagnosed(train(Cosine(), TRAIN.labels, noise=0.0))
    assert [fault.kind for fault in found.faults] == ["blind at high noise"]
    assert found.advice is not None
    assert found.advice.last < 800


def test_shuffled_labels_are_told_from_random_weights() -> None:
    order = torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(SEED))
    found = diagnosed(train(Cosine(), TRAIN.labels[order]))
    assert [fault.kind for fault in found.faults] == ["labels shuffled"]
    assert found.advice is None


def test_exchanged_classes_are_named(good: dict[str, NoisyClassifier]) -> None:
    ours = good["Cosine"]
    order = [0, 1, 2, 8, 4, 5, 6, 7, 3, 9]

    class Exchanged(Times):
        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            return super().forward(x_t, t)[:, order]

    exchanged = Exchanged(ours.network, 1.0).eval()
    found = diagnosed(NoisyClassifier(exchanged, ours.schedule, ours.data))
    assert [fault.kind for fault in found.faults] == ["labels exchanged"]
    assert "3 is called 8, 8 is called 3" in found.faults[0].text


def test_another_schedule_than_the_card_says_is_named() -> None:
    ours = train(VarianceExploding(), TRAIN.labels)
    wrong = NoisyClassifier(ours.network, Cosine(), ours.data)
    found = diagnosed(wrong)
    assert [fault.kind for fault in found.faults] == ["other schedule"]
    assert "VarianceExploding" in found.faults[0].text


def test_a_class_that_was_never_seen_is_named() -> None:
    found = diagnosed(train(Cosine(), TRAIN.labels, without=7))
    assert [fault.kind for fault in found.faults] == ["class never seen"]
    assert found.faults[0].text.startswith("class 7 was not in its training data")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y: (x[:50], y[:50]), "100 at least"),
        (lambda x, y: (x[:200], y[:150]), "as many of each"),
        (lambda x, y: (x[:, :, :8], y), "trained on [1, 16, 16]"),
        (lambda x, y: (x, y + 5), "labels 5 to 14: this classifier knows labels 0 to 9"),
        (lambda x, y: (x, 0 * y), "images of one class"),
    ],
)
def test_images_that_do_not_go_with_the_classifier_are_refused(
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    says: str,
    good: dict[str, NoisyClassifier],
) -> None:
    with pytest.raises(InputError) as refused:
        diagnose(good["Cosine"], *change(TEST.images, TEST.labels))
    assert says in str(refused.value)
