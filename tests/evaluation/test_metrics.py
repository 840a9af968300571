import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.process import to_float
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.evaluation.features import look, look_with_guide
from cgd_lightning.evaluation.metrics import accuracy, frechet_distance, precision_recall
from cgd_lightning.evaluation.plots import grid, grid_places, stack, to_picture
from cgd_lightning.networks import ConvNet, MLPClassifier


def covered(queries: np.ndarray, support: np.ndarray, k: int) -> float:
    radius = NearestNeighbors(n_neighbors=k + 1).fit(support).kneighbors(support)[0][:, -1]
    distance = np.linalg.norm(queries[:, None] - support[None], axis=-1)
    return float((distance <= radius).any(axis=1).mean())


def test_precision_and_recall_equal_a_count_by_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = (
        torch.randn(300, 6, generator=generator),
        1.3 * torch.randn(200, 6, generator=generator) + 0.4,
    )
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


def correlated(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (
        scale * torch.randn(n, d, generator=generator) @ torch.randn(d, d, generator=generator)
        + shift
    )


class Flat(nn.Module):
    num_features = 12

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.mark.parametrize("n", [8, 500], ids=["fewer images than features", "many images"])
def test_the_frechet_distance_equals_torchmetrics(n: int) -> None:
    real, fake = correlated(700, 12, seed=0), correlated(n, 12, seed=1, scale=1.5, shift=0.3)
    theirs = FrechetInceptionDistance(feature=Flat(), normalize=True).set_dtype(torch.float64)
    theirs.update(real.reshape(-1, 3, 2, 2).double(), real=True)
    theirs.update(fake.reshape(-1, 3, 2, 2).double(), real=False)
    assert frechet_distance(real, fake) == pytest.approx(theirs.compute().item(), rel=1e-6)


def test_the_frechet_distance_is_the_formula_with_a_matrix_root() -> None:
    real, fake = correlated(300, 5, seed=2).double(), correlated(200, 5, seed=3, shift=1).double()
    (a, b), (mine, theirs) = (
        (x.mean(0) for x in (real, fake)),
        (np.cov(x.numpy(), rowvar=False) for x in (real, fake)),
    )
    wanted = (a - b).square().sum().item() + np.trace(
        mine + theirs - 2 * scipy.linalg.sqrtm(mine @ theirs).real
    )
    assert frechet_distance(real, fake) == pytest.approx(wanted, rel=1e-8)


def test_the_frechet_distance_of_known_gaussians() -> None:
    x = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(x, 3 * x + 5) == pytest.approx(25 + 4 * 4 / 3)
    assert (
        frechet_distance(1000 + correlated(400, 8, seed=4), 1000 + correlated(400, 8, seed=4)) >= 0
    )
    with pytest.raises(ValueError, match="1 real and 4 generated"):
        frechet_distance(x[:1], x)


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


def test_a_guide_looks_at_clean_images_at_its_least_noisy_timestep() -> None:
    guide = NoisyClassifier(MLPClassifier(8, 1, 3, width=16), Linear(), "abc", (1, 8, 8)).eval()
    images = torch.randint(256, (9, 1, 8, 8), dtype=torch.uint8)
    logits, classes = look_with_guide(guide, images, batch_size=4)
    torch.testing.assert_close(logits, guide.logits(to_float(images), torch.zeros(9)))
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
