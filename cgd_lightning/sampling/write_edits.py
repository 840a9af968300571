"""The edits of a request as files, made in one process or in many."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.runs import results_folder
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import hash_as_judge
from cgd_lightning.sampling.cost import Cost
from cgd_lightning.sampling.edit import said_of
from cgd_lightning.sampling.edit_again import Known
from cgd_lightning.sampling.edit_facts import facts_of, summary_of, told
from cgd_lightning.sampling.edit_files import EditFolder
from cgd_lightning.sampling.edit_given import given_for, told_in_full
from cgd_lightning.sampling.edit_heading import heading_of
from cgd_lightning.sampling.edit_images import SPLITS, EditImages
from cgd_lightning.sampling.edits import Edits
from cgd_lightning.sampling.job import Job, weights_hash
from cgd_lightning.sampling.made import identity
from cgd_lightning.sampling.pair import Pair, Say, find_pair, silent
from cgd_lightning.sampling.place import Place, claimed, cost_of, there_already
from cgd_lightning.sampling.processes import Processes, start_processes
from cgd_lightning.sampling.record import write_record
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import Loader, load_pair


@dataclass(frozen=True)
class Written:
    """What was written: the path of the sheet, and in one line what became of the images.

    summary: empty where all was there already.
    """

    sheet: Path
    summary: str = ""


def write_edits(
    request: Request,
    wanted: EditImages,
    place: Place,
    judge: str | None = None,
    split: Dataset[ImageBatch] | None = None,
    trust: Trust = NO_TRUST,
    lenient: Collection[str] = (),
    say: Say = silent,
    known: Known | None = None,
) -> Written | None:
    """Edit the images that are `wanted` as `request` says, with a progress bar.

    Gives None in other processes than the first. Where `place` names a folder, batches that are
    finished stay in it if the job ends early, and the same edits of the same images go on with
    them; where all is there, nothing is done. Labels of the request, and the source of its
    start, may be `NEXT` and `TRUE`, where the classes of the images are known.

    judge: a run or file; by default the newest beside the run that fits. split: of the data set,
    where images of one are wanted. lenient: fields of the request that nobody asked for now. known:
    the images of an earlier edit, if they have to be these. Raises InputError as `resolve`,
    `given_for` and `claim` do.
    """
    pair = find_pair(request, lenient, say)
    eye = find_judge(judge, pair)
    say(f"judge: {eye}" if eye else NO_JUDGE)
    processes = start_processes(place.device, place.trainer)
    job = load_pair(request, pair, Loader(processes.device, trust, place.compile), lenient, say)
    names = (job.classifier or job.denoiser).class_names
    given = given_for(job, wanted, split, say, known)
    asked = told_in_full(job.request, given, names)
    job = replace(job, request=asked).editing(given.images, given.masks)
    network = None
    if eye and processes.rank == 0:
        network = checkpoints.load(eye, CleanClassifier, device=processes.device, trust=trust)
    record = write_record(job.request, **recorded_beside(wanted, eye, place))
    record["networks"] = weights_hash(job)
    record["judge_hash"] = None if network is None else hash_as_judge(network)
    own_job = identity({**record, "images": given.hashes})
    # Before anything is written: settings that do not go together are said here.
    job.chunks()
    with claimed(place, results_folder(pair.path) / "edits", own_job, processes, say) as own:
        if own.made:
            return Written(own.folder / "grid.png") if processes.rank == 0 else None
        files = EditFolder(own, given, place.format)
        taken = there_already(own, files.taken, job, processes, say)
        cost = cost_of(own.folder, job, place, processes, taken, say, files.of_one)
        with cost.told_if_full(place.out is not None):
            _fill(files, job, taken, cost, processes)
            if processes.rank > 0:
                return None
            sheet, edits = finish(job, files, network, record, heading_of(request))
    return Written(sheet, told(summary_of(edits)))


NO_JUDGE = (
    "judge: none fits beside the run, so that the guide alone says what the images show; train one "
    "(cgd fit --config judge.yaml) or name one (--judge RUN)"
)


def find_judge(named: str | None, pair: Pair) -> Path | None:
    """The file of the judge; None if there is none beside the run, or it is the guide itself.

    Raises InputError for one that is named and does not fit.
    """
    mine = (pair.path, pair.card)
    found = checkpoints.find_judge(*mine) if named is None else checkpoints.find(named)
    if found is None:
        return None
    checkpoints.check_judge((found, checkpoints.read(found)), mine)
    guide = pair.classifier
    if not (isinstance(guide, Path) and guide.samefile(found)):
        return found
    if named is not None:
        raise InputError(f"--judge {named}: guides these edits itself; give another one")
    return None


def recorded_beside(wanted: EditImages, judge: Path | None, place: Place) -> dict[str, Any]:
    """What edits.json says of the options beside the request."""
    images = str(wanted.images)
    return {
        "images": images if images in SPLITS else str(Path(images).absolute()),
        "mask": None if wanted.mask is None else str(Path(wanted.mask).absolute()),
        "keep": wanted.keep,
        "resize": wanted.resize,
        "judge": None if judge is None else str(judge.absolute()),
        **place.recorded(),
    }


def _fill(
    files: EditFolder, job: Job, taken: frozenset[int], cost: Cost, processes: Processes
) -> None:
    """Make the chunks that are not `taken`, until all processes have made theirs."""
    first, shard = processes.rank == 0, (processes.rank, processes.count)
    if first:
        cost.check()
    start, starts = job.request.start, job.starts(shard, taken)
    steps = 0 if start is None else start.count(job.request.sampler)
    with tqdm(total=len(starts) * steps, unit="step", desc="editing", disable=not first) as bar:
        chunks = job.chunks(shard, taken, progress=lambda: bar.update())
        for number, (index, chunk) in enumerate(chunks, start=1):
            files.add(index, chunk)
            cost.add(len(chunk), chunk.nbytes)
            bar.set_postfix_str(f"batch {number} of {len(starts)}")
        processes.barrier()


def finish(
    job: Job,
    files: EditFolder,
    judge: CleanClassifier | None,
    record: dict[str, Any],
    heading: str,
) -> tuple[Path, Edits]:
    """(path of the sheet, edits) of a job whose chunks are all in `files`.

    record: of the job. heading: of the sheet.
    """
    edits = said_of(job, files.edited())
    edits = edits if judge is None else edits.judged(judge, job.request.batch_size)
    known = (job.classifier or job.denoiser).class_names
    guide = None if job.classifier is None else hash_as_judge(job.classifier)
    facts = {**record, "guide_hash": guide, **facts_of(edits, files.given, job.written, known)}
    return files.finish(facts, edits, heading), edits
