"""The settings and weights of a `UNet2DModel`, and the networks of ours that compute what it does.

It comes in as `DiffusersUNet`, whatever its settings. Out go that and `UNet`, as far as
`diffusers_unets` can express it. The names of weights are those of an `AutoencoderKL` too.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import NO_TRUST, check_spec, construct
from cgd_lightning.checkpoints.entries import MOST_SIDE
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.diffusers_unets import to_ours, to_theirs, unet_settings
from cgd_lightning.limits import MOST_CLASSES
from cgd_lightning.networks import DiffusersAutoencoder, DiffusersUNet, UNet
from cgd_lightning.networks.diffusers_unet import SETTINGS, check_settings
from cgd_lightning.networks.network import Network

RENAMED = {"sample_size": "image_size", "num_class_embeds": "num_classes"}
"""Arguments that `DiffusersUNet` has under another name."""

FIXED = {
    "time_embedding_type": ("positional",),
    "class_embed_type": (None,),
}
"""Settings with one value that we know, the default: the others embed no timestep or no label."""

UNUSED = ("num_train_timesteps",)
"""Settings that do nothing without others that are refused."""

OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Layers of attention as they were called before diffusers 0.15, and as they are now."""

INSIDE = {DiffusersUNet: "unet.", DiffusersAutoencoder: "vae."}
"""How the weights' names begin in networks of diffusers that are inside ours."""


def network_arguments(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The arguments of the `DiffusersUNet` with the settings `config` of a `UNet2DModel`.

    path: of the settings. Raises InputError for settings that are not known.
    """
    name = config.get("_class_name")
    if name != "UNet2DModel":
        raise InputError(
            f"{path}: the network {schema.shown(name)}, and of diffusers' networks UNet2DModel "
            "alone can be read"
        )
    arguments: dict[str, Any] = {"in_channels": 3, "out_channels": 3, "image_size": None}
    for setting, value in config.items():
        if setting in FIXED and value not in FIXED[setting]:
            raise InputError(
                f"{path}: {setting} {schema.shown(value)}, where "
                f"{schema.shown(FIXED[setting][0])} alone can be read"
            )
        if setting in RENAMED or setting in SETTINGS:
            arguments[RENAMED.get(setting, setting)] = value
        elif not setting.startswith("_") and setting not in (*FIXED, *UNUSED):
            raise InputError(f"{path}: the setting {setting[:60]!a} of UNet2DModel is not known")
    arguments["image_size"] = one_side(arguments["image_size"], path)
    _check(arguments, path)
    return arguments


def one_side(size: Any, path: Path) -> int | None:
    """The side of square images of the sample_size `size`, which stands in the file `path`.

    It is a number or two of them. None if it is not told. Raises InputError for anything else.
    """
    if isinstance(size, list) and len(size) == 2:
        if size[0] != size[1]:
            told = " x ".join(map(schema.shown, size))
            raise InputError(f"{path}: sample_size {told}: images must be square")
        size = size[0]
    if size is not None and (type(size) is not int or not 1 <= size <= MOST_SIDE):
        raise InputError(
            f"{path}: sample_size {schema.shown(size)}: wanted one number of pixels, 1 to "
            f"{MOST_SIDE:,}"
        )
    return size


def _check(arguments: Mapping[str, Any], path: Path) -> None:
    """InputError for arguments that are not of their type, or that no network can have."""
    checked = check_spec(_spec(arguments), Network, path, NO_TRUST, ("image_size",))
    labels = arguments.get("num_classes")
    if labels is not None and not 1 <= labels <= MOST_CLASSES:
        raise InputError(f"{path}: num_class_embeds {labels}: wanted 1 to {MOST_CLASSES:,}")
    try:
        check_settings({"num_classes": None, **defaults(DiffusersUNet), **checked["init_args"]})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def all_arguments(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`network_arguments` with the defaults, and rows as tuples."""
    full = {**defaults(DiffusersUNet), **network_arguments(config, path)}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in full.items()
    }


def defaults(network: type[Network]) -> dict[str, Any]:
    """The arguments of `network` that have a default, with it."""
    parameters = inspect.signature(network.__init__).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def build(arguments: Mapping[str, Any], path: Path) -> DiffusersUNet:
    """The `DiffusersUNet` with these arguments, which stand in the file `path`."""
    network: DiffusersUNet = construct(_spec(arguments), Network, path, NO_TRUST)
    return network


def _spec(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "class_path": f"{DiffusersUNet.__module__}.{DiffusersUNet.__name__}",
        "init_args": dict(arguments),
    }


def their_settings(network: nn.Module) -> dict[str, Any]:
    """The settings of the `UNet2DModel` that computes what `network` does.

    Raises InputError if diffusers cannot express it.
    """
    if type(network) is UNet:
        return unet_settings(network)
    if type(network) is DiffusersUNet:
        theirs = {ours: setting for setting, ours in RENAMED.items()}
        return {theirs.get(name, name): value for name, value in network.init_args.items()}
    raise InputError(
        f"{type(network).__name__}: not to be written for diffusers, whose UNet2DModel expresses "
        "UNet and DiffusersUNet"
    )


def their_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights of `network`, a `UNet` or one of diffusers, under the names of diffusers."""
    if isinstance(network, UNet):
        return to_theirs(network)
    inside = INSIDE[type(network)]
    return {name.removeprefix(inside): tensor for name, tensor in network.state_dict().items()}


def our_weights(network: nn.Module, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model of diffusers under the names of `network`: back from there."""
    if isinstance(network, UNet):
        return to_ours(network, theirs)
    return {f"{INSIDE[type(network)]}{name}": tensor for name, tensor in theirs.items()}


def new_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with the layers of attention by the names that they have now."""
    renamed = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        block, _, last = layer.rpartition(".")
        if ".attentions." in name and last in OLD_NAMES:
            name = f"{block}.{OLD_NAMES[last]}.{kind}"
        renamed[name] = tensor
    return renamed
