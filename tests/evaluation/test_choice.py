"""The scale that is chosen is the best one where that is known: on exact Gaussian mixtures.

With an unconditional noise predictor and the true classifier scale 1 is Bayes' rule. A classifier
whose logits are c times the true ones wants about 1/c; not quite, as its gradient also fades sooner
or later on the way to its class.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.samplers import DPMSolver
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.evaluation.by_class import Distances, error
from cgd_lightning.evaluation.choice import choose, critical, nearest
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.jackknife import BLOCKS
from cgd_lightning.evaluation.measured import Measured


class Gaussians(nn.Module):
    """K classes N(m_k, C_k) of equal shares in d dimensions, on x (B, 1, 1, d), in float64.

    The logits of class k are `sharpness` log p(x_t, k).
    """

    def __init__(self, d: int, classes: int, seed: int, sharpness: float = 1.0) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        means = torch.randn(classes, d, generator=draws, dtype=torch.float64)
        mixed = torch.randn(classes, d, d, generator=draws, dtype=torch.float64)
        widths = 0.15 + 0.9 * torch.rand(classes, 1, d, generator=draws, dtype=torch.float64)
        self.means = nn.Parameter(means, requires_grad=False)
        self.roots = torch.linalg.qr(mixed).Q * widths
        self.sharpness, self.schedule, self.names = sharpness, Cosine(), tuple("abcdefgh"[:classes])

    def joint(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(log p(x_t, k) but for a constant (B, K), minus its gradient (B, K, d)).

        All images are at one timestep.
        """
        alpha, sigma = (v[0] for v in self.schedule.alpha_sigma(t.double()))
        d = x_t.shape[-1]
        covariance = alpha**2 * self.roots @ self.roots.mT + sigma**2 * torch.eye(d).double()
        apart = x_t.reshape(-1, 1, d) - alpha * self.means
        pull = torch.linalg.solve(covariance, apart[..., None])[..., 0]
        return -0.5 * ((apart * pull).sum(-1) + covariance.logdet()), pull

    def draw(self, labels: Tensor, seed: int) -> Tensor:
        noise = torch.randn(
            len(labels), self.means.shape[1], generator=torch.Generator().manual_seed(seed)
        )
        return self.means[labels] + (self.roots[labels] @ noise.double()[..., None])[..., 0]


class Eps(Gaussians):
    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        log_p, pull = self.joint(x_t, t)
        score = -(log_p.softmax(-1)[..., None] * pull).sum(1).reshape(x_t.shape)
        return -self.schedule.sigma(t.double()).reshape(-1, 1, 1, 1) * score


class Logits(Gaussians):
    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.sharpness * self.joint(x_t, t)[0]


SIZES = {"2 dimensions": (2, 3), "4 dimensions": (4, 3), "8 dimensions": (8, 4)}
N = 600


@cache
def samples(d: int, classes: int, seed: int, sharpness: float, scale: float) -> Tensor:
    """(N, d) of the classes in turn, from the same noise at every scale."""
    eps, logits = Eps(d, classes, seed), Logits(d, classes, seed, sharpness)
    data = DataSpec((1, 1, d), eps.names)
    labels = torch.arange(N) % classes
    denoise = Denoiser(eps, eps.schedule, "eps", data)
    guided = ClassifierGuidance(scale).bind(
        denoise.bind(labels), NoisyClassifier(logits, eps.schedule, data), labels
    )
    sampler = DPMSolver(20)
    levels = eps.schedule.levels(sampler.steps, sampler.spacing)
    draws = torch.Generator().manual_seed(100 + seed)
    noise = torch.randn(N, 1, 1, d, generator=draws, dtype=torch.float64) * levels[0].radius
    *_, x = sampler.walk(guided, noise, levels, lambda: noise)
    return x.detach().reshape(N, d)


def looked_at(x: Tensor) -> Tensor:
    """What a fixed random network sees, on a scale of its own."""
    draws = torch.Generator().manual_seed(5)
    weights = torch.randn(32, x.shape[1], generator=draws, dtype=torch.float64)
    return 40 * torch.relu(x @ weights.T / x.shape[1] ** 0.5 + torch.randn(32, generator=draws))


