"""Runs a sweep of edits: makes the points that are missing, has them judged, and names one.

    plan = EditSweep.of(request, scales=(2, 5, 10), strengths=(0.5, 0.9))
    result = sweep_edits(plan, EditImages("test", 100), data.split("test"), out="edit-sweep")
    result.chosen.request, result.advice

Images are read once, networks are loaded once, and noise is the same at every point. Interrupted
anywhere, the same call goes on where it was.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.targets import Target, hit
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.between import between_classes
from cgd_lightning.evaluation.edit_measure import edit_report
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.edit import said_of
from cgd_lightning.sampling.edit_again import Known
from cgd_lightning.sampling.edit_images import EditImages, Given
from cgd_lightning.sampling.edit_sweep import EditSweep, settings_of
from cgd_lightning.sampling.edit_sweep_points import EditPointFolder
from cgd_lightning.sampling.edit_sweep_result import EditPoint, EditSweepResult
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.job import Job, weights_hash
from cgd_lightning.sampling.pair import Pair, Say, find_pair, silent
from cgd_lightning.sampling.record import write_record
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import Loader, load_pair
from cgd_lightning.sampling.sweep import Variant, grouped
from cgd_lightning.sampling.sweep_kind import check_kind
from cgd_lightning.sampling.sweep_points import folder_name
from cgd_lightning.sampling.sweep_run import again
from cgd_lightning.sampling.write import Place
from cgd_lightning.sampling.write_edits import (
    find_judge,
    given_for,
    recorded_beside,
    told_in_full,
)

SHOWN = 8
"""Images that stand in the picture of all points."""

HELD = {"sweep": "the edits of cgd sweep"}
"""What the claim of a sweep's folder says: whichever sweep was killed there, another goes on."""


def sweep_edits(
    plan: EditSweep,
    wanted: EditImages,
    split: Dataset[ImageBatch] | None = None,
    judge: str | Path | None = None,
    out: str | Path = "edit-sweep",
    *,
    device: str | torch.device = "auto",
    trust: Trust | str | Sequence[str] = NO_TRUST,
    compile: bool = False,
    say: Say = silent,
    known: Known | None = None,
) -> EditSweepResult:
    """The images that are `wanted`, edited at every point of `plan` and judged.

    split: of the data set, where images of one are wanted. judge: a run or file; by default the
    newest beside the run that fits. out: the folder of the points. known: the images of an earlier
    edit, if they have to be these. Raises InputError as `resolve` and `given_for` do, without a
    judge, and for a folder that holds another sweep.
    """
    out = Path(out)
    check_kind(out, "edits")
    loader = Loader(
        pick_device(device) if isinstance(device, str) else device, Trust.of(trust), compile
    )
    groups = [(group, _pair(group[0], plan, say)) for group in grouped(plan.variants)]
    eye = _judge_of(judge, groups[0][1])
    for _, pair in groups[1:]:
        _judge_of(eye, pair)
    say(f"judge: {eye}")
    made: dict[int, list[EditPoint]] = {}
    run: _Run | None = None
    with claim(out, HELD), tqdm(unit="step", desc="sweep", total=0) as bar:
        for group, pair in groups:
            request, lenient = group[0].at(plan.scales[-1]), group[0].lenient
            job = load_pair(request, pair, loader, lenient, say)
            if run is None:
                given = given_for(job, wanted, split, say, known)
                network = checkpoints.load(
                    eye, CleanClassifier, device=loader.device, trust=loader.trust
                )
                run = _Run(plan, given, wanted, eye, network, out / "points", loader, bar)
                bar.total = sum(map(run.steps, plan.variants)) * len(plan.scales)
            ready = [(variant, run.editing(job, variant)) for variant in group]
            run.check_same([own for _, own in ready])
            run.check_something_to_flip()
            weights = weights_hash(job)
            for variant, own in ready:
                made[id(variant)] = list(run.points(variant, own, weights))
    assert run is not None
    points = tuple(point for variant in plan.variants for point in made[id(variant)])
    return run.result(points)


def _pair(variant: Variant, plan: EditSweep, say: Say) -> Pair:
    return find_pair(variant.at(plan.scales[-1]), variant.lenient, say)


def _judge_of(named: str | Path | None, pair: Pair) -> Path:
    """The file of the judge. Raises InputError if there is none, or it guides the edits itself."""
    found = find_judge(None if named is None else str(named), pair)
    if found is None:
        raise InputError(
            f"no judge beside {pair.path} fits, and a sweep needs one: the guide alone would say "
            "what it was asked; train one (cgd fit --config judge.yaml), or name one (--judge RUN)"
        )
    return found


