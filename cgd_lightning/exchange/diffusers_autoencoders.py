"""A folder with an `AutoencoderKL` of diffusers: the first stage of its latent pipelines.

Diffusers normalises latents by two numbers, and so does a model of ours by its moments:

    x0 = (z - shift_factor) * scaling_factor,  mean = shift_factor,  variance = scaling_factor^-2
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import NO_TRUST, check_spec, construct
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.diffusers_files import find_weights, no_larger_than_read, settings
from cgd_lightning.exchange.diffusers_folder import CONFIG, INDEX, given_size
from cgd_lightning.exchange.diffusers_networks import defaults, one_side
from cgd_lightning.networks import DiffusersAutoencoder
from cgd_lightning.networks.diffusers_autoencoder import SETTINGS, check_settings, latent_side
from cgd_lightning.networks.network import Network

KIND = "AutoencoderKL"
"""The class, as diffusers calls it."""

FIXED = {"double_z": (True,), "latents_mean": (None,), "latents_std": (None,)}
"""Settings with one value that can be read: others have no variance, or moments by channel, which
each pipeline applies in its own way."""

UNUSED = ("force_upcast",)
"""Settings that do nothing here: all is computed in single precision."""

OTHERS = ("sample_size", "scaling_factor", "shift_factor")
"""Settings that are no arguments of `DiffusersAutoencoder` under the same names."""

SCALE = 0.18215
"""The scaling_factor of settings that do not tell one, as diffusers has it."""

MOST_FACTOR = 1e6
"""That the latents are multiplied or divided by, or moved."""


def recognise(source: Path) -> bool:
    """Whether `source` is such a folder, and no pipeline.

    Raises InputError for settings that cannot be read.
    """
    if not source.is_dir() or (source / INDEX).is_file():
        return False
    return settings(source / CONFIG).get("_class_name") == KIND


def told(source: Path) -> dict[str, object]:
    """What the autoencoder in `source` is, by its settings; the weights are not read.

    Raises InputError if it cannot be read at all.
    """
    arguments, shift, scale = _told(source)
    channels, size = arguments["in_channels"], arguments["image_size"]
    full = {**defaults(DiffusersAutoencoder), **arguments}
    side = None if size is None else _side(size, full, source / CONFIG)
    return {
        "format": f"{KIND} of diffusers",
        "weights": find_weights(source).name,
        "image_shape": [channels, size, size],
        "latent_shape": [full["latent_channels"], side, side],
        "scaling_factor": scale,
        "shift_factor": shift,
        "network": {"class_path": KIND, "init_args": arguments},
        "needed": [] if size is not None else ["image_size"],
    }


def _side(size: int, arguments: Mapping[str, Any], path: Path) -> int:
    try:
        return latent_side(size, len(arguments["block_out_channels"]))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def empty(source: Path, given: Mapping[str, object], notes: list[str]) -> Autoencoder:
    """The autoencoder in `source`, whose network has no weights yet.

    given: `image_size`, which also stands for the one that is told, as the network reads any.
    Raises InputError for other options and for settings that cannot be read.
    """
    said = [name for name, value in given.items() if value is not None]
    strange = [name for name in said if name != "image_size"]
    if strange:
        raise InputError(f"--{strange[0]}: says nothing of an autoencoder; leave it out")
    arguments, shift, scale = _told(source)
    path = source / CONFIG
    told = arguments["image_size"]
    if told is None or "image_size" in said:
        arguments["image_size"] = given_size(given, path)
    else:
        notes.append(f"images of {told} x {told}, as its settings say; --image_size takes others")
    with no_larger_than_read(), torch.device("meta"):
        network: DiffusersAutoencoder = construct(_spec(arguments), Network, path, NO_TRUST)
    size = arguments["image_size"]
    model = Autoencoder(network, DataSpec((arguments["in_channels"], size, size)))
    model.mean.fill_(shift)
    model.variance.fill_(scale**-2)
    return model


def _told(source: Path) -> tuple[dict[str, Any], float, float]:
    """Arguments of the `DiffusersAutoencoder`, shift and scale, as the settings in `source` say.

    Raises InputError for settings that are not known.
    """
    path = source / CONFIG
    config = settings(path)
    arguments: dict[str, Any] = {"in_channels": 3, "out_channels": 3}
    for name, value in config.items():
        if name in FIXED and value not in FIXED[name]:
            raise InputError(
                f"{path}: {name} {schema.shown(value)}, where {schema.shown(FIXED[name][0])} alone "
                "can be read"
            )
        if name in SETTINGS:
            arguments[name] = value
        elif not name.startswith("_") and name not in (*FIXED, *UNUSED, *OTHERS):
            raise InputError(f"{path}: the setting {name[:60]!a} of {KIND} is not known")
    arguments["image_size"] = one_side(config.get("sample_size"), path)
    _check(arguments, path)
    shift = config.get("shift_factor")
    shift = _number(0.0 if shift is None else shift, "shift_factor", -MOST_FACTOR, path)
    scale = _number(config.get("scaling_factor", SCALE), "scaling_factor", 1 / MOST_FACTOR, path)
    return arguments, shift, scale


def _check(arguments: Mapping[str, Any], path: Path) -> None:
    """InputError for arguments that are not of their type, or that no network can have."""
    checked = check_spec(_spec(arguments), Network, path, NO_TRUST, ("image_size",))
    try:
        check_settings({**defaults(DiffusersAutoencoder), **checked["init_args"]})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    channels, outputs = arguments["in_channels"], arguments["out_channels"]
    if channels != outputs:
        raise InputError(
            f"{path}: in_channels {channels} and out_channels {outputs}: not an autoencoder, which "
            "has as many out as in"
        )


def _number(value: Any, name: str, low: float, path: Path) -> float:
    """The setting `name`, whose value is a number from `low` to `MOST_FACTOR`."""
    if type(value) not in (int, float) or not low <= value <= MOST_FACTOR:
        raise InputError(
            f"{path}: {name} {schema.shown(value)}: wanted a number, {low:g} to {MOST_FACTOR:g}"
        )
    return float(value)


def _spec(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "class_path": f"{DiffusersAutoencoder.__module__}.{DiffusersAutoencoder.__name__}",
        "init_args": dict(arguments),
    }
