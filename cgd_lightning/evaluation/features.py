"""What a network sees in images: features, which metrics compare, and what it calls them.

A feature network is a value: a network and a name for it, by which a report says whose numbers
they are, and the hash of its weights, by which it is known again. Images are uint8 on the host; x0
is made of them, batch by batch, where the network is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.errors import InputError
from cgd_lightning.streams import Images

Bar = Callable[[Iterable[Tensor]], Iterable[Tensor]]
"""Shows how many of the batches that go through it are done, as tqdm."""


LARGEST = 1e15
"""Of a feature: its sixth power is a number still."""


class Seen(NamedTuple):
    """What a network sees in N images, on the host, in float32.

    features: (N, d). logits: (N, K) of its classes; K is 0 if it has none.
    """

    features: Tensor
    logits: Tensor

    @property
    def classes(self) -> Tensor:
        """The class (N,) int64 that the network finds likeliest for each image."""
        return self.logits.argmax(dim=-1)


@dataclass(frozen=True)
class FeatureNetwork(ABC):
    """uint8 images -> what it sees in them. A subclass says what it sees in x0.

    network: a module, on its device. name: of it in reports. batch_size: images at a time.
    """

    network: nn.Module
    name: str
    batch_size: int = 512

    frechet: ClassVar[str] = "fid_lite"
    """How the Frechet distance of its features is called."""

    score: ClassVar[str] = "inception_score_lite"
    """How the inception score of its classes is called."""

    @abstractmethod
    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """(features (B, d), logits (B, K)) of clean images `x0` (B, C, H, W)."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of its classes; empty if it has none, or nobody said them."""
        return ()

    @property
    def codec(self) -> Codec:
        """How uint8 images become its x0."""
        return PIXELS

    @cached_property
    def hash(self) -> str:
        """The first 16 digits of the SHA-256 of its class, its weights and their names."""
        return checkpoints.hash_weights(self.network, type(self).__qualname__)

    @torch.no_grad()
    def __call__(self, images: Images, bar: Bar = iter, what: str = "images") -> Seen:
        """What it sees in uint8 images (N, C, H, W), which an error calls `what`.

        Raises InputError if that is not finite, or so large that its powers overflow.
        """
        device = next(self.network.parameters(), torch.empty(0)).device
        sides: list[Tensor] = []
        end = 0
        for chunk in bar(images.split(self.batch_size)):
            found = self.see(self.codec.encode(chunk.contiguous().to(device)))
            # Room for all, once: small tensors kept between large ones that go are in their way.
            # On the device, which is not waited for until all are there.
            sides = sides or [side.new_empty(len(images), side.shape[1]) for side in found]
            for side, part in zip(sides, found, strict=True):
                side[end : end + len(chunk)] = part
            end += len(chunk)
        seen = Seen(*(side.float().cpu() for side in sides))
        check_finite(seen, what, self.name)
        return seen


def not_finite(numbers: Tensor) -> Tensor:
    """How many rows of `numbers` (N, d) have one that is not finite, or above LARGEST; int64 ()."""
    return (~(numbers.abs() < LARGEST).all(dim=1)).sum()


def check_finite(seen: Seen, what: str, network: str) -> None:
    """Raises InputError, about images called `what`, if a feature or logit is not finite.

    Nor may one be so large that its powers overflow. network: the name of what saw them.
    """
    for kind, numbers in (("features", seen.features), ("logits", seen.logits)):
        bad = int(not_finite(numbers))
        if bad:
            raise InputError(
                f"{network}: the {kind} of {bad} of {len(numbers)} {what} are not finite, or above "
                f"{LARGEST:g}: its weights are damaged, or its numbers overflow; give another "
                "network"
            )


@dataclass(frozen=True)
class JudgeFeatures(FeatureNetwork):
    """What the last layer of a judge reads; the classes are the judge's."""

    network: CleanClassifier
    name: str = "the judge"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.network.class_names

    @property
    def codec(self) -> Codec:
        return self.network.data.codec

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(x0)
        return features, self.network.logits_from(features)


def hash_as_judge(classifier: nn.Module) -> str:
    """The hash that `classifier` has where it judges, so that a guide is known there again."""
    return checkpoints.hash_weights(classifier, JudgeFeatures.__qualname__)


@dataclass(frozen=True)
class GuideFeatures(FeatureNetwork):
    """The logits of a classifier of noisy images at its least noisy timestep."""

    network: NoisyClassifier
    name: str = "the guiding classifier itself"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.network.class_names

    @property
    def codec(self) -> Codec:
        return self.network.data.codec

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network.logits(x0, torch.zeros(len(x0), device=x0.device))
        return logits, logits
