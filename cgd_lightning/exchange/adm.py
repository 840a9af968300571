"""Files of guided-diffusion and of improved-diffusion: the `.pt` of one network.

    read(Path("64x64_diffusion.pt"), {})
    read(Path("ema_0.9999_200000.pt"), {"image_size": 64, "num_heads": 4, ...})

What a file does not tell is known of the published files by their names (`adm_published`); of
others it has to be given (`adm_settings`). The weights stay in the file, which is mapped into
memory; only those of other precision than float32 are copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.checkpoints import Model, at_most
from cgd_lightning.checkpoints.mapped import MappedWeights, open_weights
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.adm_keys import (
    AmbiguousKeysError,
    Told,
    UnknownKeysError,
    first_misfit,
    read_keys,
)
from cgd_lightning.exchange.adm_published import PUBLISHED, Published, nearest
from cgd_lightning.exchange.adm_settings import needed, settle
from cgd_lightning.exchange.class_names import given_names, imagenet
from cgd_lightning.exchange.imported import Imported
from cgd_lightning.networks import EncoderUNet, UNet

OPTIONS = (
    *("published", "image_size", "num_heads", "num_heads_upsample", "num_head_channels"),
    *("num_res_blocks", "attention_order", "schedule", "timesteps", "rescale_timesteps"),
    *("prediction", "dropout", "class_names", "images"),
)
"""The options of `cgd convert` that say something of such a file."""

NESTED = ("state_dict", "model_state_dict", "model")
"""Under these names forks keep the weights in a larger file."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class _File:
    """An open file, what its keys tell, and which published one it is, if it is one."""

    path: Path
    state: dict[str, Stored]
    told: Told
    name: str | None

    @property
    def published(self) -> Published | None:
        return None if self.name is None else PUBLISHED[self.name]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return _shapes(self.state)

    def known(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is known beside the keys: what the user says, else the table of published files."""
        table = {} if self.published is None else dict(self.published.settings)
        if {"num_heads", "num_head_channels"} & given.keys():
            table.pop("num_heads", None), table.pop("num_head_channels", None)
        return {**table, **given}


def recognise(source: Path) -> bool:
    """Whether `source` is a file of weights in a format of `torch.save`, and no checkpoint of ours."""
    try:
        with open_weights(source) as file:
            return bool(_state(file, source))
    except (InputError, OSError):
        return False


def told(source: Path) -> dict[str, object]:
    """What the file is and tells, and what would be needed to convert it.

    Raises InputError if it is no network of the family.
    """
    with open_weights(source) as opened:
        file = _file(opened, source, {})
    known = file.known({})
    return {
        "what": f"a {_what(file.told)} of guided-diffusion's family",
        "published": file.name,
        "parameters": sum(stored.numel for stored in file.state.values()),
        "precision": sorted({str(s.storage.dtype)[6:] for s in file.state.values()}),
        "network": file.told.network,
        **({} if file.told.image_size is None else {"image_size": file.told.image_size}),
        **({"settings": known} if known else {}),
        "needed": needed(file.told, known),
    }


def read(source: Path, given: Mapping[str, Any]) -> list[Imported]:
    """The model in the file `source`, frozen.

    given: options by name, of `OPTIONS`. Raises InputError if the file is damaged, holds weights of
    no network of the family or such as are not finite, if it leaves open what changes the output,
    and for options that contradict it.
    """
    with open_weights(source) as opened:
        file = _file(opened, source, given)
        _refuse_upsampler(file)
        settings = settle(file.told, file.known(given), f"{source}")
        names, notes = _class_names(file, given)
        arguments = {**file.told.network, **settings.arguments}
        network = _network(file.told, arguments, source, file.state)
        channels, size = arguments["in_channels"], settings.image_size
        data = DataSpec((channels, size, size), names)
        model: Model
        if file.told.kind == "diffusion":
            learned = _learns_variance(file)
            model = Denoiser(network, settings.schedule, settings.prediction, data, learned)
        else:
            model = NoisyClassifier(network, settings.schedule, data)
        weights = _weights(opened, file)
    network.load_state_dict(weights, assign=True)
    imported = Imported(
        model.eval().requires_grad_(False),
        f"guided-diffusion: {source.name if file.name is None else file.name + '.pt'}",
        None if file.published is None else file.published.dataset,
        (*_notes(file, given), *notes),
        opened.let_go,
    )
    return [imported]


def _what(told: Told) -> str:
    if told.network["in_channels"] in (2, 6) and told.kind == "diffusion":
        return "upsampler"
    return "diffusion model" if told.kind == "diffusion" else "classifier"


def _state(opened: MappedWeights, path: Path) -> dict[str, Stored]:
    """The tensors in an open file by name; of a larger one, those of its network."""
    contents = opened.contents
    if not isinstance(contents, dict):
        raise InputError(f"{path}: holds no weights by name")
    if isinstance(contents.get("cgd"), dict):
        raise InputError(f"{path}: a checkpoint of cgd-lightning already; cgd info tells more")
    if {"state", "param_groups"} <= contents.keys():
        raise InputError(
            f"{path}: the state of an optimizer; give model*.pt or ema_*.pt, which lie beside it"
        )
    inner = next((contents[n] for n in NESTED if isinstance(contents.get(n), dict)), contents)
    wrapped = all(str(name).startswith("module.") for name in inner)  # by DistributedDataParallel
    state = {}
    for name, stored in inner.items():
        if type(name) is not str or not isinstance(stored, Stored):
            raise InputError(f"{path}: holds no weights by name; {ascii(name)[:80]} is no tensor")
        state[name.removeprefix("module.") if wrapped else name] = stored
    if not state:
        raise InputError(f"{path}: holds no weights")
    if sum(stored.bytes for stored in state.values()) > 2 * path.stat().st_size:
        raise InputError(f"{path}: its tensors are larger than the file")
    return state


def _shapes(state: Mapping[str, Stored]) -> dict[str, tuple[int, ...]]:
    return {name: stored.shape for name, stored in state.items()}


def _file(opened: MappedWeights, path: Path, given: Mapping[str, Any]) -> _File:
    """What an open file tells. Raises InputError if it is of no network of the family."""
    state = _state(opened, path)
    shapes = _shapes(state)
    published = given.get("published", path.name.removesuffix(".pt"))
    if "published" in given and published not in PUBLISHED:
        raise InputError(f"--published {published}: wanted one of {', '.join(PUBLISHED)}")
    name = published if published in PUBLISHED else None
    try:
        told = read_keys(shapes, given.get("num_res_blocks"))
        size = told.image_size or told.unit
        trial = _network(told, {**told.network, "image_size": size}, path, state)
        wanted = {key: tuple(value.shape) for key, value in trial.state_dict().items()}
        misfit = first_misfit(shapes, wanted)
    except UnknownKeysError as error:
        misfit = str(error)
    except AmbiguousKeysError as error:
        raise InputError(
            f"{path}: several networks have such weights; give --{error.option}: {error}"
        ) from error
    if misfit is not None:
        near = nearest(shapes)
        like = f"nearest to {near}.pt among the published ones" if near else "nor of any like it"
        raise InputError(f"{path}: not a file of guided-diffusion, {like}: {misfit}")
    if name is not None:
        _check_name(name, told, path)
    return _File(path, state, told, name)


def _check_name(name: str, told: Told, path: Path) -> None:
    """Raises InputError for a file that is called as a published one and is of another network.

    Its width may be another.
    """
    table = {**PUBLISHED[name].told, "kind": PUBLISHED[name].kind}
    found = {**told.network, "kind": told.kind}
    for key, value in table.items():
        if key != "model_channels" and found.get(key) != value:
            raise InputError(
                f"{path}: called as the published {name}.pt, and another network: {key} "
                f"{found.get(key)}, where that has {value}; rename it and give its settings"
            )


def _network(
    told: Told, arguments: dict[str, Any], path: Path, state: Mapping[str, Stored]
) -> UNet | EncoderUNet:
    """The network without its weights."""
    cls = UNet if told.kind == "diffusion" else EncoderUNet
    numbers = sum(stored.numel for stored in state.values())
    try:
        with (
            at_most(numbers, 10 * len(state) + 100, "its keys want a network"),
            torch.device("meta"),
        ):
            return cls(**arguments)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _refuse_upsampler(file: _File) -> None:
    """Raises InputError for a network that reads a low-resolution image beside the noisy one."""
    channels = file.told.network["in_channels"]
    if _what(file.told) == "upsampler":
        raise InputError(
            f"{file.path}: an upsampler, which reads {channels} channels: the noisy image and a "
            "low-resolution one; upsamplers cannot be converted"
        )
    if channels not in (1, 3):
        raise InputError(f"{file.path}: reads {channels} channels; wanted images of 1 or 3")


def _learns_variance(file: _File) -> bool:
    channels, outputs = (file.told.network[name] for name in ("in_channels", "out_channels"))
    if outputs not in (channels, 2 * channels):
        raise InputError(
            f"{file.path}: gives {outputs} channels for images of {channels}; wanted as many, or "
            "twice as many where the variance is learned"
        )
    return outputs == 2 * channels


def _class_names(file: _File, given: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """(the names of the classes, what the user is told of them)."""
    network = file.told.network
    classes = network["num_classes" if file.told.kind == "diffusion" else "out_channels"]
    names = given_names(given, classes)
    if names is not None:
        return names, []
    if classes is None:
        return (), []
    if file.name is not None and classes == 1000:
        return imagenet(), []
    note = (
        f"its {classes} classes are called 0 to {classes - 1}; name them with --class_names or "
        "--images FOLDER, the training images"
    )
    return tuple(map(str, range(classes))), [note]


def _weights(opened: MappedWeights, file: _File) -> dict[str, Tensor]:
    """The weights as float32, views of the file where they are that already.

    Raises InputError for numbers that are not finite, or no weights.
    """
    weights = {}
    for name, stored in file.state.items():
        if stored.storage.dtype not in DTYPES:
            raise InputError(f"{file.path}: {name} holds {stored.storage.dtype}, no weights")
        tensor = opened.tensor(stored)
        low, high = tensor.aminmax()
        if not bool(low.isfinite() & high.isfinite()):
            raise InputError(
                f"{file.path}: its weights are not finite, beginning with {name}; the training "
                "had gone wrong, take an earlier file"
            )
        weights[name] = tensor.float()
        opened.let_go()  # nobody has changed anything yet
    return weights


def _notes(file: _File, given: Mapping[str, Any]) -> list[str]:
    """What the user is told: what was taken from where."""
    notes, network = [], file.told.network
    other = sorted({str(s.storage.dtype)[6:] for s in file.state.values()} - {"float32"})
    if other:
        notes.append(f"weights in {' and '.join(other)} are read as float32")
    if file.name is not None and file.published is not None:
        kept = {k: v for k, v in file.known({}).items() if k in file.known(given)}
        kept = {k: v for k, v in kept.items() if k not in given}
        said = ", ".join(f"{key} {value}" for key, value in kept.items())
        notes.append(f"of the published {file.name}.pt: {said}")
        width = file.published.told["model_channels"]
        if network["model_channels"] != width:
            notes.append(
                f"it has {network['model_channels']} channels where the published file has "
                f"{width}: if it is another network, rename it and give its settings"
            )
    elif file.told.kind == "diffusion" and not {"num_heads_upsample", "num_head_channels"} & set(
        given
    ):
        notes.append("as many heads on the way up as down; else give --num_heads_upsample")
    if file.told.kind == "diffusion" and not _learns_variance(file):
        notes.append(
            "its variance is fixed; guided-diffusion samples with --sampler DDPM "
            "--sampler.variance fixed_large"
        )
    if file.path.name.startswith("model") and any(file.path.parent.glob("ema_*.pt")):
        notes.append("ema_*.pt beside it holds the averaged weights, which sample better")
    return notes
