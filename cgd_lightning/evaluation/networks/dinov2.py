"""Features of DINOv2's ViT-L/14, on which the Frechet distance is called FD-DINOv2.

Oquab et al. 2023 (arXiv:2304.07193) trained it without labels, on far more than ImageNet; Stein et
al. 2023 (arXiv:2306.04675) found that its distances agree best with people.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints.state_dicts import read_state_dict
from cgd_lightning.diffusion.classifier import Preprocessed
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.networks.vit import VisionTransformer
from cgd_lightning.evaluation.networks.weights_files import fill, given_or_kept

URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth"

SIZE = 224

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

LARGE = {"width": 1024, "depth": 24, "heads": 16, "side": 37}


@dataclass(frozen=True)
class DINOv2Features(FeatureNetwork):
    """The class token (B, 1024) of the last layer; there are no classes."""

    network: nn.Module
    name: str = "dinov2"
    batch_size: int = 16

    frechet: ClassVar[str] = "fd_dinov2"

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(x0)
        return features, features[:, :0]


def dinov2(weights: str | None, device: torch.device) -> DINOv2Features:
    """The network with the weights in the file `weights`, or where torch.hub keeps them.

    Raises InputError if they are not there, or do not fit.
    """
    file = given_or_kept(weights, "dinov2", URL)
    state = read_state_dict(file)
    state.pop("mask_token", None)  # of its training alone
    network = VisionTransformer(**LARGE)
    fill(network, state, file)
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise InputError(f"{file}: its weights are not finite")
    ready = Preprocessed(network, SIZE, MEAN, STD)
    return DINOv2Features(ready.to(device).eval().requires_grad_(False))
