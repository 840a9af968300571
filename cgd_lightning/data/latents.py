"""Images as latents, encoded once and kept on the disk: CACHE/HASH OF IMAGES-HASH OF AUTOENCODER.

They are read through a memory map, so that a data set may be larger than memory, and so is what
encodes it. A folder there is taken for hostile: it is read without unpickling, and must say of
itself what its name says.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.arrays import map_array
from cgd_lightning.checkpoints.hub import is_hub
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import cache_home, open_plain
from cgd_lightning.folders import whole_folder

BATCH = 256
"""Images that are encoded at a time."""

MOST_ABOUT = 2**16
"""Bytes of what a cache says of itself."""

DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, SyntaxError, TokenError),
    *(EOFError, RecursionError, MemoryError, OverflowError, AttributeError),
)
"""What json and numpy raise for a damaged file."""


def read_latents(
    autoencoder: str, image_shape: tuple[int, int, int], trust: checkpoints.Trust
) -> Latents:
    """The latents of the autoencoder at a run or file, as a codec for images of `image_shape`.

    trust: what the file may name. Raises InputError for one of other images.
    """
    try:
        file = checkpoints.find(autoencoder)
    except InputError as error:
        if is_hub(autoencoder):
            raise
        raise InputError(
            f"data.autoencoder {autoencoder}: no autoencoder there; train one first on the "
            "same data: cgd fit --config autoencoder.yaml"
        ) from error
    # What is stored of one on the Hub is where it was fetched to, for files fetch nothing.
    place = str(file) if is_hub(autoencoder) else autoencoder
    found = checkpoints.load(file, Autoencoder, trust=trust)
    if found.data.shape != image_shape:
        raise InputError(
            f"data.autoencoder {autoencoder}: of images {list(found.data.shape)}, and these are "
            f"{list(image_shape)}; give --data.image_size or --data.channels as it has, or train "
            "one on these images: cgd fit --config autoencoder.yaml"
        )
    return checkpoints.latents_of(found, place)


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
    digest, labels = fingerprint(images)
    folder = cache_folder() / f"{digest}-{codec.hash}{'-mirrored' if mirrored_too else ''}"
    shape = (len(labels), 2 if mirrored_too else 1, *codec.latent_shape)
    about = {"images": digest, "autoencoder": codec.hash, "shape": list(shape)}
    if not os.path.lexists(folder):
        try:
            with whole_folder(folder) as unfinished:
                _write(unfinished / "latents.npy", images, codec, device, shape, name)
                (unfinished / "about.json").write_text(json.dumps(about))
        except FileExistsError as error:
            if not os.path.lexists(folder):  # else another process has made it by now
                raise InputError(f"{folder.parent}: is no folder; remove it") from error
    return CachedLatents(folder, about, labels)


class CachedLatents(Dataset[ImageBatch]):
    """Latents on the disk, a whole batch at a time.

    latents: (N, 1, c, h, w), or (N, 2, c, h, w) with those of the mirror images, memory-mapped; a
    batch is then (B, 2, c, h, w), and otherwise (B, c, h, w). Raises InputError unless what is in
    `folder` says that it is what `about` says. labels: (N,).
    """

    def __init__(self, folder: Path, about: dict[str, Any], labels: Tensor) -> None:
        self.folder, self.about, self.labels = folder, about, labels
        self.latents = _mapped(folder, about)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, as of a loader, the same file is mapped."""
        return CachedLatents, (self.folder, self.about, self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        index = torch.as_tensor(indices)
        latents = torch.from_numpy(self.latents[index.numpy()])
        if not latents.isfinite().all():
            raise InputError(f"{self.folder}: holds latents that are not finite; remove it")
        either = latents if latents.shape[1] == 2 else latents[:, 0]
        return ImageBatch(either, self.labels[index], index)


def cache_folder() -> Path:
    """Where latents are kept: cgd-lightning/latents in the user's cache, else beside the runs."""
    home = cache_home()
    return home / "latents" if home else Path("runs") / ".latents"


def fingerprint(images: Any) -> tuple[str, Tensor]:
    """(16 digits that tell these images, in this order, from others; their labels (N,)).

    A data set may say them itself, by `fingerprint()`; of any other, every image is looked at.
    """
    own, labels = getattr(images, "fingerprint", None), getattr(images, "labels", None)
    if own is not None and labels is not None:
        return own()[:16], labels
    digest, found = hashlib.sha256(), []
    for batch in _batches(images):
        digest.update(batch.images.contiguous().view(torch.uint8).numpy().tobytes())
        found.append(batch.labels)
    return digest.hexdigest()[:16], torch.cat(found)


def _batches(images: Any) -> Iterator[ImageBatch]:
    for start in range(0, len(images), BATCH):
        yield images.__getitems__(list(range(start, min(start + BATCH, len(images)))))


def _write(
    path: Path,
    images: Dataset[ImageBatch],
    codec: Latents,
    device: torch.device,
    shape: tuple[int, ...],
    name: str,
) -> None:
    """Encode all images, a batch at a time, into a file of `shape`."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with (
        path.open("wb") as file,
        tqdm(total=shape[0], desc=f"encoding {name}", unit="image", leave=False) as bar,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for batch in _batches(images):
            x = batch.images.to(device)
            sides = [x, x.flip(3)][: shape[1]]
            latents = torch.stack([codec.encode(side) for side in sides], dim=1).float().cpu()
            if not latents.isfinite().all():
                raise InputError(
                    f"{codec.autoencoder}: gives latents of {name} that are not finite; train the "
                    "autoencoder again, with a smaller learning rate"
                )
            file.write(latents.contiguous().numpy().astype("<f4", copy=False).tobytes())
            bar.update(len(x))


def _mapped(folder: Path, about: dict[str, Any]) -> Any:
    """The latents in `folder`, mapped; InputError unless it says that it is what is wanted."""
    try:
        if folder.is_symlink():
            raise OSError("a link")
        with open_plain(folder / "about.json", MOST_ABOUT) as file:
            says = json.loads(file.read())
        if says != about:
            raise InputError(f"{folder}: holds latents of other data or another autoencoder")
        with open_plain(folder / "latents.npy") as file:
            latents = map_array("latents.npy", file)
            if list(latents.shape) != about["shape"] or latents.dtype != np.dtype("<f4"):
                raise ValueError(f"latents.npy: {latents.dtype} of shape {list(latents.shape)}")
            return latents
    except InputError as error:
        raise InputError(f"{error}; remove it") from error
    except DAMAGE as error:
        raise InputError(f"{folder}: damaged ({one_line(error)}); remove it") from error
