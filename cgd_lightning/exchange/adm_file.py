"""A file of guided-diffusion's family, open: its weights by name, and what their keys tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.checkpoints import at_most
from cgd_lightning.checkpoints.mapped import MappedWeights
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.adm_keys import (
    AmbiguousKeysError,
    Told,
    UnknownKeysError,
    first_misfit,
    read_keys,
)
from cgd_lightning.exchange.adm_published import PUBLISHED, Published, nearest
from cgd_lightning.networks import EncoderUNet, SuperRes, UNet

NESTED = ("state_dict", "model_state_dict", "model")
"""Under these names forks keep the weights in a larger file."""

HEADS = {"num_heads", "num_head_channels"}
"""Either says how many heads there are."""


@dataclass(frozen=True)
class AdmFile:
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
        # In guided-diffusion's flags -1 means that nothing is said.
        said = {name: value for name, value in given.items() if value != -1}
        if HEADS & said.keys():
            table = {name: value for name, value in table.items() if name not in HEADS}
        return {**table, **said}


def adm_file(opened: MappedWeights, path: Path, given: Mapping[str, Any]) -> AdmFile:
    """What an open file tells. Raises InputError if it is of no network of the family."""
    state = state_of(opened, path)
    shapes = _shapes(state)
    published = given.get("published", path.name.removesuffix(".pt"))
    if "published" in given and published not in PUBLISHED:
        raise InputError(f"--published {published}: wanted one of {', '.join(PUBLISHED)}")
    name = published if published in PUBLISHED else None
    try:
        told = read_keys(shapes, given.get("num_res_blocks"))
        size = told.image_size or told.unit
        trial = build(told, {**told.network, "image_size": size}, path, state)
        wanted = {key: tuple(value.shape) for key, value in trial.state_dict().items()}
        misfit = first_misfit(shapes, wanted)
    except UnknownKeysError as error:
        misfit = str(error)
    except AmbiguousKeysError as error:
        raise InputError(
            f"{path}: several networks have such weights; give --{error.option}: {error}"
        ) from error
    blocks = given.get("num_res_blocks")
    if misfit is None and blocks not in (None, told.network["num_res_blocks"]):
        raise InputError(
            f"--num_res_blocks {blocks}: {path} has {told.network['num_res_blocks']} in a level"
        )
    if misfit is not None:
        near = nearest(shapes)
        like = f"nearest to {near}.pt among the published ones" if near else "nor of any like it"
        raise InputError(f"{path}: not a file of guided-diffusion, {like}: {misfit}")
    if name is not None:
        _check_name(name, told, path)
    return AdmFile(path, state, told, name)


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


def is_ours(contents: Any) -> bool:
    """Whether the contents of a file are those of a checkpoint of this package."""
    return isinstance(contents, dict) and isinstance(contents.get("cgd"), dict)


def state_of(opened: MappedWeights, path: Path) -> dict[str, Stored]:
    """The tensors in an open file by name; of a larger one, those of its network."""
    contents = opened.contents
    if not isinstance(contents, dict):
        raise InputError(f"{path}: holds no weights by name; wanted a state_dict")
    if is_ours(contents):
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


def build(
    told: Told, arguments: dict[str, Any], path: Path, state: Mapping[str, Stored]
) -> UNet | EncoderUNet:
    """The network without its weights.

    Raises InputError if it has far more of them than the file: a few that are missing are named.
    """
    cls: type[UNet | EncoderUNet] = UNet if told.kind == "diffusion" else EncoderUNet
    if "small_size" in arguments:
        cls = SuperRes
        arguments = {**arguments, "in_channels": told.image_channels}
    numbers = sum(stored.numel for stored in state.values())
    try:
        with (
            at_most(10 * numbers, 10 * len(state) + 100, "its keys want a network"),
            torch.device("meta"),
        ):
            return cls(**arguments)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def what_is(told: Told) -> str:
    """A network in words."""
    if told.upsampler:
        return "upsampler"
    return "diffusion model" if told.kind == "diffusion" else "classifier"
