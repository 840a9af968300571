"""The folder that `cgd edit` fills.

    originals/  edited/  INDEX-NAME.png, or both and more in edits.npz
    differences/         what was added: red brighter, blue darker, white unchanged
    changes/             its size, as grey levels
    masks/               white where an image might change, if there were masks
    grid.png  edits.json

Files get their final names when all are whole, and edits.json comes last.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cgd_lightning.evaluation.plots import to_picture
from cgd_lightning.folders import whole_folder
from cgd_lightning.sampling.claim import WHOLE, Claim, publish
from cgd_lightning.sampling.cost import Finished
from cgd_lightning.sampling.edit_images import Given
from cgd_lightning.sampling.edit_maps import absolute_maps, full_colour, sheet, signed_maps
from cgd_lightning.sampling.edits import Edits
from cgd_lightning.sampling.file_names import file_word
from cgd_lightning.sampling.made import KINDS, MASKS, check_free
from cgd_lightning.sampling.pieces import Chunks, chunks_there, read_pieces, write_piece

WHITE = 255

FILE = 4096
"""Bytes that the smallest file takes, on most disks."""


class EditFolder:
    """Takes uint8 chunks (B, C, H, W) from any process, and finishes when all are there.

    claim: the folder, which the job's first process holds. given: what is edited.
    """

    def __init__(self, claim: Claim, given: Given, kind: Literal["png", "npz"]) -> None:
        self.folder, self.pieces, self.unfinished = claim.folder, claim.pieces, claim.pieces.parent
        self.given, self.kind = given, kind

    @property
    def of_one(self) -> Finished:
        """What one image takes in edits.npz, and at most as pictures."""
        images, masks = self.given.images, self.given.masks
        one = images[0].nbytes
        if self.kind == "npz":  # a difference has 16 bits
            return Finished(4 * one + (0 if masks is None else masks[0].nbytes), 0)
        coloured = 3 * one // len(images[0])  # as the difference is
        files = len(KINDS) + (masks is not None)
        return Finished(files * max(coloured, FILE), files)

    def taken(self, wanted: Chunks) -> frozenset[int]:
        """The chunks of those `wanted` that are there already, by their first images.

        What else an earlier job left is removed.
        """
        return frozenset(chunks_there(self.folder, self.pieces, wanted, "npz"))

    def add(self, start: int, images: Tensor) -> None:
        """Keep a chunk, whose first image has index `start`."""
        write_piece(self.pieces, start, images)

    def edited(self) -> Tensor:
        """All edited images, uint8 (N, C, H, W). Raises InputError if pieces are missing."""
        array = read_pieces(self.folder, self.pieces, len(self.given.names))
        return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()

    def finish(self, facts: dict[str, Any], edits: Edits, heading: str) -> Path:
        """Write everything under its final name; the path of the sheet.

        facts: what edits.json says. Raises InputError if something else has put one of the
        final names into the folder.
        """
        with whole_folder(self.unfinished / WHOLE) as made:
            if self.kind == "npz":
                self._arrays(made, edits)
            else:
                self._pictures(made, edits)
            sheet(edits, heading).save(made / "grid.png")
            text = json.dumps(facts, indent=1, allow_nan=False)
            (made / "edits.json").write_text(text, encoding="utf-8")
            check_free(self.folder)
        publish(self.folder)
        return self.folder / "grid.png"

    def _pictures(self, made: Path, edits: Edits) -> None:
        """Write all pictures into `made`, a folder a kind."""
        full, masks = full_colour(edits), self.given.masks
        differences = signed_maps(edits.difference, full), absolute_maps(edits.difference)
        kinds = dict(zip(KINDS, (edits.originals, edits.edited, *differences), strict=True))
        if masks is not None:
            kinds[MASKS] = WHITE * masks.expand(len(edits.originals), -1, -1, -1).byte()
        names = [self._file(index) for index in range(len(self.given.names))]
        for kind, images in kinds.items():
            (made / kind).mkdir()
            for name, image in zip(names, images, strict=True):
                to_picture(image).save(made / kind / name)

    def _arrays(self, made: Path, edits: Edits) -> None:
        """Write edits.npz into `made`, whose images lie as (N, H, W, C)."""
        arrays = {"originals": edits.originals, "edited": edits.edited}
        arrays["difference"] = edits.difference
        if self.given.masks is not None:
            arrays["masks"] = self.given.masks.expand(len(edits.originals), -1, -1, -1)
        stored = {
            name: np.ascontiguousarray(array.permute(0, 2, 3, 1).numpy())
            for name, array in arrays.items()
        }
        if self.given.labels is not None:
            stored["labels"] = np.array(self.given.labels)
        np.savez(made / "edits.npz", **stored)  # type: ignore[arg-type]  # allow_pickle is none of these

    def _file(self, index: int) -> str:
        digits = max(4, len(str(len(self.given.names) - 1)))
        stem = file_word(Path(self.given.names[index]).stem)
        return f"{index:0{digits}}-{stem}.png"
