import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.process import to_float
from cgd_lightning.evaluation.features import look
from cgd_lightning.evaluation.metrics import accuracy, precision_recall
from cgd_lightning.evaluation.plots import grid, grid_places, stack, to_picture
from cgd_lightning.networks import ConvNet


def covered(queries: np.ndarray, support: np.ndarray, k: int) -> float:
    radius = NearestNeighbors(n_neighbors=k + 1).fit(support).kneighbors(support)[0][:, -1]
    distance = np.linalg.norm(queries[:, None] - support[None], axis=-1)
    return float((distance <= radius).any(axis=1).mean())


def test_precision_and_recall_equal_a_count_by_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(300, 6, generator=generator), 1.3 * torch.randn(200, 6, generator=generator) + 0.4
    precision, recall = precision_recall(real, fake, k=3)
    assert precision == covered(fake.numpy(), real.numpy(), 3)
    assert recall == covered(real.numpy(), fake.numpy(), 3)
    assert 0.1 < precision < recall < 1


def test_precision_falls_with_strange_samples_and_recall_with_missing_variety() -> None:
    real = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, real + 100) == (0.0, 0.0)
    precision, recall = precision_recall(real, real[:1] + 0.01 * torch.randn(50, 4))
    assert precision == 1
    assert recall < 0.2


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="3 real and 9 generated"):
        precision_recall(torch.zeros(3, 2), torch.zeros(9, 2))


def test_accuracy_is_the_share_of_agreement() -> None:
    assert accuracy(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2])) == 0.75


def test_a_judge_looks_once_and_its_features_make_its_logits() -> None:
    judge = CleanClassifier(ConvNet(8, 1, 3, width=4), "abc", (1, 8, 8)).eval()
    images = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8)
    features, classes = look(judge, images, batch_size=7)
    assert features.shape == (20, 16)
    logits = judge.logits(to_float(images))
    torch.testing.assert_close(judge.logits_from(features), logits)
    assert torch.equal(classes, logits.argmax(-1))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_shows_every_image_in_its_row(channels: int) -> None:
    rows = [torch.randint(256, (n, channels, 8, 8), dtype=torch.uint8) for n in (3, 2)]
    picture = grid(rows, ["cat", "a dog"], cell=16)
    width = max(map(len, rows)) * 18
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            left = picture.width - width + 18 * x
            cell = picture.crop((left, 2 + 18 * y, left + 16, 18 + 18 * y)).resize((8, 8), 0)
            assert torch.equal(stack([cell])[0], image)


def test_a_grid_has_a_row_a_class_and_its_first_images() -> None:
    assert grid_places([2, 0, 2, 0, 2], columns=2) == {2: [0, 2], 0: [1, 3]}
    assert grid_places([0, 1, 2], rows=2) == {0: [0], 1: [1]}


def test_a_picture_keeps_every_byte() -> None:
    image: Tensor = torch.randint(256, (3, 5, 4), dtype=torch.uint8)
    assert torch.equal(stack([to_picture(image)])[0], image)
