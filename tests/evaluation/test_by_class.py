"""The distance by class against its definition, scipy's, and the spread of many draws."""

import json
import statistics

import pytest
import torch
from scipy.stats import energy_distance
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.by_class import ByClass, Distances, check_enough, error
from cgd_lightning.evaluation.jackknife import BLOCKS
from cgd_lightning.evaluation.table import class_table


def normal(n: int, d: int, seed: int, mean: float = 0.0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return mean + torch.randn(n, d, generator=draws, dtype=torch.float64)


def spread(x: Tensor) -> float:
    """The mean distance of two different rows."""
    return (torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))).item()


def energy(g: Tensor, r: Tensor) -> float:
    return 2 * torch.cdist(g, r).mean().item() - spread(g) - spread(r)


def test_it_is_its_definition_also_without_a_block() -> None:
    real, labels = normal(31, 3, 0), torch.arange(31) % 2
    generated, targets = normal(44, 3, 1, 0.3), torch.tensor([(i % 3) % 2 for i in range(44)])
    found = Distances(real, labels)(generated, targets.tolist())
    shares = [(targets == y).double().mean().item() for y in (0, 1)]
    unit = sum(share * spread(real[labels == y]) for y, share in enumerate(shares))

    def slow(kept: Tensor) -> float:
        each = [energy(generated[kept & (targets == y)], real[labels == y]) for y in (0, 1)]
        return sum(share * one for share, one in zip(shares, each)) / unit

    assert found.value == pytest.approx(slow(torch.ones(44, dtype=torch.bool)))
    # One class after the other, every 20th image in a block.
    place = torch.empty(44, dtype=torch.int64)
    place[targets.argsort(stable=True)] = torch.arange(44)
    assert found.single[7] == pytest.approx(slow(place % BLOCKS != 7))
    assert found.double[0] == pytest.approx(slow((place % BLOCKS != 0) & (place % BLOCKS != 1)))
    assert ByClass.from_plain(json.loads(json.dumps(found.to_plain()))) == found


def test_in_one_dimension_it_is_the_energy_distance_of_scipy() -> None:
    g, r = normal(400, 1, 0, 1.0), normal(500, 1, 1)
    found = Distances(r, None)(g, [0] * 400).value * spread(r)
    # scipy's is a root, and counts the pairs of an image and itself.
    theirs = energy_distance(g[:, 0].numpy(), r[:, 0].numpy()) ** 2
    assert found == pytest.approx(theirs - spread(g) / 400 - spread(r) / 500)


def test_the_scale_of_the_features_is_no_matter() -> None:
    real, generated, targets = normal(60, 5, 0), normal(60, 5, 1, 0.2), [i % 3 for i in range(60)]
    labels = torch.arange(60) % 3
    one = Distances(real, labels)(generated, targets)
    other = Distances(1e4 * real, labels)(1e4 * generated, targets)
    assert other.value == pytest.approx(one.value)


def test_it_has_no_bias_and_its_error_is_that_of_many_draws() -> None:
    labels = torch.arange(400) % 2
    compare = Distances(normal(400, 4, 0, 0.0) + labels[:, None], labels)
    found = []
    for seed in range(200):
        generated = normal(80, 4, 1 + seed) + (torch.arange(80) % 2)[:, None]
        found.append(compare(generated, [i % 2 for i in range(80)]))
    values = [one.value for one in found]
    # The same samples in one large set: what the small ones are on average.
    many = normal(20_000, 4, 999) + (torch.arange(20_000) % 2)[:, None]
    of_all = compare(many, [i % 2 for i in range(20_000)]).value
    sure = 4 * statistics.stdev(values) / 200**0.5
    assert statistics.mean(values) == pytest.approx(of_all, abs=sure)
    errors = statistics.mean(error(one) ** 2 for one in found) ** 0.5
    assert errors == pytest.approx(statistics.stdev(values), rel=0.2)


def test_shared_noise_makes_the_difference_surer_than_the_values() -> None:
    labels = torch.arange(400) % 2
    compare = Distances(normal(400, 4, 0), labels)
    noise, targets = normal(200, 4, 1), [i % 2 for i in range(200)]
    one, other = compare(1.3 * noise, targets), compare(1.35 * noise, targets)
    assert error(one, other) < 0.2 * error(one)
    assert other.value - one.value > 3 * error(one, other)


def test_the_right_images_under_the_wrong_labels_are_far() -> None:
    labels = torch.arange(300) % 3
    means = 5 * torch.eye(3, dtype=torch.float64)
    compare = Distances(normal(300, 3, 0) + means[labels], labels)
    asked = torch.arange(90) % 3
    right, wrong = (
        compare(normal(90, 3, 1) + means[shown], asked.tolist()) for shown in (asked, asked.roll(1))
    )
    assert abs(right.value) < 0.1
    assert wrong.value > 1
    overall = Distances(compare.real, None)(normal(90, 3, 1) + means[asked.roll(1)], asked.tolist())
    assert abs(overall.value) < 0.1


def test_one_of_several_classes_and_a_mixture_have_their_images() -> None:
    labels = torch.tensor([0] * 100 + [1] * 300 + [2] * 100)
    means = torch.tensor([[0.0], [8.0], [99.0]], dtype=torch.float64)
    compare = Distances(normal(500, 1, 0) + means[labels], labels)
    either = torch.tensor([0, 1, 1, 1]).repeat(100)
    halves = torch.tensor([0, 1]).repeat(200)
    as_often, equally = (1.0, 1.0, 0.0), (0.5 / 0.2, 0.5 / 0.6, 0.0)
    for shown, near, far in ((either, as_often, equally), (halves, equally, as_often)):
        generated = normal(400, 1, 2) + means[shown]
        assert abs(compare(generated, [near] * 400).value) < 0.01
        assert compare(generated, [far] * 400).value > 0.05


def test_what_is_too_few_is_said() -> None:
    with pytest.raises(InputError, match=r"39 of 1 labels: too few .* at least 40"):
        check_enough([0] * 39)
    with pytest.raises(InputError, match=r"50 of 25 labels: .* at least 100"):
        check_enough([i % 25 for i in range(50)])
    with pytest.raises(InputError, match="label 7: 0 real images show it"):
        Distances(normal(50, 2, 0), torch.zeros(50, dtype=torch.int64))(normal(40, 2, 1), [7] * 40)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 1e6])
def test_real_images_that_all_look_alike_are_refused(size: float) -> None:
    real = torch.full((60, 8), size / 3)
    compare = Distances(real, torch.arange(60) % 2)
    with pytest.raises(InputError, match="the network sees the same in all real images of a class"):
        compare(torch.randn(40, 8), [0, 1] * 20)


def test_a_long_name_of_a_class_does_not_widen_the_table() -> None:
    lines = class_table({"wide" * 225: {"n": 3.0}, "short": {"n": 4.0}})
    assert max(map(len, lines)) < 60
    assert lines[1].startswith("widewide")
    assert "..." in lines[1]
