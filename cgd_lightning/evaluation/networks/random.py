"""Features of a network that was never trained, always the same one.

Naeem et al. 2020 (arXiv:2002.09797), section 3.4: where images have little in common with
ImageNet, features of a network with random weights may tell more than those of a trained one. As
theirs the network is of VGG's kind (Simonyan and Zisserman 2015, arXiv:1409.1556); it is smaller,
and it needs no file.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import Preprocessed
from cgd_lightning.evaluation.features import FeatureNetwork

SIZE = 32
"""Pixels of a side that images are resized to."""

WIDTHS = (32, 64, 128, 128)
"""Channels after each convolution; the image is halved after each, and averaged in the end."""


class RandomConvolutions(nn.Module):
    """Images (B, 3, 32, 32) -> features (B, 128).

    The weights are He et al.'s (arXiv:1502.01852, eq. 10), from a seed of their own.
    """

    def __init__(self) -> None:
        super().__init__()
        generator, layers, inside = torch.Generator().manual_seed(0), [], 3
        for width in WIDTHS:
            conv = nn.Conv2d(inside, width, 3, padding=1, bias=False)
            weight = torch.randn(conv.weight.shape, generator=generator)
            conv.weight = nn.Parameter(weight * math.sqrt(2 / (9 * inside)))
            layers += [conv, nn.ReLU(), nn.AvgPool2d(2)]
            inside = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The features (B, 128)."""
        return self.layers(x).mean(dim=(2, 3))


@dataclass(frozen=True)
class RandomFeatures(FeatureNetwork):
    """What `RandomConvolutions` see; there are no classes."""

    network: nn.Module
    name: str = "random"

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(x0)
        return features, features[:, :0]


def random(weights: str | None, device: torch.device) -> RandomFeatures:
    """The network on `device`. It has no file of weights."""
    network = Preprocessed(RandomConvolutions(), SIZE, [0.5] * 3, [0.5] * 3)
    return RandomFeatures(network.to(device).eval().requires_grad_(False))
