"""What a network sees in images: features, which metrics compare, and predicted classes.

A feature network is a value: a network and a name for it, by which a report says whose numbers
they are. Images are uint8 on the host; x0 is made of them, batch by batch, where the network is.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import Trained


@dataclass(frozen=True)
class FeatureNetwork(ABC):
    """uint8 images -> their features and predicted classes. A subclass says what it sees in x0.

    network: with the data it was trained on. name: of it in reports. batch_size: images at a time.
    """

    network: Trained
    name: str
    batch_size: int = 512

    @abstractmethod
    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """(features (B, d), logits (B, K)) of clean images `x0` (B, C, H, W)."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, d) float32 and predicted classes (N,) int64 of uint8 images (N, C, H, W).

        Both are on the host.
        """
        device = next(self.network.parameters()).device
        encode = self.network.data.codec.encode
        features, classes = [], []
        for chunk in images.split(self.batch_size):
            seen, logits = self.see(encode(chunk.to(device)))
            features.append(seen)
            classes.append(logits.argmax(dim=-1))
        return torch.cat(features).cpu(), torch.cat(classes).cpu()


@dataclass(frozen=True)
class JudgeFeatures(FeatureNetwork):
    """What the last layer of a judge reads; the classes are the judge's."""

    network: CleanClassifier
    name: str = "the judge"

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(x0)
        return features, self.network.logits_from(features)


@dataclass(frozen=True)
class GuideFeatures(FeatureNetwork):
    """The logits of a classifier of noisy images at its least noisy timestep."""

    network: NoisyClassifier
    name: str = "the guiding classifier itself"

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network.logits(x0, torch.zeros(len(x0), device=x0.device))
        return logits, logits


def look(judge: CleanClassifier, images: Tensor, batch_size: int = 512) -> tuple[Tensor, Tensor]:
    """What `JudgeFeatures` of the judge sees in uint8 images (N, C, H, W)."""
    return JudgeFeatures(judge, batch_size=batch_size)(images)


def look_with_guide(
    classifier: NoisyClassifier, images: Tensor, batch_size: int = 512
) -> tuple[Tensor, Tensor]:
    """What `GuideFeatures` of the classifier sees in uint8 images (N, C, H, W)."""
    return GuideFeatures(classifier, batch_size=batch_size)(images)
