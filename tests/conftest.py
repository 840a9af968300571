"""What many tests share: an exact Gaussian mixture, whose denoiser and classifier are known in
closed form.
"""

import math
import os
from collections.abc import Iterator

import lightning.pytorch  # noqa: F401  (here, so that its log is bound to a stream that outlives a single test)
import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.process import NoisyBatch, add_noise
from cgd_lightning.diffusion.schedules import (
    Cosine,
    Linear,
    NoiseSchedule,
    Sigmoid,
    VarianceExploding,
)
from tests.command_line import cgd, trained, workplace  # noqa: F401  (fixtures)
from tests.forks import own_lock

os.register_at_fork(after_in_child=own_lock)

if "TESTS_ON_CUDA" not in os.environ:  # make gpu sets it, for tests/gpu
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features are kept in a folder of the tests, and not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


SHAPE = (1, 2, 2)
NAMES, PRIOR = ("a", "b", "c"), (0.5, 0.3, 0.2)
SCHEDULES = [Linear(), Cosine(), Sigmoid(), VarianceExploding()]


class Mixture(nn.Module):
    """Class k is N(means[k], diag(variances[k])) with prior weights[k], on images of SHAPE, in
    float64.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        classes: list[int] | None = None,
        weights: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        chosen = classes if classes is not None else [0, 1, 2]
        means = 0.8 * torch.randn(3, 4, generator=generator, dtype=torch.float64)
        variances = 0.05 + 0.2 * torch.rand(3, 4, generator=generator, dtype=torch.float64)
        weights = torch.tensor(weights or PRIOR, dtype=torch.float64)[chosen]
        self.means, self.variances = nn.Parameter(means[chosen]), nn.Parameter(variances[chosen])
        self.weights = nn.Parameter(weights / weights.sum())
        self.schedule = schedule
        self.calls = 0

    def joint(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t, class), (B, K)."""
        alpha, sigma = (values[:, None, None] for values in self.schedule.alpha_sigma(t.double()))
        variance = alpha**2 * self.variances + sigma**2
        squares = (x_t.flatten(1)[:, None] - alpha * self.means) ** 2 / variance
        return self.weights.log() - 0.5 * (squares + variance.log() + math.log(2 * math.pi)).sum(-1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        which = torch.multinomial(self.weights.detach(), n, replacement=True, generator=generator)
        noise = torch.randn(n, 4, generator=generator, dtype=torch.float64)
        return (
            (self.means[which] + self.variances[which].sqrt() * noise).detach().reshape(n, *SHAPE)
        )


class ExactEps(Mixture):
    """eps = -sigma grad log p(x_t), as a network."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        with torch.inference_mode(False), torch.enable_grad():
            x = x_t.detach().clone().requires_grad_()
            score = torch.autograd.grad(self.joint(x, t).logsumexp(-1).sum(), x)[0]
        return -self.schedule.sigma(t.double()).reshape(-1, 1, 1, 1) * score


class ExactLogits(Mixture):
    """log p(x_t, class), logits of the exact classifier, as a network."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        return self.joint(x_t, t)


class Changed(ExactLogits):
    """The exact classifier, its logits times `factor` and off by a field of x_t times `bias`."""

    factor, bias = 1.0, 0.0

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        wave = torch.sin(3 * x_t.flatten(1)[:, :3])
        return self.factor * super().forward(x_t, t) + self.bias * wave


def drawn(n: int, t: float | None = None) -> NoisyBatch:
    """Images of the mixture, noised on `Cosine` at `t` or at all timesteps."""
    generator = torch.Generator().manual_seed(3)
    schedule, exact = Cosine(), Mixture(Cosine())
    y = torch.multinomial(exact.weights.detach(), n, replacement=True, generator=generator)
    draw = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    x0 = (exact.means[y] + exact.variances[y].sqrt() * draw).detach().reshape(n, *SHAPE)
    timestep = 999 * torch.rand(n, generator=generator) if t is None else torch.full((n,), t)
    eps = torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    x_t = add_noise(x0, timestep, eps, schedule)
    return NoisyBatch(x0, x_t, timestep, eps, y, torch.arange(n))


def exact_denoiser(
    schedule: NoiseSchedule,
    classes: list[int] | None = None,
    weights: tuple[float, ...] | None = None,
) -> Denoiser:
    """Of the mixture of some classes as often as in the data, or of all in other proportions."""
    return Denoiser(
        ExactEps(schedule, classes, weights).requires_grad_(False),
        schedule,
        "eps",
        DataSpec(SHAPE, NAMES),
    )


def exact_classifier(schedule: NoiseSchedule) -> NoisyClassifier:
    return NoisyClassifier(
        ExactLogits(schedule).requires_grad_(False), schedule, DataSpec(SHAPE, NAMES, PRIOR)
    )


class Draws:
    """Noise in float64 from a seed, the same for whoever asks with the same seed."""

    def __init__(self, seed: int, n: int = 16) -> None:
        self.generator, self.n = torch.Generator().manual_seed(seed), n

    def __call__(self) -> Tensor:
        return torch.randn(self.n, *SHAPE, generator=self.generator, dtype=torch.float64)


@pytest.fixture(params=SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def schedule(request: pytest.FixtureRequest) -> NoiseSchedule:
    return request.param
