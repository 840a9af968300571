"""Runs a sweep: makes the points that are missing, measures them, and chooses.

    request = Request(ckpt="runs/diffusion", num_samples=1000)
    result = sweep(request, (1, 2, 5), measure, out="sweep")
    result.chosen.scale, result.advice

Interrupted anywhere, the same call goes on where it was. Samples are made and looked at batch by
batch.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.diffusion.guidance import Chain
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.by_class import check_enough
from cgd_lightning.evaluation.choice import choose
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.measured import Measured
from cgd_lightning.evaluation.scale_measure import ScaleMeasure
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.job import OF_FILES, Job, weights_hash
from cgd_lightning.sampling.pair import Say, find_pair, silent
from cgd_lightning.sampling.request import Request, RequestError
from cgd_lightning.sampling.resolve import Loader, load_pair
from cgd_lightning.sampling.sweep import SCALES, Sweep, Variant
from cgd_lightning.sampling.sweep_kind import check_kind
from cgd_lightning.sampling.sweep_points import Folder, folder_name, forget
from cgd_lightning.sampling.sweep_result import Point, SweepResult

Real = Callable[[Sequence[Target]], Measured | None]
"""What is measured of as many real images of these targets; None if there are not so many."""

HELD = {"sweep": "the points of cgd sweep"}
"""What the claim of a sweep's folder says: whichever sweep was killed there, another goes on."""


def sweep(
    request: Request | Sweep,
    scales: Sequence[float] = SCALES,
    measure: Measure | ScaleMeasure | None = None,
    axes: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path = "sweep",
    *,
    real: Real | None = None,
    device: str | torch.device = "auto",
    trust: Trust | str | Sequence[str] = NO_TRUST,
    compile: bool = False,
    say: Say = silent,
    write: Callable[[SweepResult], Any] | None = None,
) -> SweepResult:
    """The samples of `request` at `scales`, and for all values of `axes`, made and measured.

    measure: what looks at the samples. axes: as of `Sweep.of`. out: the folder of the points.
    real: what is measured of real training images of these targets. write: is given the result
    while no other sweep can be in the folder. Raises InputError as `resolve`
    and `ScaleMeasure` do, and for a folder that holds other samples.
    """
    look = _look(measure)
    plan = request if isinstance(request, Sweep) else Sweep.of(request, scales, axes)
    device = pick_device(device) if isinstance(device, str) else device
    loader = Loader(device, Trust.of(trust), compile)
    check_kind(Path(out), "samples")
    made: dict[int, list[Point]] = {}
    with claim(Path(out), HELD, keep=True), _bar(plan) as bar:
        for group in plan.groups():
            job = _load(group[0], plan, loader, say)
            weights = weights_hash(job)
            for variant in group:
                own = again(job, variant, plan.scales[-1])
                _check_enough(own.targets)
                look.check(own.targets)
            for variant in group:
                made[id(variant)] = list(
                    _points(variant, plan, job, weights, look, Path(out) / "points", loader, bar)
                )
        result = _result(plan, made, look, real)
        if write is not None:
            write(result)
    return result


def _result(
    plan: Sweep, made: Mapping[int, list[Point]], look: ScaleMeasure, real: Real | None
) -> SweepResult:
    points = [made[id(variant)] for variant in plan.variants]
    choices = tuple(choose([point.measured for point in one]) for one in points)
    every = tuple(point for one in points for point in one)
    result = SweepResult(every, choices, look.notes, measured_by=look.key)
    if real is None or not result.comparable:
        return result
    return replace(result, real=real(every[0].targets))


def _look(measure: Measure | ScaleMeasure | None) -> ScaleMeasure:
    if measure is None:
        raise TypeError("sweep: wanted a Measure, of features, real images and their labels")
    return ScaleMeasure(measure) if isinstance(measure, Measure) else measure


def _load(variant: Variant, plan: Sweep, loader: Loader, say: Say) -> Job:
    """The job of a variant at its largest scale, with all networks that any scale wants."""
    request = variant.at(plan.scales[-1])
    return load_pair(
        request, find_pair(request, variant.lenient, say), loader, variant.lenient, say
    )


def _points(
    variant: Variant,
    plan: Sweep,
    job: Job,
    weights: str,
    look: ScaleMeasure,
    under: Path,
    loader: Loader,
    bar: tqdm,
) -> Iterator[Point]:
    """The points of a variant, made and measured where that is not done."""
    for scale in plan.scales:
        own = again(job, variant, scale)
        name = folder_name(variant.settings, scale, own.request, weights)
        folder = Folder(under / name, own.request, loader.trust)
        bar.set_postfix_str(f"{variant.name} scale {scale:g}".strip())
        if folder.made:
            forget(folder.path)
            bar.total -= _steps(own.request)
            bar.refresh()
        else:
            folder.make(own, bar.update)
        images, targets = folder.samples(own)
        measured = folder.read_report(look.key, images, scale)
        if measured is None:
            bar.set_postfix_str(f"{variant.name} scale {scale:g}, measuring".strip())
            measured = look(images, targets, scale)
            folder.write_report(measured, look.key, images)
        yield Point(variant, own.request, own.targets, folder.path, measured)


def _check_enough(targets: Sequence[Target]) -> None:
    try:
        check_enough(targets)
    except InputError as error:
        raise RequestError(f" {error}", "num_samples") from error


def again(job: Job, variant: Variant, scale: float) -> Job:
    """The job of a variant at a scale, by the networks of `job`."""
    request = variant.request
    if Chain(request.rules).names:
        # Variants of the same networks have the same guidance; the job knows where its models are.
        request = replace(request, guidance=job.request.guidance)
    wanted = vars(replace(request, scale=scale).scaled())
    return job.again(**{name: value for name, value in wanted.items() if name not in OF_FILES})


def _steps(request: Request) -> int:
    return math.ceil(request.num_samples / request.batch_size) * request.sampler.steps


def _bar(plan: Sweep) -> tqdm:
    """Shows how much is left of all points."""
    total = sum(_steps(variant.request) for variant in plan.variants) * len(plan.scales)
    return tqdm(total=total, unit="step", desc="sweep")
