import pytest
import torch

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.accuracy import ClassAccuracy
from cgd_lightning.evaluation.metrics import accuracy


def test_accuracy_is_the_share_of_agreement() -> None:
    assert accuracy(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2])) == 0.75
    assert accuracy(torch.tensor([0, 1, 2]), [0, 1, 1]) == 2 / 3


def test_one_of_several_classes_that_were_asked_for_counts() -> None:
    classes = torch.tensor([0, 1, 2, 2])
    targets = [(0.5, 0.5, 0.0), (0.0, 0.0, 1.0), 2, (0.1, 0.0, 2.0)]
    assert accuracy(classes, targets) == 0.75
    weights = torch.tensor([[0.5, 0.5, 0], [0, 0, 1], [0, 0, 1], [0.1, 0, 2]])
    assert accuracy(classes, weights) == 0.75


def test_every_image_counts_alike_in_whatever_batches() -> None:
    metric = ClassAccuracy()
    metric.update(torch.tensor([1]), [1])
    metric.update(torch.tensor([1, 1, 1]), torch.tensor([0, 0, 1]))
    assert metric.compute().item() == 0.5
    metric.reset()
    metric.update(torch.tensor([1]), [0])
    assert metric.compute().item() == 0


def test_every_image_needs_a_target() -> None:
    with pytest.raises(InputError, match="2 images and 3 targets"):
        accuracy(torch.tensor([0, 1]), [0, 1, 2])
    with pytest.raises(InputError, match="no images"):
        accuracy(torch.zeros(0, dtype=torch.int64), [])
