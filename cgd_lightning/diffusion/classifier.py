"""Classifiers: of noisy images, p(y | x_t), and of clean images, p(y | x0).

The first are told the timestep, for guidance; the second judge the result.

A `NoisyClassifier` was trained on a schedule of its own. A denoiser of another schedule meets it at
equal noise angle atan2(sigma, alpha): there x_t, rescaled by the ratio of the radii hypot(alpha,
sigma), has the distribution that the classifier knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.data_spec import DataSpec, Trained
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.process import like_weights
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError


class NoisyClassifier(Trained):
    """A network that gives logits for noisy images, and the schedule and data it was trained on."""

    def __init__(self, network: nn.Module, schedule: NoiseSchedule, data: DataSpec) -> None:
        super().__init__(network, data)
        self.schedule = schedule

    def logits(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Unnormalised log p(y | x_t), (B, K), for noisy images `x_t` (B, C, H, W).

        t: timesteps (B,) float32 in [0, T-1]. Raises ValueError if `x_t` is not of the shape that
        the classifier was trained on.
        """
        if self.image_shape and tuple(x_t.shape[1:]) != self.image_shape:
            raise InputError(
                f"images of shape {tuple(x_t.shape[1:])}: this classifier was trained on "
                f"{self.image_shape}"
            )
        return _checked(self, self.network(like_weights(x_t, self.network), t)).to(x_t.dtype)

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(y | x_t) of every class, (B, K), for noisy images `x_t` (B, C, H, W).

        t: timesteps (B,) float32 in [0, T-1]. Raises ValueError if `x_t` is not of the shape that
        the classifier was trained on.
        """
        return self.logits(x_t, t).log_softmax(dim=-1)

    def covers(self, level: Level) -> bool:
        """Whether the classifier was trained on noise as at `level`, of any schedule."""
        return self.schedule.covers(level)

    def log_prob_at(self, x_t: Tensor, level: Level) -> Tensor:
        """log p(y | x_t), (B, K), for `x_t` (B, C, H, W) at a level of any schedule.

        The classifier must cover the level.
        """
        timestep = self.schedule.timestep(level.log_snr)
        own = self.schedule.level(timestep)
        t = torch.full((len(x_t),), timestep, device=x_t.device, dtype=torch.float32)
        return self.log_prob(x_t * (own.radius / level.radius), t)


def _checked(model: Trained, logits: Tensor) -> Tensor:
    """`logits`, if they are (B, K). Raises InputError else."""
    classes = len(model.class_names)
    if logits.ndim != 2 or (classes and logits.shape[1] != classes):
        raise InputError(
            f"{type(model.network).__name__} gives {tuple(logits.shape)}; wanted logits (B, "
            f"{classes or 'K'}), one of each class for every image"
        )
    return logits


def check_statistics(classifier: nn.Module) -> None:
    """Raises InputError for a guide whose batch norm is in training mode.

    There an image's gradient would depend on the others of its batch, and looking would change it.
    """
    for name, layer in classifier.named_modules():
        if isinstance(layer, _BatchNorm) and layer.training:
            raise InputError(
                f"the classifier is in training mode, and its {name} would take statistics of what "
                "it guides; call eval() on it"
            )


class CleanClassifier(Trained):
    """A network that gives logits for clean images, and the features under them.

    It is the judge of samples. A judge's network has `features(x) -> (B, d)` and `head`, the layer
    that makes logits of them; one that only guides needs neither.
    """

    def logits(self, x0: Tensor) -> Tensor:
        """Unnormalised log p(y | x0), (B, K), for clean images `x0` (B, C, H, W)."""
        return _checked(self, self.network(like_weights(x0, self.network))).to(x0.dtype)

    def features(self, x0: Tensor) -> Tensor:
        """What the network's last layer reads, (B, d), for clean images `x0` (B, C, H, W)."""
        features: Callable[[Tensor], Tensor] = self.network.features  # type: ignore[assignment]
        return features(like_weights(x0, self.network)).to(x0.dtype)

    def logits_from(self, features: Tensor) -> Tensor:
        """Unnormalised log p(y | x0), (B, K), from `features` (B, d)."""
        head: Callable[[Tensor], Tensor] = self.network.head  # type: ignore[assignment]
        return head(like_weights(features, self.network)).to(features.dtype)


class Decoded(nn.Module):
    """A network that reads images in the range of `Pixels`, for x0 of another codec.

    codec: decodes x0 on the way, so that a gradient goes back through it.
    """

    def __init__(self, network: nn.Module, codec: Codec) -> None:
        super().__init__()
        self.network, self.codec = network, codec

    def forward(self, x0: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.network(self.codec.pixels(x0))


def in_space_of(classifier: CleanClassifier, codec: Codec) -> CleanClassifier:
    """The classifier of clean images, for x0 of `codec`.

    Raises InputError for one of another space than pixels, and for a codec without pixels of x0.
    """
    if classifier.data.codec == codec:
        return classifier
    if classifier.data.codec != PIXELS:
        raise InputError("reads the latents of another autoencoder; wanted one that reads pixels")
    if type(codec).pixels is Codec.pixels:
        raise InputError(f"reads pixels, and {type(codec).__name__} has none of x0")
    data = replace(classifier.data, codec=codec)
    return CleanClassifier(Decoded(classifier.network, codec), data).eval().requires_grad_(False)


class Preprocessed(nn.Module):
    """A network that wants images its own way, for images (B, C, H, W) in the range of `Pixels`.

    size: height and width that they are resized to, bicubically; as they come where none is given.
    mean, std: of its normalisation, of images in [0, 1]. channels: 3 repeats a grey image thrice.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: int | None,
        mean: Sequence[float],
        std: Sequence[float],
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.network, self.size, self.channels = network, size, channels
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def forward(self, x0: Tensor) -> Tensor:
        """Logits (B, K)."""
        if self.size is not None and x0.shape[-2:] != (self.size, self.size):
            x0 = F.interpolate(x0, (self.size, self.size), mode="bicubic", antialias=True)
        low, high = PIXELS.bounds
        unit = (x0.expand(-1, self.channels, -1, -1) - low) / (high - low)
        return self.network((unit - self.mean) / self.std)
