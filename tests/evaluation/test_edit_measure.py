"""What is measured of edits: flips, closeness, and how far classes are apart."""

import json

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.between import between_classes
from cgd_lightning.evaluation.edit_measure import edit_report
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.flips import Flips
from cgd_lightning.evaluation.maps import changed_shares, distances
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.networks.convnet import ConvNet


def test_a_flip_shows_its_target_now_and_did_not_before() -> None:
    before, after = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([1, 1, 0, 1, 2])
    targets = [1, 1, 1, (0.0, 1.0, 1.0), (1.0, 0.0, 0.0)]
    flips = Flips.of(before, after, targets)
    assert flips.before.tolist() == [False, True, True, True, True]
    assert flips.after.tolist() == [True, True, False, True, False]
    assert flips.flipped.tolist() == [True, False, False, False, False]
    assert flips.rate is not None
    assert (flips.rate.value, flips.already.value) == (1.0, 0.8)
    everything = (1.0, 1.0, 1.0)
    assert Flips.of(before, after, [everything] * 5).rate is None
    with pytest.raises(InputError, match="5 edits and 3 targets"):
        Flips.of(before, after, [1, 1, 1])


@pytest.fixture(scope="module")
def originals() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 200, (40, 1, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def judge(originals: Tensor) -> JudgeFeatures:
    """One that sees all three classes in the originals, and nearly the same in each."""
    torch.manual_seed(0)
    network = ConvNet(8, 1, 3, width=4).eval()
    judge = JudgeFeatures(CleanClassifier(network, DataSpec((1, 8, 8), ("a", "b", "c"))))
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    last.bias.data -= judge(originals).logits.mean(dim=0)
    return judge


def test_edits_are_measured_by_what_a_judge_sees_and_what_was_changed(
    judge: JudgeFeatures, originals: Tensor
) -> None:
    edited = originals.clone()
    edited[:10, :, :4] += 32  # half of the pixels of a quarter of the images
    edited[10:20] += 16
    assert distances(originals, edited).unique().tolist() == [0, 16]
    assert changed_shares(originals, edited, 17)[:11].tolist() == [0.5] * 10 + [0]
    seen = judge(originals).classes
    others = [(int(k) + 1) % 3 for k in seen]  # seen in none before
    measure = Measure(judge, originals)
    guide = Flips(torch.zeros(40) > 0, torch.arange(40) < 30)
    report = edit_report(originals, edited, others, judge, guide, measure)
    told = judge(edited).classes == torch.tensor(others)
    assert report.flips is not None
    assert report.guide_flips is not None
    assert 0 < report.flips.value < 1
    assert report.flips.value == pytest.approx(told.double().mean().item())
    assert report.guide_flips.value == 0.75
    assert report.guide_flips.low == pytest.approx(0.598, abs=1e-3)  # Wilson's of 30 in 40
    assert (report.l1_mean, report.l1_median) == (8, 8)
    assert report.changed == 0.375
    assert edit_report(originals, edited, others, judge, changed_from=17).changed == 0.125
    assert report.samples is not None
    assert report.real is not None
    assert report.samples["fid_lite"] == pytest.approx(measure(edited)["fid_lite"])
    assert report.real["fid_lite"] == pytest.approx(0, abs=1e-6)
    assert report.samples["fid_lite"] > report.real["fid_lite"]
    plain = json.loads(json.dumps(report.to_plain()))
    assert plain["guide_flips"]["value"] == 0.75
    assert plain["samples"]["n"] == 40
    with pytest.raises(InputError, match="40 edits and 3 targets"):
        edit_report(originals, edited, [0] * 3, judge)


def test_an_image_that_stays_is_no_flip(judge: JudgeFeatures, originals: Tensor) -> None:
    seen = judge(originals).classes.tolist()
    targets = [*seen[:10], *((k + 1) % 3 for k in seen[10:])]
    same = edit_report(originals, originals, targets, judge)
    assert (same.l1_mean, same.feature_distance, same.changed) == (0, 0, 0)
    assert same.flips is not None
    assert same.already is not None
    assert (same.flips.value, same.already.value) == (0, 0.25)
    untold = edit_report(originals, originals, None, judge)
    assert (untold.flips, untold.already) == (None, None)
    assert untold.l1_median == 0


def test_classes_are_as_far_apart_as_their_images() -> None:
    levels = torch.tensor([10, 10, 30, 30, 100, 100], dtype=torch.uint8)
    images, labels = levels[:, None, None, None].expand(-1, 1, 2, 2), torch.arange(6) // 2
    assert between_classes(images, labels, [0, 0, 0], [1, 1, 1]) == 20
    assert between_classes(images, labels, [2], [0]) == 90
    # Pairs of classes count as often as they are asked for.
    assert between_classes(images, labels, [0, 0, 0, 1], [1, 1, 1, 2]) == 20
    assert between_classes(images, labels, [0, 1, 1, 1], [1, 2, 2, 2]) == 70
    # One that showed its target already does not count, nor a class without images.
    assert between_classes(images, labels, [0, 1], [0, 0]) == 20
    assert between_classes(images, labels, [0, 0], [0, 3]) is None
    assert between_classes(images, labels, [1], [(1.0, 1.0, 0.0)]) is None
    either = between_classes(images, labels, [0], [(0.0, 1.0, 1.0)])
    assert either in (20, 90)
    assert either == between_classes(images, labels, [0], [(0.0, 1.0, 1.0)])
