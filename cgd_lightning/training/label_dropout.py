"""A network that is told the class in training, and now and then a null label.

A null label is one past the classes, and tells it nothing, as classifier-free guidance needs: Ho
and Salimans 2022 (arXiv:2207.12598), algorithm 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.process import NoisyBatch
from cgd_lightning.errors import InputError
from cgd_lightning.networks import Network


def drop_labels(model: Denoiser, batch: NoisyBatch, probability: float | None) -> Tensor:
    """What the network is told of the classes, (B,): in training some are dropped."""
    if not probability or batch.chance is None:
        return batch.y
    assert model.null_label is not None
    return torch.where(batch.chance < probability, model.null_label, batch.y)


def told_classes(network: Callable[..., Network], classes: int, *sizes: int) -> Network:
    """The network for `sizes` that is told `classes` labels.

    Raises InputError if it cannot be told any.
    """
    try:
        built = network(*sizes, num_classes=classes)
    except TypeError as error:
        if "num_classes" not in str(error):
            raise
        raise InputError(
            f"label_dropout: this network cannot be told a class ({error}); take one that can, "
            "such as UNet"
        ) from error
    if getattr(built, "num_classes", None) != classes:
        raise InputError(
            f"label_dropout: {type(built).__name__} does not keep its num_classes {classes} as an "
            "attribute"
        )
    return built
