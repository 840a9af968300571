"""Feature networks by the names that are typed: a short one, or the import path of a module."""

from collections.abc import Callable

import torch

from cgd_lightning.checkpoints.foreign import fixed_seed
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.networks.dinov2 import dinov2
from cgd_lightning.evaluation.networks.efficientnet import efficientnet
from cgd_lightning.evaluation.networks.inception import inception
from cgd_lightning.evaluation.networks.module import module
from cgd_lightning.evaluation.networks.random import random

NETWORKS: dict[str, Callable[[str | None, torch.device], FeatureNetwork]] = {
    "efficientnet-lite0": efficientnet,
    "inception": inception,
    "dinov2": dinov2,
    "random": random,
}
"""(a file of weights, or None, and a device) -> the network."""

WITHOUT_FILE = ("random",)


def feature_network(name: str, weights: str | None, device: torch.device) -> FeatureNetwork:
    """The network called `name`, on `device`. A name with a point is imported.

    weights: its file, where it is not found by itself. Raises InputError for a name that is not
    known, a file where none is taken, and as the networks do.
    """
    if weights is not None and (name in WITHOUT_FILE or name not in NETWORKS):
        raise InputError(f"--weights {weights}: --features {name} takes no file of weights")
    if name in NETWORKS:
        with fixed_seed():  # modules draw their first weights, which are replaced
            return NETWORKS[name](weights, device)
    if "." in name:
        return module(name, device)
    raise InputError(
        f"--features {name}: no such network; wanted judge, {', '.join(NETWORKS)}, or the import "
        "path of a module"
    )
