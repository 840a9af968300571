"""Whole guided trajectories against the formulas of ADM, Dhariwal and Nichol 2021
(arXiv:2105.05233), algorithms 1 and 2, written here a second time in betas and cumulative products
of numpy, as DDPM writes them: Ho et al. 2020 (arXiv:2006.11239), Nichol and Dhariwal 2021
(arXiv:2102.09672), Song et al. 2021 (arXiv:2010.02502).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM, DDPM, Sampler
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.networks import EncoderUNet, UNet

LABELS = torch.tensor([2, 0])
SMALL = {
    "model_channels": 8,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2,),
    "resblock_updown": True,
}


def betas_of(name: str) -> np.ndarray:
    """The beta of each of 1000 timesteps."""
    if name == "linear":
        return np.linspace(1e-4, 0.02, 1000)
    edges = np.arange(1001) / 1000
    alpha_bar = np.cos((edges + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)


def timesteps_of(respacing: str) -> list[int]:
    """Which of 1000 timesteps a respacing string takes, rising."""
    if respacing.startswith("ddim"):
        count = int(respacing[4:])
        return list(range(0, 1000, 1000 // count))
    counts = [int(count) for count in respacing.split(",")]
    sizes = [len(part) for part in np.array_split(np.arange(1000), len(counts))]
    taken, start = [], 0
    for size, count in zip(sizes, counts):
        place = 0.0
        for _ in range(count):
            taken.append(start + round(place))
            place += (size - 1) / (count - 1)
        start += size
    return taken


@dataclass
class ByTheBook:
    """ADM's process over `timesteps`, a part of those that `betas` are of.

    network: (x, t, y) -> eps and a fraction of variance, in twice the channels. classifier: (x, t)
    -> logits.
    """

    betas: np.ndarray
    timesteps: list[int]
    network: nn.Module
    classifier: nn.Module
    scale: float

    def __post_init__(self) -> None:
        self.alpha_bar = np.cumprod(1 - self.betas)[self.timesteps]
        self.before = np.concatenate([[1.0], self.alpha_bar[:-1]])
        self.beta = 1 - self.alpha_bar / self.before
        posterior = self.beta * (1 - self.before) / (1 - self.alpha_bar)
        # The first has none; the second stands for it, so that there is a logarithm.
        self.log_posterior = np.log(np.concatenate([posterior[1:2], posterior[1:]]))

    def x0_and_variance(self, x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """The clipped x0 and the learned variance at the i-th timestep."""
        t = torch.full((len(x),), float(self.timesteps[i]))
        with torch.no_grad():
            eps, v = self.network(x, t, LABELS).split(x.shape[1], dim=1)
        fraction = (v + 1) / 2
        log_variance = fraction * np.log(self.beta[i]) + (1 - fraction) * self.log_posterior[i]
        x0 = (x - np.sqrt(1 - self.alpha_bar[i]) * eps) / np.sqrt(self.alpha_bar[i])
        return x0.clamp(-1, 1), log_variance.exp()

    def gradient(self, x: Tensor, i: int) -> Tensor:
        """scale * grad log p(y | x), at the timestep of the process before it was respaced."""
        x = x.detach().requires_grad_()
        t = torch.full((len(x),), float(self.timesteps[i]))
        chosen = self.classifier(x, t).log_softmax(1)[torch.arange(len(x)), LABELS]
        return self.scale * torch.autograd.grad(chosen.sum(), x)[0]

    def ddpm(self, x: Tensor, noise: Callable[[], Tensor]) -> list[Tensor]:
        """Algorithm 1: the mean moves by variance * scale * gradient."""
        path = []
        for i in reversed(range(len(self.timesteps))):
            x0, variance = self.x0_and_variance(x, i)
            of_x0 = self.beta[i] * np.sqrt(self.before[i]) / (1 - self.alpha_bar[i])
            of_x = (1 - self.before[i]) * np.sqrt(1 - self.beta[i]) / (1 - self.alpha_bar[i])
            mean = of_x0 * x0 + of_x * x + variance * self.gradient(x, i)
            x = mean + variance.sqrt() * noise() if i > 0 else mean
            path.append(x)
        return path

    def ddim(self, x: Tensor, noise: Callable[[], Tensor], eta: float = 0.0) -> list[Tensor]:
        """Algorithm 2: eps moves by sqrt(1 - alpha_bar) * scale * gradient, x0 is not clipped
        again.
        """
        path = []
        for i in reversed(range(len(self.timesteps))):
            a, b = self.alpha_bar[i], self.before[i]
            x0, _ = self.x0_and_variance(x, i)
            eps = (x - np.sqrt(a) * x0) / np.sqrt(1 - a)
            eps = eps - np.sqrt(1 - a) * self.gradient(x, i)
            x0 = (x - np.sqrt(1 - a) * eps) / np.sqrt(a)
            deviation = eta * np.sqrt((1 - b) / (1 - a)) * np.sqrt(1 - a / b)
            x = np.sqrt(b) * x0 + np.sqrt(1 - b - deviation**2) * eps
            if i > 0 and eta > 0:
                x = x + deviation * noise()
            path.append(x)
        return path


def network_of(cls: type[nn.Module], seed: int, **options) -> nn.Module:
    """One with weights from `seed`, none of them zero, in float64."""
    torch.manual_seed(seed)
    network = cls(image_size=8, in_channels=2, **options, **SMALL).double().eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    return (
        network_of(UNet, 0, out_channels=4, num_classes=3),
        network_of(EncoderUNet, 1, out_channels=3, pool="attention"),
    )


class Draws:
    """The same noise in the same order, for each of those who are compared."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)

    def __call__(self) -> Tensor:
        return torch.randn(2, 2, 8, 8, generator=self.generator, dtype=torch.float64)


def both(
    networks: tuple[nn.Module, nn.Module],
    name: str,
    sampler: Sampler,
    scale: float = 30.0,
    clamp: bool = True,
) -> tuple[list[Tensor], list[Tensor]]:
    """x after every step, of ours and of the formulas, from the same start and noise."""
    network, classifier = networks
    schedule: NoiseSchedule = {"linear": Linear(), "cosine": Cosine()}[name]
    data = DataSpec((2, 8, 8), ("a", "b", "c"))
    denoiser = Denoiser(network, schedule, "eps", data, learned_variance=True)
    guide = NoisyClassifier(classifier, schedule, data)
    rule = Chain([*([Clamp()] if clamp else []), ClassifierGuidance(scale)])
    denoise = rule.bind(denoiser.bind(LABELS), guide, LABELS)
    noise = Draws()
    with torch.no_grad():
        levels = schedule.levels(sampler.steps, sampler.spacing)
        ours = list(sampler.walk(denoise, noise(), levels, noise))

    book = ByTheBook(betas_of(name), timesteps_of(sampler.spacing), network, classifier, scale)
    noise = Draws()
    if isinstance(sampler, DDIM):
        return ours, book.ddim(noise(), noise, sampler.eta)
    return ours, book.ddpm(noise(), noise)


CASES: list[tuple[Sampler, str]] = [
    (DDPM(variance="learned", spacing="250", mean_shift=True), "cosine"),
    (DDPM(variance="learned", spacing="10,15,20", mean_shift=True), "linear"),
    (DDPM(variance="learned", spacing="10,15,20", mean_shift=True), "cosine"),
    (DDPM(variance="learned", spacing="ddim25", mean_shift=True), "linear"),
    (DDIM(spacing="250"), "linear"),
    (DDIM(spacing="10,15,20"), "linear"),
    (DDIM(spacing="10,15,20"), "cosine"),
    (DDIM(spacing="ddim25"), "linear"),
    (DDIM(spacing="ddim25"), "cosine"),
    (DDIM(spacing="ddim25", eta=0.5), "cosine"),
]


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    CASES,
    ids=[f"{type(sampler).__name__}-{sampler.spacing}-{name}" for sampler, name in CASES],
)
def test_a_guided_trajectory_is_that_of_the_formulas(
    networks, sampler: Sampler, schedule: str
) -> None:
    ours, theirs = both(networks, schedule, sampler)
    assert len(ours) == len(theirs) == sampler.steps
    # Measured: at most 3e-13.
    assert farthest(ours, theirs) < 1e-9


@pytest.mark.parametrize("sampler", [CASES[3][0], CASES[7][0]], ids=["DDPM", "DDIM"])
def test_what_is_compared_is_guided_and_clipped(networks, sampler: Sampler) -> None:
    guided, _ = both(networks, "linear", sampler)
    unguided, _ = both(networks, "linear", sampler, scale=0.0)
    assert farthest(guided, unguided) > 0.05
    assert farthest(guided, both(networks, "linear", sampler, clamp=False)[0]) > 0.05


def farthest(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest difference after any step."""
    return max(float((a - b).abs().max()) for a, b in zip(one, other))
