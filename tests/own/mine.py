"""Classes as a user writes them, each on the contract of its base alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cgd_lightning import Network, NoiseSchedule, NoisingDataModule, Rule, Sampler
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.evaluation.feature_metric import FeatureMetric


@dataclass(frozen=True)
class Plain(Sampler):
    """Deterministic DDIM, scaled.

    Args:
        steps: number of steps.
        stretch: factor on every step's noise.
        spacing: of the levels.
    """

    steps: int = 3
    stretch: float = 1.0
    spacing: str = "uniform"

    def walk(self, denoise: Any, x: Tensor, levels: Sequence[Any], noise: Any) -> Iterator[Tensor]:
        for level, below in zip(levels, levels[1:]):
            prediction = denoise(x, level)
            x = below.alpha * prediction.x0 + self.stretch * below.sigma * prediction.eps
            yield x


class Older(Sampler):
    """A sampler with a constructor of its own."""

    def __init__(self, steps: int = 3, share: float = 0.5) -> None:
        super().__init__(steps, "uniform")
        self.share = share

    def walk(self, denoise: Any, x: Tensor, levels: Sequence[Any], noise: Any) -> Iterator[Tensor]:
        for level, below in zip(levels, levels[1:]):
            prediction = denoise(x, level)
            x = below.alpha * prediction.x0 + below.sigma * prediction.eps * self.share
            yield x


@dataclass(frozen=True)
class Brighter(Rule):
    """x0 plus `scale`.

    Args:
        scale: how much brighter.
    """

    scale: float = 0.1

    def bind(self, denoise: Any, classifier: Any, labels: Tensor) -> Any:
        def brighter(x_t: Tensor, level: Any) -> Any:
            prediction = denoise(x_t, level)
            return prediction._replace(x0=prediction.x0 + self.scale)

        return brighter


class OlderRule(Rule):
    """A rule with a constructor of its own."""

    def __init__(self, scale: float = 0.1) -> None:
        self.scale = scale

    def bind(self, denoise: Any, classifier: Any, labels: Tensor) -> Any:
        return Brighter(self.scale).bind(denoise, classifier, labels)


@dataclass(frozen=True)
class Between(Rule):
    """The mean of what two rules make of a prediction, and then others.

    Args:
        one: the first rule.
        other: the second rule.
        then: rules around both.
    """

    one: Rule
    other: Rule
    then: list[Rule] | None = None

    def bind(self, denoise: Any, classifier: Any, labels: Tensor) -> Any:
        pair = [rule.bind(denoise, classifier, labels) for rule in (self.one, self.other)]

        def between(x_t: Tensor, level: Any) -> Any:
            a, b = (each(x_t, level) for each in pair)
            return a._replace(x0=(a.x0 + b.x0) / 2, eps=(a.eps + b.eps) / 2)

        guided: Any = between
        for rule in self.then or ():
            guided = rule.bind(guided, classifier, labels)
        return guided


@dataclass(frozen=True)
class Steep(NoiseSchedule):
    """A noise angle that grows in equal steps.

    Args:
        timesteps: T.
        last: the last angle, in quarter turns.
    """

    timesteps: int = 100
    last: float = 0.99

    def tables(self) -> tuple[Tensor, Tensor]:
        parts = torch.arange(1, self.timesteps + 1, dtype=torch.float64) / self.timesteps
        angle = parts * self.last * math.pi / 2
        return angle.cos(), angle.sin()

    def from_angle(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        return angle.cos(), angle.sin()


class Bars(NoisingDataModule):
    """Bars that lie or stand."""

    name = "bars"
    class_names = ("lying", "standing")
    image_shape = (1, 8, 8)

    def split(self, name: str) -> ImageTensors:
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(name))
        labels = torch.randint(2, (64,), generator=generator)
        bars = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
        for image, label in zip(bars, labels):
            (image if label == 0 else image.mT)[0, 3:5] = 255
        return ImageTensors(bars, labels)


class Thin(Network):
    """One convolution, told the timestep.

    Args:
        width: channels in the middle.
    """

    def __init__(
        self, image_size: int, in_channels: int, out_channels: int, width: int = 4
    ) -> None:
        super().__init__()
        self.into = nn.Conv2d(in_channels, width, 3, padding=1)
        self.out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.out(self.into(x).relu() + t[:, None, None, None] / 1000)


class ThinClassifier(Thin):
    """The same, with the mean of each channel as a logit."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return super().forward(x, t).mean((2, 3))


class MeanDistance(FeatureMetric):
    """Distance of the means of the features.

    Args:
        num_features: width of the features.
        power: of the distance.
    """

    names = ("mean_distance",)

    def __init__(self, num_features: int, power: float = 1.0) -> None:
        super().__init__(num_features, 1, "one of each is needed")
        self.power = power
        self.add_state("sums", torch.zeros(2, num_features), dist_reduce_fx="sum")

    def add(self, features: Tensor, side: int) -> None:
        self.sums[side] += features.sum(dim=0)

    def value(self) -> Tensor:
        means = self.sums / self.images[:, None]
        return (means[0] - means[1]).norm() ** self.power
