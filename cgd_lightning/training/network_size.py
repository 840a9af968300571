"""The size of the network that a training asks for, measured before anything is allocated."""

from contextlib import suppress
from typing import Any

import torch

from cgd_lightning import checkpoints
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.errors import InputError
from cgd_lightning.networks import Network
from cgd_lightning.training.module import TrainingModule


def check_size(module: TrainingModule, data: NoisingDataModule) -> None:
    """Raises InputError if `module` asks for a larger network than a file may ask for.

    Of networks of this package; others need not be made without memory.
    """
    # A parser binds the class to a function of its own that makes it.
    makers = [
        module.network,
        getattr(module.network, "func", None),
        *getattr(module.network, "args", ()),
    ]
    if not any(
        isinstance(maker, type) and maker.__module__.startswith("cgd_lightning.")
        for maker in makers
    ):
        return

    def measured(*sizes: int, **options: Any) -> Network:
        what = "model.network: one that you mean wants --trust-size; a network"
        with (
            torch.device("meta"),
            checkpoints.at_most(checkpoints.MOST_PARAMETERS, checkpoints.MOST_LAYERS, what),
        ):
            module.network(*sizes, **options)
        raise _FitsError

    with suppress(_FitsError):
        try:
            module.build(measured, data)
        except InputError:
            raise
        except ValueError as error:  # of a layer of torch
            raise InputError(f"model.network: {error}") from error


class _FitsError(Exception):
    """The network was built, and no model is wanted around it."""
