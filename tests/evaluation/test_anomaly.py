import json

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.anomaly import Threshold, anomaly_report, dice, fix_threshold
from cgd_lightning.evaluation.maps import blurred, difference_map, gradient_map, unit_maps
from cgd_lightning.strokes import dilated_strokes

HALF = Threshold(0.5, 1.0, 1)


def drawn(n: int = 12, size: int = 8) -> tuple[Tensor, Tensor]:
    """Maps and masks, the last three of which are empty."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(n, size, size, generator=generator) < 0.1
    masks[-3:] = False
    masks[:-3, 0, 0] = True
    return torch.rand(n, size, size, generator=generator) * 300 + 40 * masks, masks


def test_a_perfect_map_an_inverted_one_and_a_constant_one() -> None:
    masks = drawn()[1]
    share = masks[:-3].double().mean().item()
    for maps, auroc, average in ((masks.float(), 1, 1), (torch.full(masks.shape, 3.0), 0.5, share)):
        found = anomaly_report(maps, masks, HALF).found
        assert found.auroc == found.auroc_inside == pytest.approx(auroc)
        assert found.average_precision == pytest.approx(average)
        assert found.prevalence == pytest.approx(share)
    assert anomaly_report(masks.float(), masks, HALF).found.dice == 1
    inverted = anomaly_report(1 - masks.float(), masks, HALF).found
    assert (inverted.auroc, inverted.dice) == (0, 0)


def test_numbers_are_those_of_scikit_learn_of_all_pixels_of_images_with_a_lesion() -> None:
    maps, masks = drawn()
    region = torch.rand(maps.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    maps = maps.round(decimals=-1)  # ties
    found = anomaly_report(maps, masks[:, None], HALF, region).found
    sick = slice(0, 9)
    y, s = masks[sick].flatten().numpy(), maps[sick].flatten().numpy()
    assert found.auroc == pytest.approx(roc_auc_score(y, s))
    assert found.average_precision == pytest.approx(average_precision_score(y, s))
    y, s = masks[sick][region[sick]].numpy(), maps[sick][region[sick]].numpy()
    assert found.auroc_inside == pytest.approx(roc_auc_score(y, s))
    assert found.average_precision_inside == pytest.approx(average_precision_score(y, s))


def test_dice_by_hand() -> None:
    found = torch.zeros(3, 2, 2, dtype=torch.bool)
    masks = found.clone()
    found[0, 0] = masks[0, :, 0] = masks[1, 1, 1] = True
    assert dice(found, masks).tolist() == [0.5, 0, 1]


def test_the_threshold_is_of_validation_images_and_nothing_else() -> None:
    maps, masks = drawn()
    clear = 10 * masks.float() + torch.rand(masks.shape, generator=torch.Generator().manual_seed(1))
    threshold = fix_threshold(clear, masks)
    assert threshold.value == clear[masks].min()
    assert (threshold.dice, threshold.n) == (1, 9)
    every = [dice(maps[:9] >= cut, masks[:9]).mean().item() for cut in maps[:9].flatten()]
    assert fix_threshold(maps, masks).dice == pytest.approx(max(every), abs=0.01)
    report = anomaly_report(maps, masks, threshold)
    assert report.threshold is threshold
    without = anomaly_report(maps, masks)
    assert (without.found.dice, without.false_share) == (None, None)
    assert without.found.auroc == report.found.auroc
    assert json.loads(json.dumps(without.to_plain()))["threshold"] is None
    assert report.found.dice == dice(maps[:9] >= threshold.value, masks[:9]).mean()


def test_the_order_of_the_images_does_not_matter_and_kinds_and_healthy_ones_stand_apart() -> None:
    maps, masks = drawn()
    kinds = torch.tensor([1, 2, 1, 2, 1, 2, 1, 1, 1, 0, 0, 0])
    names = ("none", "a", "b")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    cut = fix_threshold(maps, masks)
    assert fix_threshold(maps[order], masks[order]).value == cut.value
    one = anomaly_report(maps, masks, cut, None, kinds, names)
    two = anomaly_report(maps[order], masks[order], cut, None, kinds[order], names)
    assert two.found.auroc == one.found.auroc
    assert two.found.average_precision == one.found.average_precision
    assert two.found.dice == pytest.approx(one.found.dice, abs=1e-12)
    assert list(one.by_kind) == ["a", "b"]
    assert [own.n for own in one.by_kind.values()] == [6, 3]
    of_b = anomaly_report(maps[kinds == 2], masks[kinds == 2], cut).found
    assert one.by_kind["b"] == of_b
    assert one.healthy == 3
    assert one.false_share == (maps[-3:] >= cut.value).double().mean().item()
    assert anomaly_report(maps[:9], masks[:9], cut).false_share is None
    assert json.loads(json.dumps(one.to_plain()))["by_kind"]["a"]["n"] == 6


def test_what_cannot_be_measured_is_refused_in_one_line() -> None:
    maps, masks = drawn()
    broken = maps.clone()
    broken[0, 0, 0] = torch.nan
    kinds = torch.ones(12, dtype=torch.int64)
    for call, message in (
        (lambda: anomaly_report(broken, masks, HALF), "not finite"),
        (lambda: fix_threshold(broken, masks), "not finite"),
        (lambda: anomaly_report(maps, masks[:, :4], HALF), r"masks are .* shape \[12, 4, 8\]"),
        (lambda: anomaly_report(maps, masks.float(), HALF), "wanted bool"),
        (lambda: anomaly_report(maps.int(), masks, HALF), "wanted floats"),
        (lambda: anomaly_report(maps, masks, HALF, masks[:3]), "region is"),
        (lambda: anomaly_report(maps, masks & False, HALF), "no lesion in any mask"),
        (lambda: fix_threshold(maps, masks & False), "no lesion in any mask"),
        (lambda: anomaly_report(maps, masks, HALF, None, kinds[:3]), "3 kinds of 12"),
        (lambda: anomaly_report(maps, masks, HALF, None, kinds, ("none",)), "1 have a name"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_a_map_is_the_largest_change_of_a_pixel_and_blurs_within_the_image() -> None:
    originals = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    edited = originals.clone()
    edited[0, :, 1, 1] = torch.tensor([3, 90, 7])
    difference = difference_map(edited, originals)
    assert difference.sum() == difference[0, 1, 1] == 90
    assert blurred(difference, 1)[0, :3, :3].flatten().tolist() == pytest.approx(
        [22.5, 15, 15, 15, 10, 10, 15, 10, 10]
    )
    assert torch.allclose(blurred(torch.ones(1, 5, 5), 2), torch.ones(1, 5, 5))
    with pytest.raises(InputError, match="wanted one for one"):
        difference_map(originals, edited[..., :3])
    with pytest.raises(InputError, match="blur -1"):
        difference_map(originals, edited, -1)


def test_maps_count_alike_where_each_is_divided_by_its_largest_value() -> None:
    maps = torch.tensor([[[0.0, 2.0], [4.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert unit_maps(maps).tolist() == [[[0, 0.5], [1, 0.25]], [[0, 0], [0, 0]]]


def test_strokes_grow_by_so_many_pixels() -> None:
    image = torch.full((1, 1, 9, 9), 200, dtype=torch.uint8)
    image[0, 0, 4, 3:5] = 0
    grown = dilated_strokes(image, 2)[0]
    assert grown[2:7, 1:7].all()
    assert grown.sum() == 5 * 6
    assert dilated_strokes(image, 0)[0].sum() == 2


class Linear(nn.Module):
    """Logits (0, w x): the gradient of log p(1 | x) is w p(0 | x)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(16.0).reshape(1, 4, 4) / 50 - 0.1)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        one = (x * self.weight).flatten(1).sum(dim=1)
        return torch.stack([torch.zeros_like(one), one], dim=1)


@pytest.mark.parametrize("noisy", [True, False])
def test_the_gradient_of_a_linear_classifier_is_its_weight(noisy: bool) -> None:
    data, network = DataSpec((1, 4, 4), ("healthy", "sick")), Linear()
    classifier = (
        NoisyClassifier(network, Cosine(), data) if noisy else CleanClassifier(network, data)
    ).eval()
    images = torch.randint(0, 256, (7, 1, 4, 4), dtype=torch.uint8)
    found = gradient_map(classifier, images, 1, batch_size=3)
    healthy = network(classifier.data.codec.encode(images)).softmax(dim=1)[:, 0, None, None]
    assert torch.allclose(found, network.weight.abs() * healthy, atol=1e-6)
    with pytest.raises(InputError, match="label 2: this classifier knows labels 0 to 1"):
        gradient_map(classifier, images, 2)
