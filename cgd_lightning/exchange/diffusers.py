"""Folders of diffusers, the library of Hugging Face: a pipeline of a U-Net and a scheduler, or a
U-Net alone.

    FOLDER/model_index.json                             which component is what
    FOLDER/unet/config.json, diffusion_pytorch_model.safetensors
    FOLDER/scheduler/scheduler_config.json
    FOLDER/cgd.json                                     our card, where we wrote the folder

Older pipelines have all files in FOLDER. A folder that we wrote, and that nobody changed, becomes
the network of ours again that it was; any other becomes a `DiffusersUNet`.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.exchange.diffusers_files import (
    WEIGHTS,
    check_fit,
    fill,
    find_weights,
    read_weights,
    settings,
)
from cgd_lightning.exchange.diffusers_folder import CONFIG, INDEX, Folder
from cgd_lightning.exchange.diffusers_networks import (
    network_arguments,
    new_names,
    our_weights,
    their_weights,
)
from cgd_lightning.exchange.diffusers_schedules import read_process
from cgd_lightning.exchange.diffusers_write import write
from cgd_lightning.exchange.imported import Imported

__all__ = ["OPTIONS", "read", "recognise", "told", "write"]

OPTIONS: tuple[str, ...] = (
    *("image_size", "schedule", "timesteps", "prediction"),
    *("class_names", "images"),
)
"""The options of `cgd convert` that say something of such a folder."""


def recognise(source: Path) -> bool:
    """Whether `source` is a folder of diffusers, to be read or to be refused by name."""
    with suppress(OSError, InputError):
        if not source.is_dir():
            return False
        if any((source / name).is_file() for name in (INDEX, *WEIGHTS)):
            return True
        return (source / CONFIG).is_file() and "_class_name" in settings(source / CONFIG)
    return False


def told(source: Path) -> dict[str, object]:
    """What a folder of diffusers is, by its settings; the weights are not read.

    Raises InputError if it cannot be read at all.
    """
    folder = Folder.at(source)
    arguments = network_arguments(*folder.config)
    channels, size = arguments["in_channels"], arguments["image_size"]
    facts: dict[str, object] = {
        "format": f"{folder.kind} of diffusers",
        "weights": find_weights(folder.model).name,
        "image_shape": [channels, size, size],
        "network": {"class_path": "UNet2DModel", "init_args": arguments},
        "classes": arguments.get("num_classes"),
        "learned_variance": arguments["out_channels"] == 2 * channels,
    }
    needed = [] if size is not None else ["image_size"]
    if folder.scheduler is None:
        needed += ["schedule", "prediction"]
    else:
        process = read_process(settings(folder.scheduler), folder.scheduler)
        facts |= {"schedule": str(process.schedule), "prediction": process.prediction}
        facts["notes"] = list(process.notes)
    return {**facts, "needed": needed}


def read(source: Path, given: Mapping[str, object]) -> list[Imported]:
    """The diffusion model in a folder of diffusers, frozen and in eval mode.

    given: `image_size`, where the folder does not tell; `class_names` or `images`, as for
    `given_names`, of a class-conditional network, without the label that tells nothing; and,
    of a U-Net alone, `schedule`, a word of diffusers or ours for one of its betas, `timesteps`,
    1000 if they are not given, and `prediction`, eps, x0 or v. Raises InputError, naming the file,
    for what is damaged, cannot be represented or is not told, and for options that contradict it.
    """
    folder = Folder.at(source)
    folder.check_given(given)  # and what it is, before its weights are looked for
    path = find_weights(folder.model)
    state = new_names(read_weights(path))
    notes = _precision(state)
    own = folder.own(given, notes)
    model, dataset = own or (folder.foreign(given, notes), None)
    check_fit(state, their_weights(model.network), path)
    fill(model.network, our_weights(model.network, state), path)
    frozen = model.eval().requires_grad_(False)
    made_of = f"{folder.kind} of diffusers: {_name(source)}"
    return [Imported(frozen, made_of, dataset, tuple(notes))]


def _precision(state: Mapping[str, Tensor]) -> list[str]:
    """A note, if weights are not in single precision."""
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}
    others = sorted(kinds - {"float32"})
    return [f"weights in {' and '.join(others)} are read as float32"] if others else []


def _name(source: Path) -> str:
    """The folder's name; of a snapshot in the Hub's cache, that of the repository."""
    for part in source.absolute().parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return source.absolute().name
