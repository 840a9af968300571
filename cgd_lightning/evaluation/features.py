"""What a judge sees in images: features and predicted classes, one pass over all of them."""

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.process import to_float


@torch.no_grad()
def look(judge: CleanClassifier, images: Tensor, batch_size: int = 512) -> tuple[Tensor, Tensor]:
    """(features (N, d) float32, predicted classes (N,) int64), on the host, of uint8 images (N, C, H, W)."""
    device = next(judge.parameters()).device
    features, classes = [], []
    for chunk in images.split(batch_size):
        seen = judge.features(to_float(chunk.to(device)))
        features.append(seen)
        classes.append(judge.logits_from(seen).argmax(dim=-1))
    return torch.cat(features).cpu(), torch.cat(classes).cpu()
