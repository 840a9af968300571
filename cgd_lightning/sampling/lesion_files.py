"""A split of `Lesions` as files, for the commands that read folders of images and of masks."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from cgd_lightning.data.planting import KINDS
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.plots import to_picture
from cgd_lightning.folders import is_free, whole_folder


def write_lesions(folder: Path, images: Tensor, masks: Tensor, kinds: Tensor) -> None:
    """Write images/INDEX.png, masks/INDEX.png and kinds.csv into `folder`, new or empty.

    images: uint8 (N, C, H, W). masks: bool (N, 1, H, W), white where the lesion is. kinds: (N,)
    int64 places in `KINDS`. A mask has the name of its image. All of it is written or nothing.
    Raises InputError if something is in the folder, and if these are not one for one.
    """
    shape = (len(images), 1, *images.shape[2:])
    if masks.shape != shape or masks.dtype != torch.bool or kinds.shape != shape[:1]:
        raise InputError(
            f"{len(images)} images with masks of shape {list(masks.shape)} and {len(kinds)} kinds: "
            f"wanted bool masks of shape {list(shape)} and a kind for each"
        )
    if not is_free(folder):
        raise InputError(f"{folder}: is there already; give a new or an empty folder")
    digits = max(4, len(str(len(images) - 1)))
    names = [f"{index:0{digits}}.png" for index in range(len(images))]
    with whole_folder(folder) as unfinished:
        for part, pictures in (("images", images), ("masks", masks.to(torch.uint8) * 255)):
            (unfinished / part).mkdir()
            for name, picture in zip(names, pictures, strict=True):
                to_picture(picture).save(unfinished / part / name)
        with (unfinished / "kinds.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [(name, KINDS[kind]) for name, kind in zip(names, kinds.tolist(), strict=True)]
            csv.writer(file).writerows([("file", "kind"), *rows])
