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
        """As of every network; its path and its layers count, as weights tell no pooling."""
        own = f"{self.name} {super().hash} {self.network!r}"
        return hashlib.sha256(own.encode()).hexdigest()[:16]

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        try:
            given = self.network(x0)
        except Exception as error:  # whatever a module of the user's raises
            raise InputError(
                f"--features {self.name}: fails on images of shape {tuple(x0.shape[1:])}: "
                f"{type(error).__name__}: {one_line(error)}"
            ) from error
        parts = given if isinstance(given, tuple) else (given,)
        for part, what in zip(parts, ("features", "logits")):
            if not _is_table(part, len(x0)):
                raise InputError(
                    f"--features {self.name}: {what} of {_called(part)} of {len(x0)} images; "
                    f"wanted real numbers ({len(x0)}, d)"
                )
        if not 1 <= len(parts) <= 2:
            raise InputError(
                f"--features {self.name}: gives {len(parts)} things; wanted features, or features "
                "and logits"
            )
        return parts[0], parts[1] if len(parts) == 2 else parts[0][:, :0]


def _is_table(given: object, rows: int) -> bool:
    """Whether it is a dense tensor of real numbers (rows, at least 1) that are there."""
    return (
        isinstance(given, Tensor)
        and given.layout == torch.strided
        and given.device.type != "meta"
        and not given.is_complex()
        and given.ndim == 2
        and len(given) == rows
        and given.shape[1] > 0
    )


def _called(given: object) -> str:
    if not isinstance(given, Tensor):
        return f"type {type(given).__name__}"
    kind = str(given.dtype).removeprefix("torch.")
    return f"shape {tuple(given.shape)} ({kind}, {given.layout}, on {given.device.type})"


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
