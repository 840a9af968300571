"""The forward process, x_t = alpha_t x0 + sigma_t eps, and the batch that it makes."""

from dataclasses import dataclass

from torch import Tensor, nn

from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class NoisyBatch:
    """A batch of training images, noised: what a DataModule hands to a training step.

    x0, x_t, eps: (B, C, H, W) floats, x0 as the codec of the data gives it; t: (B,) float32 in [0,
    T-1]; y: (B,) int64 labels; index: (B,) int64, the images' places in their data set; chance:
    (B,) float32, uniform in [0, 1), by which a training may decide what is to happen to each image.
    Held-out batches have none.
    """

    x0: Tensor
    x_t: Tensor
    t: Tensor
    eps: Tensor
    y: Tensor
    index: Tensor
    chance: Tensor | None = None

    def first(self, count: int) -> "NoisyBatch":
        """The first `count` images."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return NoisyBatch(**{name: value[:count] for name, value in given.items()})


def add_noise(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """x_t = alpha_t x0 + sigma_t eps, (B, C, H, W).

    The images `x0` and the noise `eps` are of that shape, `t` (B,) in [0, T-1].
    """
    alpha, sigma = (expand(values, x0) for values in schedule.alpha_sigma(t))
    return alpha * x0 + sigma * eps


def expand(values: Tensor, x: Tensor) -> Tensor:
    """`values` (B,) as (B, 1, ..., 1) in rank and dtype of `x` (B, ...), ready to multiply it."""
    return values.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def like_weights(x: Tensor, network: nn.Module) -> Tensor:
    """`x` in the dtype of the network's weights.

    That is bfloat16 where the whole network is, float32 under autocast. Raises InputError if `x` is
    not of floats: images of bytes are not x0.
    """
    if not x.is_floating_point():
        raise InputError(
            f"images of {str(x.dtype).removeprefix('torch.')}: a network reads floats, into which "
            "its codec turns them: model.data.codec.encode(images)"
        )
    weight = next(network.parameters(), None)
    return x if weight is None else x.to(weight.dtype)
