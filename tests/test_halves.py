"""benchmarks/halves.py: what learns the training images by heart is exact for them."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine
from tests.benchmarks import script

LABELS = torch.tensor([2, 0, 1, 0, 2, 2])


def test_mean_and_class_are_those_of_a_draw_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    halves, schedule = script("halves", monkeypatch), Cosine()
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    x_t = torch.randn(7, 1, 2, 2, generator=torch.Generator().manual_seed(2)).double()
    for level in (50.0, 400.0, 900.0):
        t = torch.full((7,), level, dtype=torch.float64)
        alpha, sigma = (value[:, None, None, None, None] for value in schedule.alpha_sigma(t))
        drawn = Normal(alpha * images, sigma).log_prob(x_t[:, None]).sum((2, 3, 4)).softmax(1)
        mean = halves.ExactMean(schedule, images, LABELS)(x_t, t)
        assert torch.allclose(mean.flatten(1), drawn @ images.flatten(1), atol=1e-12)
        classes = halves.ExactClass(schedule, images, LABELS)(x_t, t).softmax(1)
        shares = torch.stack([drawn[:, label == LABELS].sum(1) for label in range(3)], dim=1)
        assert torch.allclose(classes, shares, atol=1e-12)


def test_both_exact_halves_make_images_of_the_class_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves, digits = script("halves", monkeypatch), Digits(image_size=8).split("train")
    images = digits.images / 127.5 - 1
    spec = DataSpec((1, 8, 8), tuple("0123456789"))
    mean = halves.ExactMean(Cosine(), images, digits.labels)
    logits = halves.ExactClass(Cosine(), images, digits.labels)
    exact, sure = Denoiser(mean, Cosine(), "x0", spec), NoisyClassifier(logits, Cosine(), spec)
    made = halves.sampled(exact, sure, 1.0, 40)
    distance = torch.cdist(made.flatten(1).float(), digits.images.flatten(1).float())
    nearest = distance.argmin(1)
    assert torch.equal(digits.labels[nearest], torch.arange(40) % 10)
    assert distance.gather(1, nearest[:, None]).max() < 8 * 4  # 4 grey levels in the mean


class Brightness(nn.Module):
    """log odds of "light" against "dark" in proportion to the mean of the image."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        assert (t == 0).all()
        light = 3 * x_t.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(light), light], dim=1)


GUIDE = NoisyClassifier(Brightness(), Cosine(), DataSpec((1, 2, 2), ("dark", "light")))


def test_a_class_that_is_drawn_afterwards_is_as_frequent_as_the_classifier_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = script("halves", monkeypatch)
    for grey in (0, 100, 255):
        images = torch.full((4000, 1, 2, 2), grey, dtype=torch.uint8)
        share = halves.drawn(GUIDE, images).double().mean().item()
        wanted = 1 / (1 + math.exp(-3 * (grey / 127.5 - 1)))
        assert abs(share - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / 4000)


def test_doubts_are_counted_apart_where_the_sample_shows_another_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = script("halves", monkeypatch)
    greys = torch.tensor([0, 0, 255, 255, 255], dtype=torch.uint8)
    images = greys[:, None, None, None].expand(5, 1, 2, 2)
    targets, seen = torch.tensor([1, 0, 1, 1, 0]), torch.tensor([0, 0, 1, 0, 0])
    told = halves.doubted(GUIDE, images, targets, seen)
    assert told.endswith("1 of 2 samples of other classes, 1 of 3 of those asked for")
