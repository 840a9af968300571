"""Whether a written step gives what guidance gives here.

It is asked for batches of 1, 3 and 8 noisy images at five levels from the least noisy to the
noisiest, at four scales, for classes, for either of two and for all but one. The difference of an
output is the largest of any of its numbers, as a share of the largest number of that output where
that is above 1. Where x0 is derived from eps, by a network that predicts eps or by guidance, it
counts as the part alpha x0 of x_t, in units of sqrt(alpha^2 + sigma^2): at the noisiest level x0
itself is the error of eps times sigma / alpha. Elsewhere it counts as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.guidance.classifier import class_gradient
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.exchange.guided_step import OUTPUTS
from cgd_lightning.exchange.meeting import guides, meet

BATCHES = (1, 3, 8)
SCALES = (0.0, 1.0, 5.0, 20.0)
LEVELS = 5


class Asked(NamedTuple):
    """What a step is asked for: x_t (B, C, H, W), labels, its level, and the scale."""

    x: Tensor
    level: Level
    labels: Tensor
    scale: float


def questions(denoiser: Denoiser, classifier: NoisyClassifier) -> Iterator[Asked]:
    """What is asked of a step of these two, the same every time."""
    last = denoiser.schedule.timesteps - 1
    classes = len(classifier.class_names)
    for number in range(LEVELS):
        level = denoiser.schedule.level(last * number / (LEVELS - 1))
        for place, scale in enumerate(SCALES):
            size = BATCHES[(number + place) % len(BATCHES)]
            index = torch.arange(size)
            noise = SeededNoise(number, index, denoiser.image_shape)
            x = level.alpha * noise().tanh() + level.sigma * noise()
            yield Asked(x, level, _labels(size, classes, denoiser.conditional), scale)


def _labels(size: int, classes: int, plain: bool) -> Tensor:
    """Weights (B, K) of a class, of two and of all but one, in turn; `plain` of a class alone."""
    weights = torch.nn.functional.one_hot(torch.arange(size) % classes, classes).float()
    if not plain:
        both = torch.arange(size) % 3 == 1
        weights[both] = (weights[both] + weights[both].roll(1, dims=1)) / 2
        others = torch.arange(size) % 3 == 2
        weights[others] = 1 - weights[others] if classes > 1 else weights[others]
    return weights


def answered(asked: Asked, denoiser: Denoiser, classifier: NoisyClassifier) -> dict[str, Tensor]:
    """What guidance gives here, by the names of a step's outputs."""
    x, level, labels, scale = asked
    plain = labels.argmax(dim=1)
    told = plain if denoiser.conditional else labels
    denoise = denoiser.bind(told)
    with torch.no_grad():
        unguided = denoise(x, level)
        guided = ClassifierGuidance(scale).bind(denoise, classifier, labels)(x, level)
    gradient, log_p = class_gradient(classifier, x, level, labels)
    parts = (guided.x0, guided.eps, unguided.x0, unguided.eps, log_p, gradient)
    return dict(zip(OUTPUTS, parts, strict=True))


def largest_differences(
    run: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    denoiser: Denoiser,
    classifier: NoisyClassifier,
) -> dict[str, float]:
    """The largest difference of each output of `run` from what guidance gives here.

    run: a step as a function of its inputs, in order.
    """
    largest = dict.fromkeys(OUTPUTS, 0.0)
    for asked in questions(denoiser, classifier):
        right = answered(asked, denoiser, classifier)
        got = run(meet(asked.x, asked.level, asked.labels, asked.scale, denoiser, classifier))
        for (name, wanted), value in zip(right.items(), got, strict=True):
            unit = _unit(name, asked, denoiser, classifier)
            difference = _difference(unit * value, unit * wanted)
            largest[name] = max(largest[name], difference)
    return largest


def _unit(name: str, asked: Asked, denoiser: Denoiser, classifier: NoisyClassifier) -> float:
    """In which the output `name` counts: 1, and for an x0 that eps gave alpha / radius."""
    level = asked.level
    guided = name == "x0" and asked.scale != 0 and guides(classifier, level)
    if name.startswith("x0") and (guided or denoiser.prediction == "eps"):
        return level.alpha / level.radius
    return 1.0


def _difference(got: Tensor, wanted: Tensor) -> float:
    """Of the largest number of `wanted`, where it is above 1; infinite for what is not finite."""
    part = float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1))
    return part if part < float("inf") else float("inf")
