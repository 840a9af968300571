"""The files of a diffusers folder, read as plain data: settings in JSON, weights as tensors.

A link is followed where it is one of the Hub's cache, to a file of the same repository, and refused
elsewhere (`own_file`).
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints import MOST_LAYERS, MOST_PARAMETERS, at_most, schema
from cgd_lightning.checkpoints.plain_json import read_mapping
from cgd_lightning.checkpoints.state_dicts import read_state_dict
from cgd_lightning.checkpoints.tensor_file import TensorFile, own_file
from cgd_lightning.checkpoints.weights import mismatch
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain

MOST_SETTINGS = 2**20
"""Bytes in a file of settings."""

NO_BOUND = re.compile(rb'("lambda_min_clipped"\s*:\s*)-Infinity')
"""How diffusers writes that DPM-Solver does not use a setting: no JSON, and nothing here."""

WEIGHTS = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.fp16.bin",
)
"""Files of weights, the best first."""


def settings(path: Path) -> dict[str, Any]:
    """The settings in a file of JSON, plain values by name.

    Raises InputError, naming the file, if it is not there or holds anything else.
    """
    try:
        with open_plain(own_file(path), MOST_SETTINGS) as file:
            contents = NO_BOUND.sub(rb"\1null", file.read())
        return schema.mapping(schema.plain(read_mapping(contents)))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a folder of diffusers has one") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as settings: {one_line(error)}") from error


def find_weights(folder: Path) -> Path:
    """The file of weights of the model in `folder`. Raises InputError if there is none."""
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is not None:
        return found
    if any(folder.glob("diffusion_pytorch_model*.index.json")):
        raise InputError(
            f"{folder}: its weights lie in several files, which are not put together here; save "
            "them as one with diffusers: model.save_pretrained(FOLDER, max_shard_size='100GB')"
        )
    raise InputError(f"{folder}: no weights; wanted {WEIGHTS[0]} or {WEIGHTS[1]}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, by name.

    Raises InputError if it is damaged, or larger than a network may be; of a safetensors file
    before its numbers are read.
    """
    if path.suffix != ".safetensors":
        state = read_state_dict(own_file(path))
        _check_size({name: tensor.numel() for name, tensor in state.items()}, path)
        return state
    with TensorFile(path) as file:
        _check_size({name: stored.numel for name, stored in file.tensors.items()}, path)
        # As diffusers lays weights out, so that the same numbers come of them, to the last bit.
        return {
            name: file.tensor(stored).clone(memory_format=torch.contiguous_format)
            for name, stored in file.tensors.items()
        }


def _check_size(sizes: Mapping[str, int], path: Path) -> None:
    """InputError if there are more numbers in the file `path` than a network may have."""
    numbers = sum(sizes.values())
    if numbers > MOST_PARAMETERS or len(sizes) > MOST_LAYERS:
        raise InputError(
            f"{path}: {numbers:,} parameters in {len(sizes):,} tensors; at most "
            f"{MOST_PARAMETERS:,} in {MOST_LAYERS:,} are read"
        )


def no_larger_than_read() -> AbstractContextManager[None]:
    """Raises InputError once a network is built in this block that is larger than are read."""
    return at_most(MOST_PARAMETERS, MOST_LAYERS, "a network")


def check_fit(state: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Raises InputError if names, shapes or kinds of number in `path` are not those wanted."""
    problem = mismatch(state, wanted)
    if problem:
        raise InputError(f"{path}: its weights do not fit the settings beside them: {problem}")


def fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Make the tensors of `state`, by our names and as float32, the weights of `network`.

    path: their file. Raises InputError if a number is not finite.
    """
    fitted = {}
    for name, tensor in state.items():
        fitted[name] = tensor.to(torch.float32)
        if not bool(fitted[name].isfinite().all()):
            raise InputError(f"{path}: its weights are not finite, beginning with {name}")
    network.load_state_dict(fitted, assign=True)
