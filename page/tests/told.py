"""A small random pair unlike that of digits, written for the page to the folder that is given.

Coloured images, more classes than have buttons, a noise predictor that is told the class, and a
classifier of another schedule.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear
from cgd_lightning.exchange.step_files import write_step
from cgd_lightning.networks import MLP, MLPClassifier

DATA = DataSpec((3, 8, 8), (*(f"kind {number}" for number in range(24)), "1|2"))


class Told(MLP):
    """A noise predictor that is told the class, and makes the images of each lighter."""

    num_classes = len(DATA.class_names)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return super().forward(x, t) - 0.05 * y[:, None, None, None]


torch.manual_seed(0)
network = Told(8, 3, 3, width=16, depth=1)
guide = MLPClassifier(8, 3, len(DATA.class_names), width=16, depth=1)
for value in (*network.parameters(), *guide.parameters()):
    value.data.add_(0.1 * torch.rand(value.shape))  # some begin at 0
denoiser = Denoiser(network, Cosine(), "v", DATA).eval().requires_grad_(False)
classifier = NoisyClassifier(guide, Linear(), DATA).eval().requires_grad_(False)
write_step(denoiser, classifier, Path(sys.argv[1]) / "pair.onnx", "onnx")
