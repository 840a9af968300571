"""What all points of a sweep of edits share, and how one of them is made and measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.targets import Target, hit
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.between import between_classes
from cgd_lightning.evaluation.edit_measure import edit_report
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.edit import said_of
from cgd_lightning.sampling.edit_given import told_in_full
from cgd_lightning.sampling.edit_images import EditImages, Given
from cgd_lightning.sampling.edit_sweep import settings_of
from cgd_lightning.sampling.edit_sweep_points import EditPointFolder
from cgd_lightning.sampling.edit_sweep_result import EditPoint, EditSweepResult
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.place import Place
from cgd_lightning.sampling.record import write_record
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.sweep import Variant
from cgd_lightning.sampling.sweep_points import folder_name, forget
from cgd_lightning.sampling.sweep_run import again
from cgd_lightning.sampling.write_edits import recorded_beside

SHOWN = 8
"""Images that stand in the picture of all points."""


def edit_jobs(job: Job, variant: Variant, given: Given, scales: Sequence[float]) -> list[Job]:
    """The jobs of a variant at all `scales`, which edit `given` by the networks of `job`."""
    names, count = (job.classifier or job.denoiser).class_names, len(given.images)
    first = replace(job, request=told_in_full(job.request, given, names))
    first = first.editing(given.images, given.masks)
    request = replace(told_in_full(variant.request, given, names), num_samples=count)
    own = replace(variant, request=request)
    return [again(first, own, scale) for scale in scales]


@dataclass(frozen=True, eq=False)
class Common:
    """Images, what they are to become, and the judge, from the file `eye`."""

    given: Given
    wanted: EditImages
    eye: Path
    judge: CleanClassifier = field(repr=False)
    device: torch.device
    targets: Sequence[Target] = field(repr=False)

    @cached_property
    def features(self) -> JudgeFeatures:
        """The judge as one that measures."""
        return JudgeFeatures(self.judge, str(self.eye))

    @cached_property
    def hashes(self) -> str:
        """Of the images and the masks."""
        masks = self.given.masks
        return hash_of(self.given.images) + ("" if masks is None else hash_of(masks))

    @property
    def places(self) -> Tensor:
        """Of the images that are shown."""
        count = len(self.given.images)
        return torch.linspace(0, count - 1, min(count, SHOWN)).long()

    def check_same(self, job: Job) -> None:
        """Raises InputError if the edits of `job` ask for other classes than these."""
        if list(job.targets) != list(self.targets):
            raise InputError(
                "these settings ask for different classes, and a point is named among edits that "
                "ask for the same; sweep each of them in a folder of its own"
            )

    def check_something_to_flip(self) -> None:
        """Raises InputError if all images show what is asked already, says the judge."""
        before = self.features(self.given.images).classes
        if hit(before.cpu(), self.targets).all():
            raise InputError(
                "all images show what is asked already, says the judge: there is nothing to flip; "
                "give other images, or ask for another class"
            )

    def record(self, request: Request) -> dict[str, object]:
        """What edits.json says before its images."""
        place = Place(format="npz", device=str(self.device))
        return write_record(request, **recorded_beside(self.wanted, self.eye, place))

    def measured(
        self, variant: Variant, scale: float, job: Job, made: EditPointFolder
    ) -> EditPoint:
        """The point whose edits lie in the folder `made`."""
        edited = made.read()
        said = said_of(job, edited).guide
        guide = None if said is None else said.flips
        report = edit_report(self.given.images, edited, self.targets, self.features, guide)
        assert report.flips is not None  # check_something_to_flip
        shown = edited[self.places].clone()
        return EditPoint(variant, scale, job.request, made.path, report, report.flips, shown)

    def result(self, points: tuple[EditPoint, ...], goal: float, job: Job) -> EditSweepResult:
        """What was found. job: one whose edits ask for these classes."""
        images, labels = self.given.images, self.given.labels
        apart = None
        if labels is not None:
            apart = between_classes(images, torch.tensor(labels), labels, self.targets)
        by = {"judge": str(self.eye), "judge_hash": self.features.hash}
        return EditSweepResult(points, goal, apart, images[self.places], self._called(job), by)

    def _called(self, job: Job) -> tuple[str, ...]:
        """What becomes of the images that are shown, in words: 7 to 8."""
        names = (job.classifier or job.denoiser).class_names
        labels, words = self.given.labels if names else None, []
        for place in self.places.tolist():
            before = "" if labels is None else f"{names[labels[place]]} "
            words.append(f"{before}to {job.written[job.targets[place]]}")
        return tuple(words)


@dataclass(frozen=True, eq=False)
class Points:
    """Makes the points that are missing in the folder `under`, and has all of them measured."""

    common: Common
    scales: Sequence[float]
    under: Path
    trust: Trust
    bar: tqdm

    def steps(self, variant: Variant) -> int:
        """Of one point of a variant."""
        request = variant.request
        assert request.start is not None
        chunks = math.ceil(len(self.common.given.images) / request.batch_size)
        return chunks * request.start.count(request.sampler)

    def of(self, variant: Variant, jobs: Sequence[Job], weights: str) -> Iterator[EditPoint]:
        """The points of a variant, by its jobs at all scales. weights: a hash of them."""
        common, hashes = self.common, weights + self.common.hashes
        for scale, job in zip(self.scales, jobs, strict=True):
            name = folder_name(settings_of(variant), scale, job.request, hashes)
            folder = EditPointFolder(self.under / name, job.request, common.given, self.trust)
            self.bar.set_postfix_str(f"{variant.name} scale {exact(scale)}".strip())
            if folder.made:
                forget(folder.path)
                self.bar.total -= self.steps(variant)
                self.bar.refresh()
            else:
                folder.make(job, common.judge, common.record(job.request), self.bar.update)
            yield common.measured(variant, scale, job, folder)
