"""The space in which diffusion lives, and the way into it and out of it.

    x0 = encode(data),    data = decode(x0)

Outside, in data sets, files and metrics, stand the data, such as images of bytes. Inside stand
floats, which networks, guidance and samplers see. Nothing but a codec knows how the two belong
together.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.values import Value


class Codec(Value, ABC):
    """A way from data to x0 and back. A subclass is a frozen dataclass."""

    @abstractmethod
    def encode(self, data: Tensor) -> Tensor:
        """x0, floats (B, ...) of shape `shape(data.shape[1:])`, from `data` (B, C, H, W)."""

    @abstractmethod
    def decode(self, x0: Tensor) -> Tensor:
        """Data (B, C, H, W) from `x0`, floats of any values."""

    def pixels(self, x0: Tensor) -> Tensor:
        """Images (B, C, H, W), floats in about [-1, 1], of `x0`, with a gradient towards it.

        What a classifier of clean images reads. Raises InputError where there are none.
        """
        raise InputError(f"{type(self).__name__}: has no pixels of x0 that a classifier could read")

    def shape(self, data_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of x0 for data of `data_shape`, each without the batch.

        It is the same, unless the codec says otherwise.
        """
        return tuple(data_shape)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of x0, to which a prediction may be clamped; None if it has none."""
        return None


@dataclass(frozen=True)
class Pixels(Codec):
    """Images of bytes, uint8 in 0 ... 255, as floats in [-1, 1].

    Ho et al. 2020 (arXiv:2006.11239), section 3.3.
    """

    greys_per_unit: ClassVar[float] = 127.5
    """Grey levels in a distance of 1 in x0."""

    def encode(self, data: Tensor) -> Tensor:
        """float32 images in [-1, 1] from uint8 ones in 0 ... 255, of any shape."""
        return data.float() / self.greys_per_unit - 1

    def decode(self, x0: Tensor) -> Tensor:
        """uint8 images in 0 ... 255 from floats, of any shape, clamped to [-1, 1]."""
        return ((x0.float() + 1) * self.greys_per_unit).round().clamp(0, 255).to(torch.uint8)

    def pixels(self, x0: Tensor) -> Tensor:
        return x0

    @property
    def bounds(self) -> tuple[float, float]:
        return -1.0, 1.0


PIXELS = Pixels()
