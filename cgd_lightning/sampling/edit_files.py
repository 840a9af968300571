"""The folder that `cgd edit` fills.

    originals/  edited/  INDEX-NAME.png, or both and more in edits.npz
    differences/         what was added: red brighter, blue darker, white unchanged
    changes/             its size, as grey levels
    masks/               white where an image might change, if there were masks
    grid.png  edits.json

Files get their final names when all are whole, and edits.json comes last.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cgd_lightning.evaluation.plots import to_picture
from cgd_lightning.files import whole
from cgd_lightning.sampling.claim import Claim, check_free
from cgd_lightning.sampling.edit_images import Given
from cgd_lightning.sampling.edit_maps import absolute_maps, full_colour, sheet, signed_maps
from cgd_lightning.sampling.edits import Edits
from cgd_lightning.sampling.file_names import file_word
from cgd_lightning.sampling.pieces import read_pieces, write_piece

WHITE = 255


class EditFolder:
    """Takes uint8 chunks (B, C, H, W) from any process, and finishes when all are there.

    claim: the folder, which the job's first process holds. given: what is edited.
    """

    def __init__(self, claim: Claim, given: Given, kind: Literal["png", "npz"]) -> None:
        self.folder, self.pieces, self.unfinished = claim.folder, claim.pieces, claim.pieces.parent
        self.given, self.kind = given, kind

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
        made = self._arrays(edits) if self.kind == "npz" else self._pictures(edits)
        sheet(edits, heading).save(self.unfinished / "grid.png")
        with whole(self.unfinished / "edits.json") as file:
            text = json.dumps(facts, indent=1, allow_nan=False)
            file.write_text(text, encoding="utf-8")

        # From here on files only change their names, which wants no room on the disk.
        check_free(self.folder)
        for name in (*made, "grid.png", "edits.json"):
            os.rename(self.unfinished / name, self.folder / name)
        return self.folder / "grid.png"

    def _pictures(self, edits: Edits) -> list[str]:
        """Write all pictures, a folder a kind; the names of these folders."""
        full, masks = full_colour(edits), self.given.masks
        kinds = {
            "originals": edits.originals,
            "edited": edits.edited,
            "differences": signed_maps(edits.difference, full),
            "changes": absolute_maps(edits.difference),
        }
        if masks is not None:
            kinds["masks"] = WHITE * masks.expand(len(edits.originals), -1, -1, -1).byte()
        names = [self._file(index) for index in range(len(self.given.names))]
        for kind, images in kinds.items():
            (self.unfinished / kind).mkdir()
            for name, image in zip(names, images, strict=True):
                to_picture(image).save(self.unfinished / kind / name)
        return list(kinds)

    def _arrays(self, edits: Edits) -> list[str]:
        """Write edits.npz, whose images lie as (N, H, W, C)."""
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
        np.savez(self.unfinished / "edits.npz", **stored)  # type: ignore[arg-type]  # allow_pickle is none of these
        return ["edits.npz"]

    def _file(self, index: int) -> str:
        digits = max(4, len(str(len(self.given.names) - 1)))
        stem = file_word(Path(self.given.names[index]).stem)
        return f"{index:0{digits}}-{stem}.png"
