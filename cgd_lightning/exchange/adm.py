"""Files of guided-diffusion and of improved-diffusion: the `.pt` of one network.

    read(Path("64x64_diffusion.pt"), {})
    read(Path("ema_0.9999_200000.pt"), {"image_size": 64, "num_heads": 4, ...})

What a file does not tell is known of the published files by their names (`adm_published`); of
others it has to be given (`adm_settings`). The weights stay in the file, which is mapped into
memory; those of other precision than float32 go through a scratch file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.checkpoints import Model
from cgd_lightning.checkpoints.mapped import MappedWeights, open_weights
from cgd_lightning.checkpoints.scratch import Scratch
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.adm_file import AdmFile, adm_file, build, is_ours, what_is
from cgd_lightning.exchange.adm_published import guided, sampled
from cgd_lightning.exchange.adm_settings import needed, settle
from cgd_lightning.exchange.class_names import given_names, imagenet
from cgd_lightning.exchange.imported import Imported

OPTIONS: tuple[str, ...] = (
    *(
        "published",
        "image_size",
        "small_size",
        "num_heads",
        "num_heads_upsample",
        "num_head_channels",
    ),
    *("num_res_blocks", "attention_order", "schedule", "timesteps", "rescale_timesteps"),
    *("prediction", "dropout", "class_names", "images"),
)
"""The options of `cgd convert` that say something of such a file."""

UPWARD = {"num_heads_upsample", "num_head_channels"}
"""Either says how many heads there are on the way up."""

Release = Callable[[], None]

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def recognise(source: Path) -> bool:
    """Whether `source` is a file in a format of `torch.save`, and none of ours.

    Why one without weights cannot be read is said by `told` and `read`.
    """
    try:
        with open_weights(source) as file:
            return not is_ours(file.contents)
    except (InputError, OSError):
        return False


def told(source: Path) -> dict[str, object]:
    """What the file is and tells, and what would be needed to convert it.

    Raises InputError if it is no network of the family.
    """
    with open_weights(source) as opened:
        file = adm_file(opened, source, {})
    known = file.known({})
    return {
        "what": f"a {what_is(file.told)} of guided-diffusion's family",
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
        file = adm_file(opened, source, given)
        _check_channels(file)
        settings = settle(file.told, file.known(given), f"{source}")
        names, notes = _class_names(file, given)
        arguments = {**file.told.network, **settings.arguments}
        network = build(file.told, arguments, source, file.state)
        channels, size = file.told.image_channels, settings.image_size
        data = DataSpec((channels, size, size), names)
        model: Model
        if file.told.kind == "diffusion":
            learned = _learns_variance(file)
            model = Denoiser(network, settings.schedule, settings.prediction, data, learned)
        else:
            model = NoisyClassifier(network, settings.schedule, data)
        weights, release = _weights(opened, file)
    network.load_state_dict(weights, assign=True)
    alone, with_classifier = _flags(model, file)
    imported = Imported(
        model.eval().requires_grad_(False),
        f"guided-diffusion: {source.name if file.name is None else file.name + '.pt'}",
        None if file.published is None else file.published.dataset,
        (*_notes(file, given), *notes),
        release,
        alone,
        with_classifier,
    )
    return [imported]


def _flags(model: Model, file: AdmFile) -> tuple[str, str]:
    """How guided-diffusion samples from `model`: (without a classifier, with one)."""
    if not isinstance(model, Denoiser):
        return "", ""
    scale = None if file.published is None else file.published.scale
    walk = model.learned_variance, model.schedule.timesteps
    return f"--scale 0 {sampled(*walk)}", guided(1 if scale is None else scale, *walk)


def _check_channels(file: AdmFile) -> None:
    channels = file.told.network["in_channels"]
    if file.told.image_channels not in (1, 3):
        raise InputError(f"{file.path}: reads {channels} channels; wanted images of 1 or 3")


def _learns_variance(file: AdmFile) -> bool:
    channels, outputs = file.told.image_channels, file.told.network["out_channels"]
    if outputs not in (channels, 2 * channels):
        raise InputError(
            f"{file.path}: gives {outputs} channels for images of {channels}; wanted as many, or "
            "twice as many where the variance is learned"
        )
    return outputs == 2 * channels


def _class_names(file: AdmFile, given: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
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


def _weights(opened: MappedWeights, file: AdmFile) -> tuple[dict[str, Tensor], Release]:
    """(the weights as float32, what gives back their memory).

    They are views of the file, or of a scratch file where they are of other precision there, or
    where the format lays them at places that no number may begin at. Raises InputError for numbers
    that are not finite, or no weights.
    """
    views, scratch = {}, Scratch()
    for name, stored in file.state.items():
        if stored.storage.dtype not in DTYPES:
            raise InputError(f"{file.path}: {name} holds {stored.storage.dtype}, no weights")
        tensor = opened.tensor(stored)
        low, high = tensor.float().aminmax()
        if not bool(low.isfinite() & high.isfinite()):
            raise InputError(
                f"{file.path}: its weights are not finite, beginning with {name}; the training "
                "had gone wrong, take an earlier file"
            )
        if tensor.dtype == torch.float32 and opened.maps(stored):
            views[name] = tensor
        else:
            scratch.put(name, tensor)
        opened.let_go()  # nobody has changed anything yet
    kept, let_go = scratch.mapped()

    def release() -> None:
        opened.let_go()
        let_go()

    return {name: views[name] if name in views else kept[name] for name in file.state}, release


def _notes(file: AdmFile, given: Mapping[str, Any]) -> list[str]:
    """What the user is told: what was taken from where."""
    notes, network = [], file.told.network
    other = sorted({str(s.storage.dtype)[6:] for s in file.state.values()} - {"float32"})
    if other:
        notes.append(f"weights in {' and '.join(other)} are read as float32")
    if file.name is not None and file.published is not None:
        taken = {key: value for key, value in file.known(given).items() if key not in given}
        said = ", ".join(f"{key} {value}" for key, value in taken.items())
        notes.append(f"as the published {file.name}.pt: {said}")
        width = file.published.told["model_channels"]
        if network["model_channels"] != width:
            notes.append(
                f"it has {network['model_channels']} channels where the published file has "
                f"{width}: if it is another network, rename it and give its settings"
            )
        if file.published.scale is not None:
            notes.append(
                "the README of guided-diffusion guides it like this: "
                f"{guided(file.published.scale)}"
            )
    elif file.told.kind == "diffusion" and not UPWARD & given.keys():
        notes.append("as many heads on the way up as down; else give --num_heads_upsample")
    if file.told.kind == "diffusion" and not _learns_variance(file):
        notes.append(
            "its variance is fixed; guided-diffusion samples with --sampler DDPM "
            "--sampler.variance fixed_large"
        )
    step = file.path.stem.removeprefix("model")
    averaged = sorted(file.path.parent.glob(f"ema_*_{step}.pt")) if step.isdecimal() else []
    if file.told.kind == "diffusion" and averaged:
        notes.append(f"{averaged[0].name} beside it holds averaged weights, which sample better")
    return notes