@dataclass
class _Run:
    """What all points share: images, the judge, the folder. targets: what images become."""

    plan: EditSweep
    given: Given
    wanted: EditImages
    eye: Path
    judge: CleanClassifier
    under: Path
    loader: Loader
    bar: tqdm
    targets: Sequence[Target] = ()
    called: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.features = JudgeFeatures(self.judge, str(self.eye))
        masks = self.given.masks
        self.hashes = hash_of(self.given.images) + ("" if masks is None else hash_of(masks))
        count = len(self.given.images)
        self.places = torch.linspace(0, count - 1, min(count, SHOWN)).long()

    def steps(self, variant: Variant) -> int:
        """Of one point of a variant."""
        request = variant.request
        assert request.start is not None
        chunks = math.ceil(len(self.given.images) / request.batch_size)
        return chunks * request.start.count(request.sampler)

    def editing(self, job: Job, variant: Variant) -> list[Job]:
        """The jobs of a variant at all scales, by the networks of `job`."""
        names = (job.classifier or job.denoiser).class_names
        given, count = self.given, len(self.given.images)
        first = replace(job, request=told_in_full(job.request, given, names))
        first = first.editing(given.images, given.masks)
        request = replace(told_in_full(variant.request, given, names), num_samples=count)
        own = replace(variant, request=request)
        return [again(first, own, scale) for scale in self.plan.scales]

    def check_same(self, variants: Sequence[Sequence[Job]]) -> None:
        """Raises InputError if edits of these jobs, or of earlier ones, ask for other classes."""
        for jobs in variants:
            if not self.targets:
                self.targets, self.called = jobs[0].targets, self._called(jobs[0])
            if list(jobs[0].targets) != list(self.targets):
                raise InputError(
                    "these settings ask for different classes, and a point is named among edits "
                    "that ask for the same; sweep each of them in a folder of its own"
                )

    def check_something_to_flip(self) -> None:
        """Raises InputError if all images show what is asked already, says the judge."""
        before = self.features(self.given.images).classes
        if hit(before.cpu(), self.targets).all():
            raise InputError(
                "all images show what is asked already, says the judge: there is nothing to flip; "
                "give other images, or ask for another class"
            )

    def _called(self, job: Job) -> tuple[str, ...]:
        """What becomes of the images that are shown, in words: 7 to 8."""
        names = (job.classifier or job.denoiser).class_names
        labels, words = self.given.labels if names else None, []
        for place in self.places.tolist():
            before = "" if labels is None else f"{names[labels[place]]} "
            words.append(f"{before}to {job.written[job.targets[place]]}")
        return tuple(words)

    def points(self, variant: Variant, jobs: Sequence[Job], weights: str) -> Iterator[EditPoint]:
        """The points of a variant, made where they are missing. weights: a hash of them."""
        for scale, job in zip(self.plan.scales, jobs, strict=True):
            settings = settings_of(variant)
            name = folder_name(settings, scale, job.request, weights + self.hashes)
            folder = EditPointFolder(self.under / name, job.request, self.given, self.loader.trust)
            self.bar.set_postfix_str(f"{variant.name} scale {exact(scale)}".strip())
            if folder.made:
                self.bar.total -= self.steps(variant)
                self.bar.refresh()
            else:
                folder.make(job, self.judge, self._record(job.request), self.bar.update)
            yield self._measured(variant, scale, job, folder.path, folder.read())

    def _record(self, request: Request) -> dict[str, object]:
        place = Place(format="npz", device=str(self.loader.device))
        return write_record(request, **recorded_beside(self.wanted, self.eye, place))

    def _measured(
        self, variant: Variant, scale: float, job: Job, folder: Path, edited: Tensor
    ) -> EditPoint:
        said = said_of(job, edited).guide
        guide = None if said is None else said.flips
        report = edit_report(self.given.images, edited, self.targets, self.features, guide)
        assert report.flips is not None  # check_something_to_flip
        shown = edited[self.places].clone()
        return EditPoint(variant, scale, job.request, folder, report, report.flips, shown)

    def result(self, points: tuple[EditPoint, ...]) -> EditSweepResult:
        """What was found."""
        images, labels = self.given.images, self.given.labels
        apart = None
        if labels is not None:
            apart = between_classes(images, torch.tensor(labels), labels, self.targets)
        return EditSweepResult(
            points,
            self.plan.goal,
            apart,
            images[self.places],
            self.called,
            {"judge": str(self.eye), "judge_hash": self.features.hash},
        )
