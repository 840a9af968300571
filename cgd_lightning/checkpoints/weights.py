"""The weights in a checkpoint, held against what the file holds and what the network wants."""

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from cgd_lightning.checkpoints.archive import Archive
from cgd_lightning.checkpoints.card import Model
from cgd_lightning.checkpoints.listed import Trust
from cgd_lightning.checkpoints.size import MOST_LAYERS, MOST_PARAMETERS
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.errors import InputError


class Source(Protocol):
    """An open file of tensors."""

    path: Path

    def tensor(self, stored: Stored) -> Tensor:
        """The numbers of `stored`, which is one of this file."""


def stored_weights(archive: Archive, prefix: str) -> dict[str, Stored]:
    """The tensors of the state_dict whose names begin so, without that beginning."""
    state = {}
    for name, value in archive.contents["state_dict"].items():
        if type(name) is str and name.startswith(prefix):
            if not isinstance(value, Stored):
                raise InputError(
                    f"{archive.path}: its weights are damaged: {ascii(name)[:100]} is no tensor"
                )
            state[name.removeprefix(prefix)] = value
    return state


def count_numbers(state: dict[str, Stored], path: Path, trust: Trust) -> int:
    """How many numbers the weights are.

    Raises InputError for more than the file holds, and for more than the user trusts.
    """
    numbers = sum(stored.numel for stored in state.values())
    if sum(stored.bytes for stored in state.values()) > 2 * path.stat().st_size:
        raise InputError(
            f"{path}: its weights are damaged: {numbers:,} of them, which are more than the file "
            "holds"
        )
    if not trust.any_size and (numbers > MOST_PARAMETERS or len(state) > MOST_LAYERS):
        raise InputError(
            f"{path}: {numbers:,} parameters in {len(state):,} tensors; more than "
            f"{MOST_PARAMETERS:,} in {MOST_LAYERS:,} want --trust-size"
        )
    return numbers


def fitted_weights(source: Source, state: dict[str, Stored], model: Model) -> dict[str, Tensor]:
    """The weights as the model wants them.

    Raises InputError for names, shapes, kinds of number or values that it does not want.
    """
    wanted = model.state_dict()
    problem = mismatch(state, wanted)
    if problem:
        raise InputError(
            f"{source.path}: its weights do not fit the network that it names: {problem}"
        )
    fitted = {}
    for name, stored in state.items():
        tensor = source.tensor(stored)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(
                f"{source.path}: its weights are not finite, beginning with {name}; the training "
                "had gone wrong, take an earlier one"
            )
        fitted[name] = tensor.to(wanted[name].dtype)
    return fitted


def mismatch(state: dict[str, Any], wanted: dict[str, Tensor]) -> str | None:
    """Why tensors of `state` cannot replace those `wanted`: names, shapes, or kinds of number."""
    for what, names in (
        ("missing", wanted.keys() - state.keys()),
        ("unexpected", state.keys() - wanted.keys()),
    ):
        if names:
            shown = ", ".join(ascii(name)[1:-1][:80] for name in sorted(names, key=str)[:3])
            return f"{len(names)} {what}, as {shown}"
    for name, value in state.items():
        shape = tuple(value.shape)
        dtype = value.storage.dtype if isinstance(value, Stored) else value.dtype
        if shape != tuple(wanted[name].shape):
            return f"{name} is of shape {list(shape)}, and {list(wanted[name].shape)} was wanted"
        if dtype.is_floating_point != wanted[name].dtype.is_floating_point:
            return f"{name} holds {dtype}, and {wanted[name].dtype} was wanted"
    return None
