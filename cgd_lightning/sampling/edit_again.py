"""The images of an earlier `cgd edit`, by their hashes, so that other ones are known as such."""

import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cgd_lightning.checkpoints import schema
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.edit_images import Given
from cgd_lightning.sampling.record import read_json


@dataclass(frozen=True)
class Known:
    """The images and masks that an edits.json called `name` tells of, as hashes.

    None where there were no masks, or an older file says nothing of images.
    """

    name: str
    images: str | None
    masks: str | None

    @classmethod
    def of(cls, name: str) -> "Known":
        """What the edits.json called `name` says. Raises InputError for what is none."""
        try:
            said = schema.mapping(read_json(Path(os.path.realpath(name))).get("images", {}))
            texts = [
                None if said.get(key) is None else schema.text(said[key], 64)
                for key in ("hash", "masks_hash")
            ]
        except (TypeError, ValueError, RecursionError, OSError) as error:
            raise InputError(f"--again {name}: not an edits.json written by cgd edit") from error
        return cls(name, *texts)

    def check(self, given: Given) -> None:
        """Raises InputError for images, or masks, that are others."""
        if self.images is None:
            return
        self._check("images", self.images, given.images)
        self._check("masks", self.masks, given.masks)

    def _check(self, what: str, there: str | None, now: Tensor | None) -> None:
        found = None if now is None else hash_of(now)
        if found != there:
            option = "--images" if what == "images" else "--mask"
            raise InputError(
                f"--again {self.name}: {what} are not those of it, of hash {there or 'none'} there "
                f"and {found or 'none'} now; bring these back, or give {option}, too, to edit "
                "what lies there now"
            )