def measured(
    size: tuple[int, int],
    seed: int,
    sharpness: float,
    scales: Sequence[float],
    see: Callable[[Tensor], Tensor] = lambda x: x,
) -> list[Measured]:
    d, classes = size
    labels = torch.arange(2000) % classes
    compare = Distances(see(Gaussians(d, classes, seed).draw(labels, 50 + seed)), labels)
    points = []
    for scale in scales:
        found = compare(
            see(samples(*size, seed, sharpness, scale)), [i % classes for i in range(N)]
        )
        distance = about(found.value, error(found), BLOCKS - 1)
        points.append(Measured(N, scale, {"energy_by_class": distance}, found))
    return points


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_best_scale_of_an_exact_mixture_is_found(size: tuple[int, int], seed: int) -> None:
    scales = [0.0, 0.5, 1.0, 1.5, 2.0, 5.0]
    choice = choose(measured(size, seed, 1, scales))
    assert scales[choice.best] == 1
    assert choice.sure.startswith("scale 1 (")
    assert set(choice.as_good) <= {2, 3}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("sharpness", [0.5, 2])
def test_a_classifier_that_is_too_unsure_wants_more_and_one_too_sure_wants_less(
    sharpness: float, size: tuple[int, int], seed: int
) -> None:
    scales = [0.0, 0.25 / sharpness, 1 / sharpness, 4 / sharpness]
    choice = choose(measured(size, seed, sharpness, scales))
    assert scales[choice.best] == 1 / sharpness
    assert choice.as_good == (2,)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_found_in_features_too(seed: int) -> None:
    scales = [0.0, 0.5, 1.0, 2.0, 4.0]
    choice = choose(measured((4, 3), seed, 1, scales, looked_at))
    assert (choice.best, choice.as_good) == (2, (2,))
    assert "at 95% better than the other scales asked, with 600 samples" in choice.sure


def test_scales_side_by_side_cannot_be_told_apart_and_far_ones_can() -> None:
    scales = [0.0, 0.95, 1.0, 1.05, 8.0]
    choice = choose(measured((4, 3), 0, 1, scales))
    assert choice.as_good == (1, 2, 3)
    assert "between 0.95 and 1.05 cannot be told apart with 600 samples" in choice.sure


def test_the_truly_best_scale_is_as_good_as_the_best_in_19_of_20_draws() -> None:
    """Of five sets of samples of one distribution any may come first, and none is worse."""
    labels = torch.arange(200) % 2
    draws = torch.Generator().manual_seed(0)

    def normal(n: int) -> Tensor:
        return torch.randn(n, 3, generator=draws, dtype=torch.float64)

    compare, targets = Distances(normal(200), labels), [i % 2 for i in range(60)]
    out = 0
    for _ in range(100):
        found = [compare(normal(60), targets) for _ in range(5)]
        out += 0 not in nearest(found)[1]
    assert out <= 10


def test_the_bound_is_the_quantile_of_students_t() -> None:
    from scipy.stats import t

    for comparisons in (1, 4, 30):
        assert critical(comparisons) == pytest.approx(t.ppf(1 - 0.05 / comparisons, 19), rel=2e-3)


def points(**metrics: Sequence[Estimate]) -> list[Measured]:
    scales = [0.0, 0.5, 1.0, 2.0]
    return [
        Measured(
            p.n, p.scale, p.estimates | {name: of[i] for name, of in metrics.items()}, p.distance
        )
        for i, p in enumerate(measured((4, 3), 0, 1, scales))
    ]


def test_what_guidance_makes_worse_is_said_beyond_the_error_alone() -> None:
    recall = [about(value, 0.02, 19) for value in (0.8, 0.79, 0.6, 0.2)]
    fid = [Estimate(value, value - 2, value + 2) for value in (9.0, 4.0, 10.0, 15.0)]
    kid = [Estimate(value) for value in (0.1, 0.2, 0.3, 0.4)]  # nobody knows how sure
    own = [about(value, 0.01, 19) for value in (1.0, 2.0, 3.0, 4.0)]  # nor which way is better
    choice = choose(points(recall=recall, fid_lite=fid, kid=kid, own=own))
    assert choice.warnings == (
        "warning: recall@600 is worse than without guidance (0.8): 0.6 at scale 1 and 0.2 at scale "
        "2",
        "warning: fid_lite@600 is worse than without guidance (9): 15 at scale 2",
    )
    assert "recall@600 0.6 (0.8 at 0, 0.79 at 0.5, 0.2 at 2)" in choice.why


def test_a_best_scale_at_the_end_asks_for_more() -> None:
    up = choose(measured((4, 3), 0, 1, [0.0, 0.25, 0.5]))
    assert up.sure.startswith("scale 0.5 or more (")
    assert up.warnings[-1].endswith("ask for larger ones, as 0.25,0.5,1,2")
    down = choose(measured((4, 3), 0, 1, [0.0, 16.0]))
    assert down.best == 0
    assert "energy_by_class@600 is worse than without guidance" in down.warnings[0]
    assert "guidance is no help at these scales" in down.warnings[-1]
    assert math.isfinite(choose(measured((4, 3), 0, 1, [0.0])).best)
