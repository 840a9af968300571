"""What a network sees in images: features and predicted classes, one pass over all of them."""

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.process import to_float


@torch.no_grad()
def look(judge: CleanClassifier, images: Tensor, batch_size: int = 512) -> tuple[Tensor, Tensor]:
    """(features (N, d) float32, predicted classes (N,) int64), on the host, of uint8 images (N, C,
    H, W).
    """
    device = next(judge.parameters()).device
    features, classes = [], []
    for chunk in images.split(batch_size):
        seen = judge.features(to_float(chunk.to(device)))
        features.append(seen)
        classes.append(judge.logits_from(seen).argmax(dim=-1))
    return torch.cat(features).cpu(), torch.cat(classes).cpu()


@torch.no_grad()
def look_with_guide(
    classifier: NoisyClassifier, images: Tensor, batch_size: int = 512
) -> tuple[Tensor, Tensor]:
    """The same of a classifier of noisy images at its least noisy timestep; the features are its
    logits (N, K).
    """
    device = next(classifier.parameters()).device
    chunks = (to_float(chunk.to(device)) for chunk in images.split(batch_size))
    logits = torch.cat(
        [classifier.logits(x, torch.zeros(len(x), device=device)) for x in chunks]
    ).cpu()
    return logits, logits.argmax(dim=-1)
