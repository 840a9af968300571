"""The points of a sweep of edits on the disk: what is finished there is not made again.

    OUT/points/NAME/edits.npz, edits.json, grid.png    as `cgd edit --format npz` writes them

NAME tells what differs, and a hash of the whole request, the images and masks, and the weights of
the networks: other edits never lie under the same name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.edit_files import EditFolder
from cgd_lightning.sampling.edit_heading import heading_of
from cgd_lightning.sampling.edit_images import Given
from cgd_lightning.sampling.edit_source import read_edits
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.sweep_points import begin, damaged, is_made
from cgd_lightning.sampling.write_edits import finish


@dataclass(frozen=True)
class EditPointFolder:
    """The folder of one point, whose edits of `given` images `request` makes.

    trust: what the files may name.
    """

    path: Path
    request: Request
    given: Given
    trust: Trust = NO_TRUST

    @property
    def made(self) -> bool:
        """Whether the edits are there. Raises InputError as `is_made` does."""
        return is_made(self.path, self.request, self.trust, "again")

    def make(
        self,
        job: Job,
        judge: CleanClassifier,
        record: dict[str, Any],
        progress: Callable[[], Any],
    ) -> None:
        """Make the edits, `progress` being called after each step of each chunk.

        judge: what it says of each image stands in edits.json too. record: of the request.
        """
        begin(self.path)
        with claim(self.path, record["options"]) as own:
            files = EditFolder(own, self.given, "npz")
            for index, chunk in job.chunks(progress=progress):
                files.add(index, chunk)
            finish(job, files, judge, record, heading_of(self.request))

    def read(self) -> Tensor:
        """The edited images, uint8 (N, C, H, W), of those that are given.

        Raises InputError if they are damaged, or others.
        """
        images = self.given.images
        try:
            stored = read_edits(self.path, image_shape=images.shape[1:], option="point")
        except InputError as error:
            raise damaged(self.path, error) from error
        if not torch.equal(stored.originals, images):
            raise damaged(self.path, "edits of other images")
        return stored.edited
