"""The points of a sweep on the disk: what is finished there is read and not made again.

    OUT/points/NAME/samples.npz, samples.json, grid.png    as `cgd sample --format npz` writes them
    OUT/points/NAME/report.json                            what was measured of them

NAME tells what differs, and a hash of the whole request and of the weights of its networks: other
samples never lie under the same name. A report says of itself by which features and against which
images it was made, and is made again where these are others.
"""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.by_class import ByClass
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.measured import DISTANCE, Measured
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.files import whole
from cgd_lightning.sampling.caption import Caption
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.files import SampleFolder
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.record import RECORDS, read_json, read_request, write_record
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.stored import DAMAGE, open_samples
from cgd_lightning.streams import Images

LEFT = ("samples.npz", "edits.npz", "grid.png", ".samples.json.tmp", ".report.json.tmp")
"""What a job that was killed while it finished leaves without its record."""


FORM = "3"
"""Of report.json and of how its numbers are made; it changes where these do."""


@dataclass(frozen=True)
class Folder:
    """The folder of one point, whose samples `request` makes. trust: what the files may name."""

    path: Path
    request: Request
    trust: Trust = NO_TRUST

    @property
    def made(self) -> bool:
        """Whether the samples are there.

        Raises InputError for a samples.json that is damaged or of another request.
        """
        return is_made(self.path, self.request, self.trust)

    def make(self, job: Job, progress: Any) -> None:
        """Make the samples, `progress` being called after each step of each chunk."""
        begin(self.path)
        device = next(job.denoiser.parameters()).device
        record = write_record(job.request, format="npz", device=str(device), compile=False)
        with claim(self.path, record["options"]) as own:
            caption = Caption.of(job.request, job.denoiser)
            files = SampleFolder(own, job.targets, job.written, "npz", caption)
            for start, chunk in job.chunks(progress=progress):
                files.add(start, chunk)
            files.finish(record)

    def samples(self, job: Job) -> tuple[Images, list[Target]]:
        """(the images, what each was asked to show), those of `job`.

        Raises InputError if they are damaged, or others; damage of images when they are read.
        """
        try:
            images, targets = open_samples(self.path, job.denoiser.data.shape)
        except InputError as error:
            raise damaged(self.path, error) from error
        if targets != list(job.targets):
            raise damaged(self.path, "samples of other targets")
        return images, targets

    def read_report(self, key: Mapping[str, str], images: Images, scale: float) -> Measured | None:
        """What was measured of `images`, if it was by and against what `key` says; None if not.

        Raises InputError if the report is of other samples than lie here now.
        """
        found = self._readable_report()
        if found is None:
            return None
        measured_by, measured = found
        own = self._measured_by(key, images)
        if measured_by | {"images": own["images"]} != own:
            return None
        if measured_by != own:
            raise damaged(self.path, "its samples are not those that were measured here")
        return Measured(len(images), scale, *measured)

    def _readable_report(
        self,
    ) -> tuple[dict[str, Any], tuple[dict[str, Estimate], ByClass]] | None:
        # Of a file that is damaged, changed or of an older form: samples are measured again.
        with suppress(*DAMAGE, RecursionError):
            kept = read_json(self.path / "report.json")
            if kept.pop("hash") != _hash_of(kept):
                return None
            estimates = {name: _estimate(e) for name, e in kept["estimates"].items()}
            distance = ByClass.from_plain(kept["distance"])
            if estimates[DISTANCE].value == distance.value:
                return kept["measured_by"], (estimates, distance)
        return None

    def write_report(self, measured: Measured, key: Mapping[str, str], images: Images) -> None:
        """Keep what was measured of `images`."""
        plain: dict[str, Any] = {
            "measured_by": self._measured_by(key, images),
            "estimates": {name: e.to_plain() for name, e in measured.estimates.items()},
            "distance": measured.distance.to_plain(),
        }
        plain["hash"] = _hash_of(plain)
        with whole(self.path / "report.json") as file:
            file.write_text(json.dumps(plain, indent=1, allow_nan=False), encoding="utf-8")

    def _measured_by(self, key: Mapping[str, str], images: Images) -> dict[str, str]:
        """What a report must say of itself: by what, of which samples, by which version."""
        own = {"images": hash_of(images), "point": self.path.name, "form": FORM}
        return {**key, **own, "version": version("cgd-lightning")}


def begin(path: Path) -> None:
    """Make the folder `path` of a point that is not made yet.

    It is this sweep's alone, so that what a killed one left in it is removed.
    """
    path.mkdir(parents=True, exist_ok=True)
    for name in LEFT:
        (path / name).unlink(missing_ok=True)
    forget(path)


def forget(path: Path) -> None:
    """Remove the pieces that a killed sweep left in the folder `path` of a point.

    It may have been killed when the point was made already. A link stays, and is refused.
    """
    shutil.rmtree(path / ".unfinished", ignore_errors=True)


def is_made(path: Path, request: Request, trust: Trust, option: str = "from") -> bool:
    """Whether the folder `path` of a point holds what `request` makes.

    option: of the record, as of `read_request`. Raises InputError for a record that is damaged or
    of another request.
    """
    if path.is_symlink() or (os.path.lexists(path) and not path.is_dir()):
        raise InputError(f"{path}: a link or a file in the place of a point; remove it")
    name, command = RECORDS[option]
    if not (path / name).is_file():
        return False
    try:
        found = read_request(path / name, trust, option)
    except InputError as error:
        raise damaged(path, error) from error
    if found != request:
        what = command.removeprefix("cgd ") + "s"
        raise InputError(
            f"{path}: holds {what} of another request than this point's; remove it, or give "
            "another --out"
        )
    return True


def damaged(path: Path, why: object) -> InputError:
    """What is said of the folder `path` of a point that cannot be read."""
    return InputError(f"{path}: damaged ({why}); remove it, and it is made again")


def _hash_of(plain: Mapping[str, Any]) -> str:
    """A hash of the contents, so that a report that was changed is known as such."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _estimate(kept: Mapping[str, Any]) -> Estimate:
    """The estimate of `to_plain`. Raises ValueError for what is no finite number."""
    for value in kept.values():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"{value!r} in a report")
    return Estimate(**kept)


def folder_name(settings: Mapping[str, str], scale: float, request: Request, weights: str) -> str:
    """The name of a point: what differs, and a hash of all that decides its samples."""
    words = [*(f"{name}-{value}" for name, value in settings.items()), f"scale-{scale:g}"]
    plain = json.dumps([request.to_plain(), weights], sort_keys=True, default=str)
    return f"{slug('_'.join(words))}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def slug(text: str) -> str:
    """At most 100 characters of `text`, as a name of files has them."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text)[:100].lstrip(".-_")
