"""Masks that a user draws: pictures that are white where something is, black elsewhere."""

from pathlib import Path

from torch import Tensor

from cgd_lightning.data.pictures import ENDINGS, decode, decode_as_it_is
from cgd_lightning.errors import InputError

WHITE = 128
"""A mask's grey level from which it is white."""


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
        found = size if resize else tuple(decode_as_it_is(file).shape[1:])
        if found != size:
            raise InputError(
                f"{file}: {found[0]} x {found[1]} pixels, and the images have {size[0]} x "
                f"{size[1]}; wanted the same"
                + (
                    ", or --resize to bring both to those of the model"
                    if option == "--mask"
                    else ""
                )
            )
        grey = decode(file, (1, *size))
    except InputError as error:
        raise InputError(f"{option} {error}") from error
    if 0 < grey.max() < WHITE:
        raise InputError(
            f"{option} {file}: no grey level above {int(grey.max())}; wanted white, 255, {white}, "
            "and black elsewhere"
        )
    return grey >= WHITE
