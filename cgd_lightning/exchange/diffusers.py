"""Folders of diffusers, the library of Hugging Face: a pipeline of a U-Net and a scheduler, a U-Net
alone, or an autoencoder.

    FOLDER/model_index.json                             which component is what
    FOLDER/unet/config.json, diffusion_pytorch_model.safetensors
    FOLDER/scheduler/scheduler_config.json
    FOLDER/cgd.json                                     our card, where we wrote the folder

Older pipelines have all files in FOLDER. A folder that we wrote, and that nobody changed, becomes
the network of ours again that it was; any other becomes a `DiffusersUNet`, and an autoencoder,
which is the `vae` of a latent pipeline, a `DiffusersAutoencoder`.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from cgd_lightning.checkpoints import Model
from cgd_lightning.errors import InputError
from cgd_lightning.exchange import diffusers_autoencoders as autoencoders
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
    if autoencoders.recognise(source):
        return autoencoders.told(source)
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
    """The model in a folder of diffusers, a diffusion model or an autoencoder.

    It is frozen and in eval mode. given: `image_size`, where the folder does not tell, and of an
    autoencoder also where it does; `class_names` or `images`, as for `given_names`, of a
    class-conditional network, without the label that tells nothing; and, of a U-Net alone,
    `schedule`, a word of diffusers or ours for one of its betas, `timesteps`, 1000 if they are not
    given, and `prediction`, eps, x0 or v. Raises InputError, naming the file, for what is damaged,
    cannot be represented or is not told, and for options that contradict it.
    """
    notes: list[str] = []
    dataset: str | None = None
    if autoencoders.recognise(source):
        model: Model = autoencoders.empty(source, given, notes)
        place, kind = source, autoencoders.KIND
    else:
        folder = Folder.at(source)
        folder.check_given(given)
        model, dataset = folder.own(given, notes) or (folder.foreign(given, notes), None)
        place, kind = folder.model, folder.kind
    path = find_weights(place)
    state = new_names(read_weights(path))
    notes += _precision(state)
    check_fit(state, their_weights(model.network), path)
    fill(model.network, our_weights(model.network, state), path)
    frozen = model.eval().requires_grad_(False)
    return [Imported(frozen, f"{kind} of diffusers: {_name(source)}", dataset, tuple(notes))]


def _precision(state: Mapping[str, Tensor]) -> list[str]:
    """A note, if weights are not in single precision."""
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}
    others = sorted(kinds - {"float32"})
    return [f"weights in {' and '.join(others)} are read as float32"] if others else []


def _name(source: Path) -> str:
    """The folder's name; of a snapshot in the Hub's cache, that of the repository.

    Every pipeline calls its autoencoder vae, so that stands behind the pipeline's name.
    """
    for part in source.absolute().parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    folder = source.absolute()
    return f"{folder.parent.name}/{folder.name}" if folder.name == "vae" else folder.name
