"""Arrays of a job's chunks, as it keeps them until all are there."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgd_lightning.arrays import map_array
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain, remove, whole
from cgd_lightning.sampling.made import IMAGES
from cgd_lightning.sampling.stored import DAMAGE

Chunks = Mapping[int, tuple[int, int, int, int]]
"""The chunks of a job: index of the first image -> shape (B, H, W, C)."""


def write_piece(pieces: Path, start: int, images: Tensor) -> None:
    """Keep a uint8 chunk (B, C, H, W), whose first image has index `start`, in `pieces`.

    It is there whole, and on the disk, or not at all.
    """
    with whole(pieces / f"{start:08}.npy") as file, file.open("wb") as opened:
        array = images.permute(0, 2, 3, 1).numpy()
        np.lib.format.write_array_header_1_0(opened, _header(array.shape))
        opened.write(array.tobytes())  # np.save's own way of writing hides why a disk takes no more


def chunks_there(folder: Path, pieces: Path, wanted: Chunks, kind: str) -> set[int]:
    """The first images of the chunks of those `wanted` that are in `pieces`, whole.

    kind: "npz", arrays, or "png", whose pictures are in a folder beside them. What else is there is
    removed. Raises InputError, naming `folder`, for a link in the place of a folder.
    """
    for place in (pieces, pieces / IMAGES):
        if place.is_symlink():
            raise not_whole(folder, f"{place.name} is a link")
    ending, is_whole = (".npy", _is_array) if kind == "npz" else (".size", _is_size)
    starts = {f"{start:08}{ending}": start for start in wanted}
    found = set()
    for path in pieces.iterdir():
        start = starts.get(path.name)
        if start is not None and is_whole(path, wanted[start]):
            found.add(start)
        elif kind == "npz" or path.name != IMAGES or not path.is_dir():
            remove(path)
    return found


def _is_array(file: Path, shape: tuple[int, ...]) -> bool:
    try:
        with open_plain(file) as opened:
            array = map_array(file.name, opened)
    except DAMAGE:
        return False
    return array.dtype == np.uint8 and array.shape == shape


def _is_size(file: Path, shape: tuple[int, ...]) -> bool:
    try:
        with open_plain(file, 10) as opened:
            return opened.read() == str(shape[0]).encode()
    except OSError:
        return False


def read_pieces(folder: Path, pieces: Path, count: int) -> NDArray[np.uint8]:
    """The `count` images (N, H, W, C) of all chunks in `pieces`.

    Raises InputError, naming `folder`, if some are missing or damaged.
    """
    return np.concatenate(list(Pieces(folder, pieces, count)))


@dataclass(frozen=True)
class Pieces:
    """The chunks in `pieces` of `count` images in all, which stay on the disk.

    folder: the one that a message names. Raises InputError, when they are read, if some are missing
    or damaged.
    """

    folder: Path
    pieces: Path
    count: int

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Each chunk, (B, H, W, C), in order."""
        end, shape = 0, tuple[int, ...]()
        for file in sorted(self.pieces.iterdir()):
            if file.name != f"{end:08}.npy":
                raise not_whole(self.folder, f"{file.name} where {end:08}.npy was wanted")
            try:
                with open_plain(file) as opened:
                    piece: NDArray[np.uint8] = map_array(file.name, opened)
                if piece.dtype != np.uint8 or piece.ndim != 4 or shape not in ((), piece.shape[1:]):
                    raise ValueError(f"{piece.dtype} of shape {list(piece.shape)}")
            except DAMAGE as error:
                why = f"{file.name} is damaged ({one_line(error, 80)})"
                raise not_whole(self.folder, why) from error
            yield piece
            end, shape = end + len(piece), piece.shape[1:]
        if end != self.count:
            raise not_whole(self.folder, f"{end} images where {self.count} were wanted")

    def images(self, chosen: Sequence[int]) -> Tensor:
        """Those at the places `chosen`, uint8 (N, C, H, W)."""
        found: dict[int, NDArray[np.uint8]] = {}
        start = 0
        for piece in self:
            for place in chosen:
                if start <= place < start + len(piece):
                    found[place] = np.array(piece[place - start])
            start += len(piece)
        stacked = np.stack([found[place] for place in chosen])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2)

    def write(self, file: Path, classes: NDArray[Any]) -> None:
        """Write an npz of arr_0, all images (N, H, W, C), and arr_1, `classes` (N,)."""
        first = next(iter(self))
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as array:
                shape = (self.count, *first.shape[1:])
                np.lib.format.write_array_header_1_0(array, _header(shape))
                for piece in self:
                    array.write(piece.tobytes())
            with archive.open("arr_1.npy", "w", force_zip64=True) as array:
                np.lib.format.write_array(array, classes, allow_pickle=False)


def _header(shape: tuple[int, ...]) -> dict[str, Any]:
    """What numpy's format says of an array of bytes."""
    return {"descr": "|u1", "fortran_order": False, "shape": shape}


def not_whole(folder: Path, what: str) -> InputError:
    """An error of pieces of which something is not as it was written."""
    return InputError(
        f"{folder}: the pieces of this job are not whole: {what}; remove {folder / '.unfinished'} "
        "and give the same command again"
    )
