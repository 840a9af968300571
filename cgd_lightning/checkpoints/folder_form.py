"""A model as a folder, the form in which it is shared.

    FOLDER/config.json          its card
    FOLDER/model.safetensors    its weights, the moving average
    FOLDER/training.yaml        what of its training commands need, if that is known
    FOLDER/README.md            for people
    FOLDER/autoencoder/         of a latent model, the autoencoder in the same form

A pair is one folder with two such folders in it, `diffusion` and `classifier`, and one README.md.
A model in this form is named by its model.safetensors, as any other by its .ckpt.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.checkpoints.card import Card, Model, describe
from cgd_lightning.checkpoints.entries import decode
from cgd_lightning.checkpoints.plain_json import read_mapping
from cgd_lightning.checkpoints.tensor_file import TensorFile, own_file
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import as_umask_says, open_plain, whole

CONFIG, WEIGHTS, TRAINING = "config.json", "model.safetensors", "training.yaml"
FILES = (CONFIG, WEIGHTS, TRAINING)

PAIR = ("diffusion", "classifier")
"""The folders of a pair."""

AUTOENCODER = "autoencoder"
"""The folder, in that of a latent model or of a pair of them, of the autoencoder."""

MOST_CONFIG_BYTES = 16 * 2**20
MOST_TRAINING_BYTES = 2**18


def is_folder_form(path: str | Path) -> bool:
    """Whether `path` names a model in this form, by its file of weights."""
    return Path(path).suffix == ".safetensors"


def read_config(path: str | Path) -> Card:
    """The card of the model whose weights are `path`.

    Raises InputError as `decode` does, and if config.json is missing, is a link or no plain JSON.
    """
    config = Path(path).with_name(CONFIG)
    try:
        with open_plain(own_file(config), MOST_CONFIG_BYTES) as file:
            data = read_mapping(file.read())
    except FileNotFoundError as error:
        raise InputError(f"{path}: wants its {CONFIG} beside it, which is not there") from error
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{config}: not a readable description of a model: {one_line(error)}"
        ) from error
    if not {"format", "kind", "network"} & data.keys():
        raise InputError(f"{config}: not a description of a model of cgd-lightning")
    return decode(data, config)


@contextmanager
def opened_folder(path: str | Path) -> Iterator[tuple[Card, TensorFile]]:
    """Card and weights of the model whose weights are `path`, open."""
    card = read_config(path)
    with TensorFile(path) as file:
        yield card, file


def read_sizes(path: str | Path) -> dict[str, int]:
    """The number of parameters, and the step of the training where it tells."""
    with TensorFile(path) as file:
        step = file.told.get("step", "")
        count = sum(stored.numel for stored in file.tensors.values())
    known = step.isascii() and step.isdecimal() and len(step) < 19
    return {"parameters": count, **({"step": int(step)} if known else {})}


def read_training(path: str | Path) -> str | None:
    """The text of training.yaml beside the weights `path`, if there is one; nobody looked into it.

    Raises InputError if it is a link, too large or no text.
    """
    file = Path(path).with_name(TRAINING)
    try:
        with open_plain(own_file(file), MOST_TRAINING_BYTES) as opened:
            return opened.read().decode("utf-8")
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {one_line(error)}") from error


def write_folder(
    model: Model,
    folder: Path,
    dataset: str | None = None,
    source: str | None = None,
    step: int | None = None,
    training: str | None = None,
) -> Path:
    """Write `model` into `folder`, which is made if it is not there; the file of its weights.

    Its weights are put in the order in which they are stored, in place. dataset, source: as of
    `save`. step: of its training. training: the text of training.yaml. Raises OSError if the disk
    does not take it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    card = describe(model, dataset, source=source)
    if isinstance(model.data.codec, Latents):  # no path of this machine
        card["codec"]["init_args"]["autoencoder"] = AUTOENCODER
    texts = {CONFIG: json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n"}
    if training is not None:
        texts[TRAINING] = training
    for name, text in texts.items():
        with whole(folder / name) as file:
            file.write_text(text, encoding="utf-8")
    told = {} if step is None else {"step": str(step)}
    write_tensors(model.to(memory_format=torch.contiguous_format), folder / WEIGHTS, told)
    return folder / WEIGHTS


def write_tensors(model: Any, path: Path, told: dict[str, str]) -> None:
    """Write the state_dict of `model` to the safetensors file `path`, whole or not at all.

    told: texts beside the tensors; the library writes several in any order. Raises OSError if the
    disk does not take it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with whole(path) as unfinished:
        try:
            save_file(_each_alone(model.state_dict()), unfinished, told)
        except SafetensorError as error:
            raise OSError(f"{path}: could not be written: {one_line(error)}") from error
        as_umask_says(unfinished)


def _each_alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with memory of its own for each tensor, as the format wants it."""
    seen: set[int] = set()
    alone = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage()
        plain = tensor.is_contiguous() and storage.nbytes() == tensor.numel() * tensor.itemsize
        if plain and storage.data_ptr() not in seen:
            alone[name] = tensor
        else:
            alone[name] = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(storage.data_ptr())
    return alone
