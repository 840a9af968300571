"""The folder that `cgd sample` fills.

In it are grid.png, images/INDEX-CLASS.png or samples.npz, and at last samples.json.

Files get their final names when they are whole, and samples.json comes last: where it stands,
everything does.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import one_line
from cgd_lightning.evaluation.plots import grid, grid_places, to_picture
from cgd_lightning.files import flush, on_disk, whole
from cgd_lightning.folders import whole_folder
from cgd_lightning.sampling.caption import UNSAID, Caption
from cgd_lightning.sampling.claim import WHOLE, Claim, publish
from cgd_lightning.sampling.file_names import file_words
from cgd_lightning.sampling.made import IMAGES, check_free
from cgd_lightning.sampling.pieces import Chunks, Pieces, chunks_there, not_whole, write_piece
from cgd_lightning.sampling.stored import DAMAGE, open_pictures


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

    A chunk that was taken is on the disk, and stays when the job is killed.

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

    def taken(self, wanted: Chunks) -> frozenset[int]:
        """The chunks of those `wanted` that are there already, by their first images.

        What else an earlier job left, of chunks that it did not finish, is removed.
        """
        starts = chunks_there(self.folder, self.pieces, wanted, self.kind)
        if self.kind == "npz":
            return frozenset(starts)
        there = {normalize("NFC", name): name for name in _names(self._images)}
        kept: set[str] = set()
        for start in sorted(starts):
            size = wanted[start][0]
            files = {self._file(index) for index in range(start, start + size)}
            if files <= there.keys():
                kept |= files
            else:
                (self.pieces / f"{start:08}.size").unlink()
                starts.remove(start)
        for name in there.keys() - kept:
            (self._images / there[name]).unlink()
        return frozenset(starts)

    def add(self, start: int, images: Tensor) -> int:
        """Keep a chunk, whose first image has index `start`; the bytes of the disk it takes."""
        if self.kind == "npz":
            write_piece(self.pieces, start, images)
            return images.nbytes
        written = 0
        self._images.mkdir(exist_ok=True)
        for index, image in enumerate(images, start):
            target = self.targets[index]
            text = self.caption.image(index, target, self.written[target])
            picture = self._images / self._file(index)
            to_picture(image).save(picture, pnginfo=text)
            flush(picture)
            written += on_disk(picture)
        with whole(self.pieces / f"{start:08}.size") as file:
            file.write_text(f"{len(images)}", encoding="utf-8")
        return written

    def finish(self, record: dict[str, Any], *others: Path) -> Path:
        """Write grid, samples and `record` under their final names; the path of the grid.

        others: further files, which are moved along. Raises InputError if pieces are missing or are
        not of this job, and if something else has put one of the final names into the folder.
        """
        places = grid_places(self.targets)
        if self.kind == "png":
            self._check_pictures()
        with whole_folder(self.unfinished / WHOLE) as made:
            if self.kind == "npz":
                pieces = Pieces(self.folder, self.pieces, len(self.targets))
                classes = np.array([t if isinstance(t, int) else -1 for t in self.targets])
                pieces.write(made / "samples.npz", classes)
                rows = [pieces.images(chosen) for chosen in places.values()]
            else:
                rows = self._rows(places.values())
            names = self.caption.rows(self.written, places)
            text = self.caption.grid(self.written, places)
            picture = grid(rows, names, self.caption.heading)
            picture.save(made / "grid.png", pnginfo=text)
            counted = {"count": len(self.targets), **write_targets(self.targets)}
            contents = json.dumps({**record, "images": counted}, indent=1)
            (made / "samples.json").write_text(contents, encoding="utf-8")
            check_free(self.folder)
            for other in others:
                os.rename(other, made / other.name)
        publish(self.folder)
        return self.folder / "grid.png"

    @property
    def _images(self) -> Path:
        return self.pieces / IMAGES

    def _rows(self, chosen: Iterable[Sequence[int]]) -> list[Tensor]:
        """The pictures at the places of each row of the grid, all of one shape."""
        rows: list[Tensor] = []
        for places in chosen:
            shape = rows[0].shape[1:] if rows else None
            try:
                pictures = open_pictures([self._images / self._file(i) for i in places], shape)
                rows.append(pictures.chosen(range(len(pictures))))
            except DAMAGE as error:
                raise not_whole(self.folder, f"a picture is damaged ({one_line(error)})") from error
        return rows

    def _check_pictures(self) -> None:
        wanted = {self._file(index) for index in range(len(self.targets))}
        # Some file systems take letters with accents apart.
        there = {normalize("NFC", name) for name in _names(self._images)}
        if wanted != there:
            first = min(wanted ^ there)
            raise not_whole(
                self.folder, f"{first} {'is missing' if first in wanted else 'is not its own'}"
            )

    def _file(self, index: int) -> str:
        digits = max(4, len(str(len(self.targets) - 1)))
        return f"{index:0{digits}}-{self.words[self.targets[index]]}.png"


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []
