"""Images of the exact mixture, whose classifier and diffusion model are known in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.codec import Codec
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, NoiseSchedule
from tests.conftest import NAMES, PRIOR, SHAPE, ExactEps, ExactLogits

SCHEDULE = Cosine()


@dataclass(frozen=True)
class AsTheyAre(Codec):
    """x0 is the data."""

    def encode(self, data: Tensor) -> Tensor:
        return data

    def decode(self, x0: Tensor) -> Tensor:
        return x0


class Times(nn.Module):
    """Logits of another network, times a number."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.factor * self.network(x_t, t)


DATA = DataSpec(SHAPE, NAMES, PRIOR, AsTheyAre())


def classifier(factor: float = 1.0, schedule: NoiseSchedule = SCHEDULE) -> NoisyClassifier:
    """The exact one, its logits times a factor; `schedule` is what it is said to know."""
    network = Times(ExactLogits(SCHEDULE).requires_grad_(False), factor)
    return NoisyClassifier(network.eval(), schedule, DATA)


def denoiser() -> Denoiser:
    """The exact one."""
    return Denoiser(ExactEps(SCHEDULE).requires_grad_(False), SCHEDULE, "eps", DATA)


def images(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images (N, *SHAPE) float64 of the mixture, and their classes (N,)."""
    mixture, generator = ExactLogits(SCHEDULE), torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(PRIOR), count, replacement=True, generator=generator)
    noise = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    x = mixture.means[labels] + mixture.variances[labels].sqrt() * noise
    return x.detach().reshape(count, *SHAPE), labels
