"""Images as the latents of an autoencoder: the space of latent diffusion.

    x0 = (z - shift) * scale,  z = the mean of q(z | image)
    image = decode(x0 / scale + shift)

Rombach et al. 2022 (arXiv:2112.10752). There are a few numbers where there were many pixels, so
that a network costs a fraction there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.errors import InputError

MOST_LETTERS = 1000
"""Of the path of an autoencoder."""


class Coder(Protocol):
    """What a `Latents` codec asks of an autoencoder, a module that reads images in [-1, 1]."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), each (B, c, h, w), of images (B, C, H, W)."""

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) of latents (B, c, h, w)."""

    def to(self, device: torch.device) -> "Coder":
        """The same, on `device`."""


@dataclass(frozen=True)
class Latents(Codec):
    """uint8 images <-> the latents of an autoencoder, with mean 0 and deviation 1 by channel.

    As a value it tells which autoencoder that is; `opened` gives it the network. Two of them are
    equal if their autoencoders are, wherever these lie.

    Args:
        autoencoder: run or file of the autoencoder.
        hash: the first 16 digits of the SHA-256 of its weights, by which it is known again.
        latent_shape: (c, h, w) of its latents.
        shift: their mean, by channel.
        scale: one over their standard deviation, by channel.
    """

    autoencoder: str = field(compare=False)
    hash: str
    latent_shape: tuple[int, int, int]
    shift: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.autoencoder.isprintable() or not 0 < len(self.autoencoder) <= MOST_LETTERS:
            raise InputError(f"autoencoder {self.autoencoder[:40]!a}: wanted a path, on one line")
        for name in ("latent_shape", "shift", "scale"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.latent_shape) != 3 or min(self.latent_shape) < 1:
            raise InputError(f"latent_shape {list(self.latent_shape)}: wanted (c, h, w)")
        for name in ("shift", "scale"):
            values = getattr(self, name)
            if len(values) != self.latent_shape[0] or not all(map(math.isfinite, values)):
                raise InputError(
                    f"{name} {list(values)[:8]}: wanted {self.latent_shape[0]} finite numbers, one "
                    "for each channel of the latents"
                )
        if min(self.scale) <= 0:
            raise InputError(f"scale {min(self.scale)}: wanted more than 0")

    def opened(self, network: Coder) -> "Latents":
        """The same value, with the autoencoder itself, which is what encodes and decodes."""
        value = Latents(self.autoencoder, self.hash, self.latent_shape, self.shift, self.scale)
        vars(value)["coder"] = network
        return value

    @property
    def network(self) -> Any:
        """The autoencoder itself. Raises InputError if it was not loaded."""
        if "coder" not in vars(self):
            raise InputError(
                f"the latents of {self.autoencoder}: the autoencoder was not loaded; load the "
                "model by checkpoints.load, which does it"
            )
        return vars(self)["coder"]

    def __deepcopy__(self, memo: object) -> "Latents":
        return self

    def shape(self, data_shape: Sequence[int]) -> tuple[int, ...]:
        return self.latent_shape

    @torch.no_grad()
    def encode(self, data: Tensor) -> Tensor:
        """Normalised latents (B, c, h, w) of uint8 images (B, C, H, W)."""
        with torch.autocast(data.device.type, enabled=False):
            z = self.network.to(data.device).moments(PIXELS.encode(data))[0]
            shift, scale = self._by_channel(z)
            return (z - shift) * scale

    def decode(self, x0: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) of normalised latents (B, c, h, w)."""
        with torch.no_grad():
            return PIXELS.decode(self.pixels(x0))

    def pixels(self, x0: Tensor) -> Tensor:
        """Images (B, C, H, W), floats in about [-1, 1], with a gradient towards the latents."""
        with torch.autocast(x0.device.type, enabled=False):
            x0 = x0.to(torch.promote_types(x0.dtype, torch.float32))
            shift, scale = self._by_channel(x0)
            return self.network.to(x0.device).decode(x0 / scale + shift)

    def _by_channel(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """shift and scale as (c, 1, 1), where and in what `x` is; made once."""
        kept: dict[Any, tuple[Tensor, Tensor]] = vars(self).setdefault("kept", {})
        key = (x.device, x.dtype)
        if key not in kept:
            with torch.inference_mode(False):  # for gradients, too, go through them
                shift, scale = (
                    torch.tensor(values, device=x.device, dtype=x.dtype)[:, None, None]
                    for values in (self.shift, self.scale)
                )
            kept[key] = shift, scale
        return kept[key]
