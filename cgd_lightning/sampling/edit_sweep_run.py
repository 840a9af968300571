"""Runs a sweep of edits: makes the points that are missing, has them judged, and names one.

    plan = EditSweep.of(request, scales=(2, 5, 10), strengths=(0.5, 0.9))
    result = sweep_edits(plan, EditImages("test", 100), data.split("test"), out="edit-sweep")
    result.chosen.request, result.advice

Images are read once, networks are loaded once, and noise is the same at every point. Interrupted
anywhere, the same call goes on where it was.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.edit_again import Known
from cgd_lightning.sampling.edit_given import given_for
from cgd_lightning.sampling.edit_images import EditImages
from cgd_lightning.sampling.edit_sweep import EditSweep
from cgd_lightning.sampling.edit_sweep_common import Common, Points, edit_jobs
from cgd_lightning.sampling.edit_sweep_result import EditPoint, EditSweepResult
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.job import Job, weights_hash
from cgd_lightning.sampling.pair import Pair, Say, find_pair, silent
from cgd_lightning.sampling.resolve import Loader, load_pair
from cgd_lightning.sampling.sweep import Variant, grouped
from cgd_lightning.sampling.sweep_kind import check_kind
from cgd_lightning.sampling.write_edits import find_judge

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
    write: Callable[[EditSweepResult], Any] | None = None,
) -> EditSweepResult:
    """The images that are `wanted`, edited at every point of `plan` and judged.

    split: of the data set, where images of one are wanted. judge: a run or file; by default the
    newest beside the run that fits. out: the folder of the points. known: the images of an earlier
    edit, if they have to be these. write: is given the result while no other sweep can be in the
    folder. Raises InputError as `resolve` and `given_for` do, without a judge, and for a folder
    that holds another sweep.
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
    jobs = (_load(group[0], pair, plan, loader, say) for group, pair in groups)
    made: dict[int, list[EditPoint]] = {}
    with claim(out, HELD, keep=True), tqdm(unit="step", desc="sweep", total=0) as bar:
        first = next(jobs)
        given = given_for(first, wanted, split, say, known)
        network = checkpoints.load(eye, CleanClassifier, device=loader.device, trust=loader.trust)
        asked = edit_jobs(first, groups[0][0][0], given, plan.scales)[0]
        common = Common(given, wanted, eye, network, loader.device, asked.targets)
        points = Points(common, plan.scales, out / "points", loader.trust, bar)
        bar.total = sum(map(points.steps, plan.variants)) * len(plan.scales)
        for (group, _), job in zip(groups, chain([first], jobs), strict=True):
            ready = [(variant, edit_jobs(job, variant, given, plan.scales)) for variant in group]
            for _, own in ready:
                common.check_same(own[0])
            common.check_something_to_flip()
            weights = weights_hash(job)
            for variant, own in ready:
                made[id(variant)] = list(points.of(variant, own, weights))
        every = tuple(point for variant in plan.variants for point in made[id(variant)])
        result = common.result(every, plan.goal, asked)
        if write is not None:
            write(result)
    return result


def _pair(variant: Variant, plan: EditSweep, say: Say) -> Pair:
    return find_pair(variant.at(plan.scales[-1]), variant.lenient, say)


def _load(variant: Variant, pair: Pair, plan: EditSweep, loader: Loader, say: Say) -> Job:
    """The job of a variant at the largest scale, with all networks that any scale wants."""
    return load_pair(variant.at(plan.scales[-1]), pair, loader, variant.lenient, say)


def _judge_of(named: str | Path | None, pair: Pair) -> Path:
    """The file of the judge. Raises InputError if there is none, or it guides the edits itself."""
    found = find_judge(None if named is None else str(named), pair)
    if found is None:
        raise InputError(
            f"no judge beside {pair.path} fits, and a sweep needs one: the guide alone would say "
            "what it was asked; train one (cgd fit --config judge.yaml), or name one (--judge RUN)"
        )
    return found
