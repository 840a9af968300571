"""Images as latents, encoded once and kept on the disk: CACHE/HASH OF IMAGES-HASH OF AUTOENCODER.

They are read through a memory map, so that a data set may be larger than memory, and so is what
encodes it. A folder there is taken for hostile: it is read without unpickling, and must say of
itself what its name says.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import cache_home, open_plain, whole_folder

BATCH = 256
"""Images that are encoded at a time."""

MOST_ABOUT = 2**16
"""Bytes of what a cache says of itself."""


def read_latents(autoencoder: str, image_shape: tuple[int, int, int]) -> Latents:
    """The latents of the autoencoder at a run or file, as a codec for images of `image_shape`.

    Raises InputError for one of other images.
    """
    found = checkpoints.load(autoencoder, Autoencoder)
    if found.data.shape != image_shape:
        raise InputError(
            f"data.autoencoder {autoencoder}: of images {list(found.data.shape)}, and these are "
            f"{list(image_shape)}; give --data.image_size as it has, or train one on these images: "
            "cgd fit --config autoencoder.yaml"
        )
    return checkpoints.latents_of(found, str(autoencoder))


def encoded(
    images: Dataset[ImageBatch],
    codec: Latents,
    device: torch.device,
    mirrored_too: bool = False,
    name: str = "images",
) -> "CachedLatents":
    """The data set `images` as latents, from the cache or encoded now, on `device`.

    mirrored_too: those of the mirror images beside them. name: of the data set, for the user.
    Raises InputError for a cache that is damaged or of other data, and for latents that are not
    finite; OSError if the disk does not take them.
    """
    digest = hash_images(images)
    folder = cache_folder() / f"{digest}-{codec.hash}{'-mirrored' if mirrored_too else ''}"
    shape = (len(images), 2 if mirrored_too else 1, *codec.latent_shape)  # type: ignore[arg-type]
    about = {"images": digest, "autoencoder": codec.hash, "shape": list(shape)}
    if not os.path.lexists(folder):
        with suppress(FileExistsError), whole_folder(folder) as unfinished:  # as another made it
            _write(unfinished / "latents.npy", images, codec, device, shape, name)
            (unfinished / "about.json").write_text(json.dumps(about))
    return CachedLatents(_mapped(folder, about, shape), _labels(images), folder)


class CachedLatents(Dataset[ImageBatch]):
    """Latents on the disk, a whole batch at a time.

    latents: (N, 1, c, h, w), or (N, 2, c, h, w) with those of the mirror images, memory-mapped; a
    batch is then (B, 2, c, h, w), and otherwise (B, c, h, w). labels: (N,).
    """

    def __init__(self, latents: Any, labels: Tensor, where: Path) -> None:
        self.latents, self.labels, self.where = latents, labels, where

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        index = torch.as_tensor(indices)
        latents = torch.from_numpy(self.latents[index.numpy()])
        if not latents.isfinite().all():
            raise InputError(f"{self.where}: holds latents that are not finite; remove it")
        either = latents if latents.shape[1] == 2 else latents[:, 0]
        return ImageBatch(either, self.labels[index], index)


def cache_folder() -> Path:
    """Where latents are kept: cgd-lightning/latents in the user's cache, else beside the runs."""
    home = cache_home()
    return home / "latents" if home else Path("runs") / ".latents"


def hash_images(images: Dataset[ImageBatch]) -> str:
    """The first 16 digits of a SHA-256 that tells these images, in this order, from others.

    Of files it is made of their paths, sizes and times of change, and of how they are resized.
    """
    digest = hashlib.sha256()
    whole = getattr(images, "images", None)
    files = getattr(images, "files", None)
    if isinstance(whole, Tensor):
        digest.update(f"{whole.dtype} {tuple(whole.shape)}".encode())
        for part in whole.split(4096):
            digest.update(part.contiguous().view(torch.uint8).numpy())
    elif files is not None:
        digest.update(f"{getattr(images, 'image_shape', None)}".encode())
        for file in files:
            state = os.stat(file)
            digest.update(f"{os.path.abspath(file)} {state.st_size} {state.st_mtime_ns}\n".encode())
    else:
        for batch in _batches(images):
            digest.update(batch.images.contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _batches(images: Any) -> Any:
    for start in range(0, len(images), BATCH):
        yield images.__getitems__(list(range(start, min(start + BATCH, len(images)))))


def _labels(images: Any) -> Tensor:
    labels = getattr(images, "labels", None)
    return torch.cat([b.labels for b in _batches(images)]) if labels is None else labels


def _write(
    path: Path,
    images: Dataset[ImageBatch],
    codec: Latents,
    device: torch.device,
    shape: tuple[int, ...],
    name: str,
) -> None:
    """Encode all images, a batch at a time, into a file of `shape`."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    bar = tqdm(total=shape[0], desc=f"encoding {name}", unit="image", leave=False)
    with bar:
        for batch in _batches(images):
            x = batch.images.to(device)
            sides = [x, x.flip(3)][: shape[1]]
            latents = torch.stack([codec.encode(side) for side in sides], dim=1).cpu()
            if not latents.isfinite().all():
                raise InputError(
                    f"{codec.autoencoder}: gives latents of {name} that are not finite; train the "
                    "autoencoder again, with a smaller learning rate"
                )
            out[start : start + len(x)] = latents.numpy()
            start += len(x)
            bar.update(len(x))
    out.flush()


def _mapped(folder: Path, about: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """The latents in `folder`, mapped; InputError unless it says that it is what is wanted."""
    path = folder / "latents.npy"
    try:
        with open_plain(folder / "about.json", MOST_ABOUT) as file:
            says = json.loads(file.read())
        if says != about:
            raise InputError(f"{folder}: holds latents of other data or another autoencoder")
        latents = np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError as error:
        raise InputError(f"{error}; remove it") from error
    except (OSError, ValueError, RecursionError, EOFError) as error:
        raise InputError(f"{folder}: damaged ({one_line(error)}); remove it") from error
    if latents.shape != shape or latents.dtype != np.float32:
        raise InputError(
            f"{path}: {latents.dtype} of shape {list(latents.shape)}, and float32 of {list(shape)} "
            "was wanted; remove the folder"
        )
    return latents
