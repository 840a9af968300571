"""The foreign worlds whose files are read, in the order in which they are asked.

Each is a module with

    OPTIONS                     the options of `cgd convert` that it takes
    recognise(source)           whether a path is of this world; cheap, never raises
    told(source)                facts for `cgd info`
    read(source, given)         the models in it
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cgd_lightning.checkpoints.mapped import open_weights
from cgd_lightning.errors import InputError
from cgd_lightning.exchange import adm, diffusers, ours
from cgd_lightning.exchange.imported import Imported


class World(Protocol):
    """A module that reads the files of another project."""

    OPTIONS: tuple[str, ...]

    def recognise(self, source: Path) -> bool:
        """Whether `source`, a file or a folder, is of this world. Cheap; never raises."""

    def told(self, source: Path) -> dict[str, object]:
        """What `source` is, what it tells of itself, and what is needed beside it."""

    def read(self, source: Path, given: Mapping[str, Any]) -> list[Imported]:
        """The models in `source`. given: options by name."""


WORLDS: tuple[World, ...] = (diffusers, ours, adm)
"""Any file of weights that no other world knows is left to the last one, which names what does not
fit."""


def world_of(source: Path) -> World | None:
    """The world that `source` is of; None if no one knows it."""
    return next((world for world in WORLDS if world.recognise(source)), None)


def read(source: Path, given: Mapping[str, Any]) -> list[Imported]:
    """The models that a file or folder of another project holds.

    given: options by name. Raises InputError if no world knows it, if it is damaged, and for
    options that its world does not take.
    """
    world = world_of(source)
    if world is None:
        raise _unknown(source)
    strange = [name for name in given if name not in world.OPTIONS]
    if strange:
        raise InputError(f"--{strange[0]}: says nothing of {source}; leave it out")
    return world.read(source, given)


def _unknown(source: Path) -> InputError:
    """Why `source` is of no world that we know."""
    if not source.exists():
        return InputError(f"{source}: no such file or folder")
    if source.is_dir():
        return InputError(f"{source}: a folder in no form that is known here")
    try:
        with open_weights(source):
            pass
    except InputError as error:
        return error
    return InputError(
        f"{source}: a checkpoint of cgd-lightning already; cgd sample --ckpt {source} takes it"
    )
