"""The folder that `cgd sample` fills.

In it are grid.png, images/INDEX-CLASS.png or samples.npz, and at last samples.json.

Files get their final names when they are whole, and samples.json comes last: where it stands,
everything does.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.plots import grid, grid_places, stack, to_picture
from cgd_lightning.files import whole
from cgd_lightning.sampling.caption import UNSAID, Caption
from cgd_lightning.sampling.claim import Claim, check_free
from cgd_lightning.sampling.file_names import file_words


def new_folder(under: Path) -> Path:
    """A folder 0, 1, ... in `under` that is not there yet, made."""
    number = (
        max(
            (int(p.name) for p in under.glob("*") if re.fullmatch("[0-9]{1,9}", p.name)), default=-1
        )
        + 1
    )
    while True:
        try:
            (under / str(number)).mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return under / str(number)


def write_targets(targets: Sequence[Target]) -> dict[str, list[Any]]:
    """What samples.json says of the images' targets.

    {"labels": classes}, or, where there are others than plain classes, a table:
    {"targets": each kind once, a class or weights of all classes; "target_of_image": its place in
    that list, for every image}.
    """
    if all(isinstance(target, int) for target in targets):
        return {"labels": list(targets)}
    places = {target: place for place, target in enumerate(dict.fromkeys(targets))}
    return {"targets": list(places), "target_of_image": [places[target] for target in targets]}


class SampleFolder:
    """Takes uint8 chunks (B, C, H, W) from any process, and finishes when all are there.

    claim: the folder, which the job's first process holds. targets: of every image. written: how
    each target is called. caption: what pictures say of the samples.
    """

    def __init__(
        self,
        claim: Claim,
        targets: Sequence[Target],
        written: dict[Target, str],
        kind: Literal["png", "npz"],
        caption: Caption = UNSAID,
    ) -> None:
        self.folder, self.pieces, self.kind = claim.folder, claim.pieces, kind
        self.targets, self.written, self.caption = targets, written, caption
        self.words = file_words(written)
        self.unfinished = claim.pieces.parent

    def add(self, start: int, images: Tensor) -> None:
        """Keep a chunk, whose first image has index `start`."""
        if self.kind == "npz":
            write_piece(self.pieces, start, images)
            return
        for index, image in enumerate(images, start):
            target = self.targets[index]
            text = self.caption.image(index, target, self.written[target])
            to_picture(image).save(self.pieces / self._file(index), pnginfo=text)

    def finish(self, settings: dict[str, Any]) -> Path:
        """Write grid, samples and `settings` under their final names; the path of the grid.

        Raises InputError if pieces are missing or are not of this job, and if something else has
        put one of the final names into the folder.
        """
        places = grid_places(self.targets)
        if self.kind == "npz":
            array = read_pieces(self.folder, self.pieces, len(self.targets))
            rows = [
                torch.from_numpy(array[chosen]).permute(0, 3, 1, 2) for chosen in places.values()
            ]
            classes = np.array([t if isinstance(t, int) else -1 for t in self.targets])
            np.savez(self.unfinished / "samples.npz", arr_0=array, arr_1=classes)
        else:
            self._check_pictures()
            rows = [
                stack([Image.open(self.pieces / self._file(i)) for i in chosen])
                for chosen in places.values()
            ]
        names = self.caption.rows(self.written, places)
        text = self.caption.grid(self.written, places)
        picture = grid(rows, names, self.caption.heading)
        picture.save(self.unfinished / "grid.png", pnginfo=text)
        counted = {"count": len(self.targets), **write_targets(self.targets)}
        with whole(self.unfinished / "samples.json") as file:
            file.write_text(json.dumps({**settings, "images": counted}, indent=1), encoding="utf-8")

        # From here on files only change their names, which wants no room on the disk.
        check_free(self.folder)
        if self.kind == "png":
            os.rename(self.pieces, self.folder / "images")
        for name in ("samples.npz", "grid.png", "animation.gif"):
            if (self.unfinished / name).exists():
                os.replace(self.unfinished / name, self.folder / name)
        os.replace(self.unfinished / "samples.json", self.folder / "samples.json")
        return self.folder / "grid.png"

    def _check_pictures(self) -> None:
        wanted = {self._file(index) for index in range(len(self.targets))}
        # Some file systems take letters with accents apart.
        there = {normalize("NFC", name) for name in os.listdir(self.pieces)}
        if wanted != there:
            first = min(wanted ^ there)
            raise _not_whole(
                self.folder, f"{first} {'is missing' if first in wanted else 'is not its own'}"
            )

    def _file(self, index: int) -> str:
        digits = max(4, len(str(len(self.targets) - 1)))
        return f"{index:0{digits}}-{self.words[self.targets[index]]}.png"


def write_piece(pieces: Path, start: int, images: Tensor) -> None:
    """Keep a uint8 chunk (B, C, H, W), whose first image has index `start`, in `pieces`."""
    np.save(pieces / f"{start:08}.npy", images.permute(0, 2, 3, 1).numpy())


def read_pieces(folder: Path, pieces: Path, count: int) -> NDArray[np.uint8]:
    """The `count` images (N, H, W, C) of all chunks in `pieces`.

    Raises InputError, naming `folder`, if some are missing or damaged.
    """
    parts: list[NDArray[np.uint8]] = []
    end = 0
    for file in sorted(pieces.iterdir()):
        if file.name != f"{end:08}.npy":
            raise _not_whole(folder, f"{file.name} where {end:08}.npy was wanted")
        try:
            parts.append(np.load(file))
        except (EOFError, ValueError) as error:
            raise _not_whole(folder, f"{file.name} is damaged") from error
        end += len(parts[-1])
    if end != count:
        raise _not_whole(folder, f"{end} images where {count} were wanted")
    return np.concatenate(parts)


def _not_whole(folder: Path, what: str) -> InputError:
    return InputError(f"{folder}: the pieces of this job are not whole: {what}; run it again")
