"""Features of any module, named by its import path.

The module is made without arguments, and is called with clean images x0 (B, C, H, W) in [-1, 1],
as every network here: it gives features (B, d), or features and logits (B, K). What makes a
`FeatureNetwork` is taken as it is.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module

import torch
from torch import Tensor, nn

from cgd_lightning.errors import InputError, one_line
from cgd_lightning.evaluation.features import FeatureNetwork


@dataclass(frozen=True)
class ModuleFeatures(FeatureNetwork):
    """What the module `network` gives for x0. name: its import path."""

    @cached_property
    def hash(self) -> str:
        """As of every network; its path counts, as a module may have no weights."""
        return hashlib.sha256(f"{self.name} {super().hash}".encode()).hexdigest()[:16]

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        try:
            given = self.network(x0)
        except Exception as error:  # whatever a module of the user's raises
            raise InputError(
                f"--features {self.name}: fails on images of shape {tuple(x0.shape[1:])}: "
                f"{type(error).__name__}: {one_line(error)}"
            ) from error
        features, logits = given if isinstance(given, tuple) else (given, None)
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(x0):
            came = (
                f"shape {tuple(features.shape)}"
                if isinstance(features, Tensor)
                else f"type {type(features).__name__}"
            )
            raise InputError(
                f"--features {self.name}: features of {came} of {len(x0)} images; wanted "
                f"({len(x0)}, d)"
            )
        return features, features[:, :0] if logits is None else logits


def module(path: str, device: torch.device) -> FeatureNetwork:
    """The network at the import path `path`, on `device`. It is imported: whoever asks trusts it.

    Raises InputError if it cannot be imported or made, or is no module.
    """
    home, _, name = path.rpartition(".")
    try:
        made = getattr(import_module(home), name)
        network = made() if not isinstance(made, nn.Module | FeatureNetwork) else made
    except Exception as error:  # whatever a module of the user's raises
        raise InputError(
            f"--features {path}: cannot be imported and made without arguments: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error
    if isinstance(network, FeatureNetwork):
        network.network.to(device)
        return network
    if not isinstance(network, nn.Module):
        raise InputError(
            f"--features {path}: a {type(network).__name__}; wanted a torch.nn.Module, or a "
            "FeatureNetwork"
        )
    return ModuleFeatures(network.to(device).eval().requires_grad_(False), path)
