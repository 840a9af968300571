"""Masks that a user draws: pictures that are white where something is, black elsewhere."""

from pathlib import Path

from torch import Tensor

from cgd_lightning.data.pictures import ENDINGS, decode_white
from cgd_lightning.errors import InputError

REMEDY = {"--mask": "to bring both to those of the model"}
OF_EDITS = "if cgd edit brought the images to their size with it"
"""What --resize does of masks, by the option; OF_EDITS of true masks."""


def find_mask(folder: Path, name: str) -> Path | None:
    """The mask of the image `name` in `folder`: of that name, or of another kind of picture."""
    if (folder / name).is_file():
        return folder / name
    for ending in sorted(ENDINGS):
        if (folder / name).with_suffix(ending).is_file():
            return (folder / name).with_suffix(ending)
    return None


def mask_of(folder: Path, name: str, option: str) -> Path:
    """The same. Raises InputError, which begins with the `option`, if there is none."""
    found = find_mask(folder, name)
    if found is None:
        raise InputError(
            f"{option} {folder}: no mask for the image {name!a}; wanted one of that name"
        )
    return found


def read_mask(
    file: Path, size: tuple[int, int], option: str, white: str, resize: bool = False
) -> Tensor:
    """Where `file` is white, bool (1, H, W).

    white: what that means. Raises InputError, which begins with the `option`, for another size,
    unless masks are resized, and for one that is grey alone.
    """
    if not file.is_file():
        raise InputError(f"{option} {file}: no such file or folder")
    try:
        found = decode_white(file)
        own = (found.where.shape[1], found.where.shape[2])
        if own != size and not resize:
            raise InputError(
                f"{file}: {own[0]} x {own[1]} pixels, and the images have {size[0]} x {size[1]}; "
                f"wanted the same, or --resize {REMEDY.get(option, OF_EDITS)}"
            )
    except InputError as error:
        raise InputError(f"{option} {error}") from error
    if 0 < found.brightest <= found.full // 2:
        raise InputError(
            f"{option} {file}: no grey level above {found.brightest}; wanted white, {found.full}, "
            f"{white}, and black elsewhere"
        )
    return found.brought_to(size)
