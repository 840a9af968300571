"""The checkpoint of a training as Lightning wants it, read within bounds of the file's size."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import __version__ as lightning_version

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.archive import Archive
from cgd_lightning.checkpoints.files import opened
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.errors import InputError

MOST_VALUES = 1_000_000
DEEPEST = 24

LARGEST = 2**53
"""Of a counter."""

OF_A_TRAINING = ("epoch", "global_step", "state_dict", "loops", "optimizer_states", "lr_schedulers")


def check_whole(path: str | Path) -> None:
    """Raises InputError unless the file is whole and holds a training that can be gone on with.

    All its checksums must be right, its weights finite, its step none below 0, and its optimisers
    and the counters of its loop there. Whether they are those of this training is not known yet.
    """
    with opened(path) as archive:
        archive.check()
        missing = [name for name in OF_A_TRAINING if name not in archive.contents]
        if missing:
            raise InputError(
                f"{path}: holds no training to go on with, only a model ({', '.join(missing)} "
                "missing)"
            )
        try:
            _check_state(archive)
        except ValueError as error:
            raise InputError(
                f"{path}: not the state of such a training: {error}; go on from an earlier one"
            ) from error


def _check_state(archive: Archive) -> None:
    """Raises ValueError for what no training can go on with, whatever it trains."""
    contents = archive.contents
    for name in ("epoch", "global_step"):
        try:
            schema.integer(contents[name], 0, LARGEST)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    optimizers, loops = contents["optimizer_states"], contents["loops"]
    if not isinstance(optimizers, list) or not optimizers:
        raise ValueError("optimizer_states is no list of states, or an empty one")
    if not isinstance(loops, dict) or not isinstance(loops.get("fit_loop"), dict):
        raise ValueError("loops holds no counters of a fit_loop")
    for name, value in contents["state_dict"].items():
        if not isinstance(value, Stored) or not value.storage.dtype.is_floating_point:
            continue
        if not bool(archive.tensor(value).isfinite().all()):
            raise ValueError(f"its weights are not finite, beginning with {str(name)[:100]}")


def read_training(path: str | Path) -> dict[str, Any]:
    """What a checkpoint holds, as Lightning wants it: plain data and tensors.

    Their checksums are verified. Raises InputError if the file is damaged or holds something else.
    """
    with Archive(path) as archive, torch.inference_mode(False):
        if not isinstance(archive.contents, dict):
            raise InputError(f"{path}: not a checkpoint")
        read = _Reader(archive).read(
            {name: part for name, part in archive.contents.items() if name != "cgd_config"}
        )
    if "state_dict" not in read:  # what a process hands to the one that forked it
        return read
    # Its own version, so that Lightning does not rewrite it as that of an older one.
    return {**read, "pytorch-lightning_version": lightning_version}


class _Reader:
    """Copies contents of an archive, with tensors in place of their references.

    It stays within bounds of the file's size.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive, self.values = archive, 0
        self.bytes = 2 * archive.path.stat().st_size

    def read(self, value: Any, depth: int = 0) -> Any:
        self.values += 1
        if self.values > MOST_VALUES or depth > DEEPEST:
            raise InputError(
                f"{self.archive.path}: more than {MOST_VALUES} values, or deeper than {DEEPEST} "
                "levels"
            )
        if isinstance(value, Stored):
            self.bytes -= value.bytes
            if self.bytes < 0:
                raise InputError(f"{self.archive.path}: its tensors are larger than the file")
            return self.archive.tensor(value)
        if isinstance(value, dict):
            return {name: self.read(part, depth + 1) for name, part in value.items()}
        if isinstance(value, list | tuple):
            parts = [self.read(part, depth + 1) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        return value
