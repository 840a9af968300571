"""What a network saw in real images, kept on the disk: HASH OF IMAGES-HASH OF NETWORK.npz.

A file there is taken for hostile: it is read without unpickling, within its size, and must say of
itself the hashes that its name says.
"""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from cgd_lightning.arrays import Arrays, open_arrays
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.evaluation.features import LARGEST, FeatureNetwork, Seen
from cgd_lightning.evaluation.networks.module import ModuleFeatures
from cgd_lightning.files import cache_home, open_plain, whole

LASTING = {"cgd_lightning", "torch", "torch_fidelity", "torchvision"}
"""Packages whose networks are told apart by their weights."""

MOST_NUMBERS = 2**16
"""Features and logits of an image."""

DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, SyntaxError),
    *(EOFError, MemoryError, BadZipFile, struct.error, zlib.error, AttributeError),
)
"""What zipfile and numpy raise for a damaged file."""


def cache_folder() -> Path | None:
    """Where features are kept, in the user's cache; None if there is none."""
    home = cache_home()
    return home / "features" if home else None


def is_lasting(features: FeatureNetwork) -> bool:
    """Whether the same weights mean the same features, today and tomorrow.

    They do for the classes of this package and of libraries. The code of anybody else's may have
    changed since, which no hash of weights tells.
    """
    if isinstance(features, ModuleFeatures):
        return False
    homes = {type(part).__module__.partition(".")[0] for part in features.network.modules()}
    return homes | {type(features).__module__.partition(".")[0]} <= LASTING


def read_kept(folder: Path, images: str, network: str, n: int) -> Seen | None:
    """What the network of hash `network` saw in the `n` images of hash `images`, if it is kept.

    Raises InputError for a file that is damaged, or holds what another network saw or what was
    seen in other images.
    """
    path = folder / f"{images}-{network}.npz"
    if not os.path.lexists(path):
        return None
    try:
        with open_plain(path, 4 * n * MOST_NUMBERS + 2**20) as file, open_arrays(file) as arrays:
            if bytes(_small(arrays)) != _says(images, network):
                raise InputError(f"{path}: holds features of other data; remove it")
            features = _rows(arrays, "features", n)
            with_logits = "logits" in arrays
            logits = _rows(arrays, "logits", n) if with_logits else features[:, :0]
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}: damaged ({one_line(error)}); remove it") from error
    if not all((part.abs() < LARGEST).all() for part in (features, logits)):
        raise InputError(
            f"{path}: damaged (features that are not finite, or above {LARGEST:g}); remove it"
        )
    return Seen(features, logits)


def write_kept(folder: Path, images: str, network: str, seen: Seen) -> None:
    """Keep what was seen, where there is room and leave to write."""
    arrays = {"says": np.frombuffer(_says(images, network), np.uint8)}
    arrays["features"] = seen.features.numpy()
    if seen.logits.shape[1]:
        arrays["logits"] = seen.logits.numpy()
    name = f"{images}-{network}.npz"
    with suppress(OSError):  # nothing but time is lost
        folder.mkdir(parents=True, exist_ok=True)
        # Another process may be writing the same.
        with whole(folder / f"{os.getpid()}-{name}") as path, path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub reads any name so
        os.replace(folder / f"{os.getpid()}-{name}", folder / name)


def _says(images: str, network: str) -> bytes:
    return f"images {images} network {network}".encode()


def _small(arrays: Arrays) -> np.ndarray:
    shape, dtype = arrays.header("says")
    if dtype != np.uint8 or len(shape) != 1 or shape[0] > 100:
        raise ValueError("it does not say whose features it holds")
    return arrays.read("says")


def _rows(arrays: Arrays, name: str, n: int) -> Tensor:
    shape, dtype = arrays.header(name)
    if dtype != np.float32 or len(shape) != 2 or shape[0] != n:
        raise ValueError(f"{name} are {dtype} of shape {list(shape)}; wanted float32 of {n} images")
    return torch.from_numpy(arrays.read(name))
