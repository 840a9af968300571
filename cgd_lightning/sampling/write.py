"""The samples of a request as files, made in one process or in many."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.runs import results_folder
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.animation import Animation
from cgd_lightning.sampling.caption import Caption
from cgd_lightning.sampling.claim import Claim
from cgd_lightning.sampling.files import SampleFolder
from cgd_lightning.sampling.job import Job, weights_hash
from cgd_lightning.sampling.made import identity
from cgd_lightning.sampling.pair import Say, find_pair, silent
from cgd_lightning.sampling.place import Place, claimed, cost_of, there_already
from cgd_lightning.sampling.processes import Processes, start_processes
from cgd_lightning.sampling.record import write_record
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import Loader, load_pair


def write_samples(
    request: Request,
    place: Place,
    trust: Trust = NO_TRUST,
    lenient: Collection[str] = (),
    say: Say = silent,
) -> Path | None:
    """Make the samples of `request` and write them, with a progress bar.

    Gives the path of the grid, None in other processes than the first.

    Where `place` names a folder, chunks that are finished stay in it if the job ends early, and the
    same request goes on with them, on any number of processes; where all is there, nothing is done.

    trust: what files may name. lenient: fields of the request that nobody asked for now, so that
    their going unused is no mistake. say: is told which files are taken, in every process. Raises
    InputError as `resolve` and `claim` do; then nothing is left behind.
    """
    pair = find_pair(request, lenient, say)
    processes = start_processes(place.device, place.trainer)
    loader = Loader(processes.device, trust, place.compile)
    job = load_pair(request, pair, loader, lenient, say)
    # Before anything is written: settings that do not go together are said here.
    job.chunks()
    record = write_record(job.request, **place.recorded())
    record["networks"] = weights_hash(job)
    under = results_folder(pair.path) / "samples"
    with claimed(place, under, identity(record), processes, say) as own:
        if not own.made:
            return _fill(own, job, place, processes, record, say)
        if place.animate and not (own.folder / "animation.gif").is_file():
            raise InputError(
                f"--animate: {own.folder} holds these samples already, without animation.gif; "
                "give another folder"
            )
        return own.folder / "grid.png" if processes.rank == 0 else None


def _fill(
    own: Claim,
    job: Job,
    place: Place,
    processes: Processes,
    record: dict[str, Any],
    say: Say,
) -> Path | None:
    """Make what is missing in the folder; the path of the grid in the first process."""
    first, shard = processes.rank == 0, (processes.rank, processes.count)
    caption = Caption.of(job.request, job.denoiser)
    files = SampleFolder(own, job.targets, job.written, place.format, caption)
    taken = there_already(own, files.taken, job, processes, say)
    # The animation is of the first batch, which is then made once more.
    skip = taken - {0} if place.animate else taken
    cost = cost_of(own.folder, job, place, processes, skip, say)
    if first:
        cost.check()
    animation = _animation(job, caption) if place.animate and first else None
    starts, steps = job.starts(shard, skip), job.request.sampler.steps
    with cost.told_if_full(place.out is not None):
        with tqdm(
            total=len(starts) * steps, unit="step", desc="sampling", disable=not first
        ) as bar:
            chunks = job.chunks(shard, skip, progress=lambda: bar.update(), watch=animation)
            for number, (start, chunk) in enumerate(chunks, start=1):
                cost.add(len(chunk), files.add(start, chunk))
                bar.set_postfix_str(f"batch {number} of {len(starts)}")
            processes.barrier()
        if not first:
            return None
        if animation is None:
            return files.finish(record)
        film = files.unfinished / "animation.gif"
        animation.save(film)
        return files.finish(record, film)


def _animation(job: Job, caption: Caption) -> Animation:
    shown = job.targets[: min(job.request.batch_size, job.total)]
    codec = job.denoiser.data.codec
    return Animation(shown, job.written, job.request.sampler.evaluations, codec, caption)
