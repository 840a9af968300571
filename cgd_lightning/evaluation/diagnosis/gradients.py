"""The gradient that guides: how long it is, how fast it turns, and whether it is the true one.

Along paths that guided sampling walks, at each level, with g = grad log p(y | x_t):

    length   sigma |g|, by how much guidance moves eps at scale 1
    turn     1 - cos between g(x_t) and g(x_t + sigma / 10 z), z standard normal
    step     1 - cos between g here and g at the step before

A smooth field turns little; 1 is a right angle, as between unrelated gradients. Apart from paths,
finite differences tell whether g is the slope of log p(y | x_t) at all.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser, Prediction
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.guidance.classifier import class_gradient
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.evaluation.diagnosis.levels import HeldOut

STEPS = 20
"""Of the walk."""

NUDGE = 0.1
"""In standard deviations of the noise: the step by which `turn` is measured."""

STEP = 1e-4
"""Of the finite differences, along directions whose entries are standard normal."""

PROBES = 32
"""Images that finite differences are taken of."""


_Row = tuple[Level, Tensor, Tensor]
"""A level, and of each path g(x_t) and g(x_t + sigma / 10 z), both (B, d)."""


@dataclass(frozen=True)
class PathGradient:
    """The means over the paths at one level; nan where a gradient is not finite.

    step is nan at the first level.
    """

    t: float
    log_snr: float
    length: float
    turn: float
    step: float


@torch.no_grad()
def along_paths(
    classifier: NoisyClassifier,
    denoiser: Denoiser,
    scale: float,
    count: int,
    seed: int,
    progress: Callable[[], None],
    classes: int,
) -> list[PathGradient]:
    """What the gradient is like on `count` guided walks of DDIM, the classes in turn."""
    index = torch.arange(count, device=next(denoiser.parameters()).device)
    labels = index % classes
    guided = _guided(classifier, denoiser, labels, scale)
    nudges = SeededNoise(seed + 1, index, denoiser.image_shape)
    rows: list[_Row] = []

    def watched(x_t: Tensor, level: Level) -> Prediction:
        if level.alpha > 0 and classifier.covers(level):
            nudged = x_t + NUDGE * level.sigma * nudges()
            here, there = (class_gradient(classifier, x, level, labels)[0] for x in (x_t, nudged))
            rows.append((level, here.flatten(1), there.flatten(1)))
        progress()
        return guided(x_t, level)

    start = SeededNoise(seed, index, denoiser.image_shape)
    for _ in DDIM(STEPS).trajectory(watched, start, denoiser.schedule):
        pass
    return _path_gradients(rows)


def _guided(
    classifier: NoisyClassifier, denoiser: Denoiser, labels: Tensor, scale: float
) -> Callable[[Tensor, Level], Prediction]:
    bounds = denoiser.data.codec.bounds
    rule = Chain([ClassifierGuidance(scale), *([Clamp(*bounds)] if bounds else [])])
    return rule.bind(denoiser.bind(labels), classifier, labels)


def _path_gradients(rows: list[_Row]) -> list[PathGradient]:
    before = [rows[0][1] * torch.nan, *(here for _, here, _ in rows)] if rows else []
    return [
        PathGradient(
            0.0 if level.t is None else level.t,
            level.log_snr,
            level.sigma * here.norm(dim=1).mean().item(),
            1 - _cosine(here, there),
            1 - _cosine(here, last),
        )
        for (level, here, there), last in zip(rows, before)
    ]


def _cosine(one: Tensor, other: Tensor) -> float:
    return torch.cosine_similarity(one.double(), other.double(), dim=1).mean().item()


def finite_difference_error(classifier: NoisyClassifier, data: HeldOut, level: Level) -> float:
    """The distance of the slopes of log p(y | x_t) from central differences, as a share of them.

    Both are root mean squares over a few images, one random direction each. Computed in float64,
    where 1e-6 is to be expected of a smooth network, 1e-2 of one with kinks; on a device without
    it in float32, where rounding alone makes about 1e-2.
    """
    device = next(iter(classifier.parameters())).device
    double = device.type != "mps"
    model = deepcopy(classifier).double() if double else classifier
    x0, eps, labels = next(data.first(PROBES).batches(device))
    x_t = level.alpha * x0 + level.sigma * eps
    x_t = x_t.double() if double else x_t
    index = torch.arange(len(x_t), device=device)
    along = SeededNoise(data.seed + 2, index, x_t.shape[1:])().to(x_t.dtype)
    step = STEP if double else 100 * STEP
    slope = (class_gradient(model, x_t, level, labels)[0] * along).flatten(1).sum(dim=1)
    with torch.no_grad():
        ends = [
            model.log_prob_at(x_t + side * step * along, level).gather(1, labels[:, None])[:, 0]
            for side in (1, -1)
        ]
    difference = (ends[0] - ends[1]) / (2 * step)
    size = difference.square().mean().sqrt().item()
    return (slope - difference).square().mean().sqrt().item() / max(size, 1e-30)
