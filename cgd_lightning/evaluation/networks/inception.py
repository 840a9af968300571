"""Features of the Inception network that FID is named after, as torch-fidelity has it.

torch-fidelity's network has the weights and the resizing of the TensorFlow graph of 2015 that
Heusel et al. 2017 (arXiv:1706.08500) used. On its features alone the Frechet distance is called
FID, and on its classes the inception score.
"""

import io
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints.state_dicts import Weights
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.networks.weights_files import check_installed, given_or_kept

URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)

PUBLISHED = Weights("6726825d", "torch-fidelity's weights-inception-2015-12-05-6726825d.pth")
"""torch.hub checks as many digits, those in the file's name."""

LAYERS = ("2048", "logits_unbiased")
"""What torch-fidelity takes for FID and for the inception score."""


@dataclass(frozen=True)
class InceptionFeatures(FeatureNetwork):
    """What torch-fidelity's Inception network sees: (B, 2048) and logits (B, 1008)."""

    network: nn.Module
    name: str = "inception"
    batch_size: int = 32

    frechet: ClassVar[str] = "fid"
    score: ClassVar[str] = "inception_score"

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        pixels = PIXELS.decode(x0).expand(-1, 3, -1, -1)  # it takes bytes
        features, logits = self.network(pixels)
        return features, logits


def inception(weights: str | None, device: torch.device) -> InceptionFeatures:
    """The network with its published weights, in the file `weights` or where torch.hub keeps them.

    Raises InputError if they are not there or are others, or if torch-fidelity is not installed.
    """
    check_installed("torch_fidelity", "which has the network")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    file = given_or_kept(weights, "inception", URL)
    # torch-fidelity unpickles what it is given, so that it is given what was read as plain data.
    plain = io.BytesIO()
    torch.save(PUBLISHED.read(file), plain)
    plain.seek(0)
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", list(LAYERS), feature_extractor_weights_path=plain
        )
    except RuntimeError as error:
        raise InputError(f"{file}: weights of another network: {one_line(error)}") from error
    return InceptionFeatures(network.to(device))
