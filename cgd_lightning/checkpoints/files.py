"""Checkpoint files: enough in each to build the network again, and nothing that runs.

A file holds, beside the weights, plain data under "cgd": import path and constructor arguments of
the network, schedule, prediction type, image shape, class names, data set. What a file says is
checked against a closed list of entries before anything is made of it (`archive`, `card`,
`classes`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cgd_lightning.checkpoints.archive import Archive
from cgd_lightning.checkpoints.card import Card, Model, build, decode, describe
from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.checkpoints.pickled import Stored
from cgd_lightning.checkpoints.runs import find
from cgd_lightning.checkpoints.size import MOST_LAYERS, MOST_PARAMETERS, at_most
from cgd_lightning.errors import InputError
from cgd_lightning.files import whole

MOST_CONFIG = 2**18
"""Characters in the configuration of a training."""


def save(
    model: Model, path: str | Path, dataset: str | None = None, partner: str | None = None
) -> None:
    """Write `model` alone, without a training state, to the file `path`, whole or not at all."""
    weights = {f"ema.{name}": tensor for name, tensor in model.state_dict().items()}
    write({"cgd": describe(model, dataset, partner), "state_dict": weights}, path)


def write(contents: dict[str, Any], path: str | Path) -> None:
    """Write `contents` to the file `path`, whole or not at all. Raises OSError if the disk does not
    take it.
    """
    with whole(path) as unfinished:
        try:
            torch.save(contents, unfinished)
        except RuntimeError as error:  # torch's word for a disk that is full
            if "inline_container" not in str(error):
                raise
            raise OSError(f"{path}: could not be written; is the disk full?") from error


def read(path: str | Path) -> Card:
    """The card of a checkpoint. Raises InputError if the file is damaged, foreign, of a newer
    format or holds more than plain data.
    """
    with opened(path) as archive:
        return decode(archive.contents["cgd"], path)


def sizes(path: str | Path) -> dict[str, int]:
    """The number of trained parameters in a checkpoint, and the step that it was written at, where
    it tells.
    """
    with opened(path) as archive:
        stored = archive.contents["state_dict"].items()
        count = sum(
            value.numel
            for name, value in stored
            if str(name).startswith("ema.") and isinstance(value, Stored)
        )
        step = archive.contents.get("global_step")
        return {"parameters": count, **({"step": step} if type(step) is int else {})}


def stored_config(path: str | Path) -> str | None:
    """The text of the configuration of the training that wrote a checkpoint, if it tells; nothing
    has looked into it.
    """
    with opened(path) as archive:
        text = archive.contents.get("cgd_config")
    if text is not None and (type(text) is not str or len(text) > MOST_CONFIG):
        raise InputError(f"{path}: its configuration is damaged")
    return text


@contextmanager
def opened(path: str | Path) -> Iterator[Archive]:
    """A checkpoint of this package, open. Raises InputError if the file is none."""
    with Archive(path) as archive:
        contents = archive.contents
        if not isinstance(contents, dict) or not all(
            isinstance(contents.get(part), dict) for part in ("cgd", "state_dict")
        ):
            raise InputError(f"{path}: not a checkpoint of cgd-lightning")
        yield archive


def load(
    path: str | Path,
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    trust: Trust | str | Sequence[str] = (),
) -> Any:
    """The `Denoiser`, `NoisyClassifier` or `CleanClassifier` in a checkpoint: in eval mode, frozen,
    on `device`.

    path: as for `find`. weights: the moving average, or those that the optimiser left. trust:
    packages from which the network's class may be imported, beside the networks of this one. Raises
    InputError as `read` does, for a class of any other package, and for weights that are damaged,
    not finite or of another shape.
    """
    path, trust = find(path), Trust.of(trust)
    with opened(path) as archive, torch.inference_mode(False):
        card = decode(archive.contents["cgd"], path)
        state = _weights(archive, "ema." if weights == "ema" else "model.")
        if not state:
            raise InputError(f"{path}: holds no {weights} weights")
        numbers = sum(stored.numel for stored in state.values())
        if sum(stored.bytes for stored in state.values()) > 2 * path.stat().st_size:
            raise InputError(
                f"{path}: its weights are damaged: {numbers:,} of them, which are more than the "
                "file holds"
            )
        if not trust.any_size and (numbers > MOST_PARAMETERS or len(state) > MOST_LAYERS):
            most = f"{MOST_PARAMETERS:,} in {MOST_LAYERS:,}"
            raise InputError(
                f"{path}: {numbers:,} parameters in {len(state):,} tensors; more than {most} want "
                "--trust-size"
            )
        # The networks of this package hold weights and nothing else, and need not be filled twice;
        # another may hold more.
        ours = not trust.covers(str(card.network["class_path"]))
        with at_most(
            numbers, 10 * len(state) + 100, "its weights do not fit the network that it names: one"
        ):
            model = build(card, path, trust, device="meta" if ours else "cpu")
        model.load_state_dict(_fitted(archive, state, model), assign=True)
        return model.to(memory_format=torch.channels_last).to(device).eval().requires_grad_(False)


def _weights(archive: Archive, prefix: str) -> dict[str, Stored]:
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


def _fitted(archive: Archive, state: dict[str, Stored], model: Model) -> dict[str, Tensor]:
    """The weights as the model wants them. Raises InputError for names, shapes, kinds of number or
    values that it does not.
    """
    wanted = model.state_dict()
    problem = mismatch(state, wanted)
    if problem:
        raise InputError(
            f"{archive.path}: its weights do not fit the network that it names: {problem}"
        )
    fitted = {}
    for name, stored in state.items():
        tensor = archive.tensor(stored)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(
                f"{archive.path}: its weights are not finite, beginning with {name}; the training "
                "had gone wrong, take an earlier one"
            )
        fitted[name] = tensor.to(wanted[name].dtype)
    return fitted


def mismatch(state: dict[str, Any], wanted: dict[str, Tensor]) -> str | None:
    """What keeps the tensors of `state` from taking the place of those `wanted`: names, shapes, or
    kinds of number.
    """
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
