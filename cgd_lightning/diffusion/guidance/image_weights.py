"""How strongly a classifier's gradient counts for each image: a factor on the term."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError
from cgd_lightning.values import Value


class ImageWeight(Value, ABC):
    """A factor for each image, from its gradient and the classifier's opinion."""

    @abstractmethod
    def __call__(self, gradient: Tensor, log_p: Tensor, level: Level) -> Tensor:
        """Factors (B,) for the images of a batch.

        gradient: of log p(y | x_t), (B, C, H, W). log_prob: log p of all classes, (B, K).
        """


@dataclass(frozen=True)
class EntropyScale(ImageWeight):
    """log K / H(p(. | x_t)): 1 where the classifier knows nothing, more the surer it is.

    It makes up for the gradient, which vanishes where the classifier is sure.

    Zheng et al. 2022, entropy-driven sampling (arXiv:2206.11474).

    Args:
        largest: bound of the factor, which is infinite where H = 0; at least 1.
    """

    largest: float = 1e4

    def __post_init__(self) -> None:
        if self.largest < 1:
            raise InputError(
                f"largest {self.largest}: the factor of an unsure classifier is 1; wanted at least "
                "that"
            )

    def __call__(self, gradient: Tensor, log_p: Tensor, level: Level) -> Tensor:
        entropy = -(log_p.exp() * log_p).sum(dim=-1)
        uniform = math.log(log_p.shape[1])
        return uniform / entropy.clamp(min=uniform / self.largest)


@dataclass(frozen=True)
class UnitGradient(ImageWeight):
    """1 / (sigma_t rms(grad)): every image is moved equally far.

    The term has the root mean square 1 that eps itself has. The scale is then the size of the push
    in units of the noise. Ma et al. 2024 (arXiv:2310.11311) normalise alike. An image without any
    gradient is not moved.
    """

    def __call__(self, gradient: Tensor, log_p: Tensor, level: Level) -> Tensor:
        flat = gradient.flatten(1)
        largest = flat.abs().amax(dim=1)  # squares of small numbers are 0 in float32
        rms = (
            largest
            * (flat / largest.clamp(min=torch.finfo(flat.dtype).tiny)[:, None])
            .square()
            .mean(dim=1)
            .sqrt()
        )
        return torch.where(rms > torch.finfo(rms.dtype).tiny, 1 / (level.sigma * rms), 0.0)
