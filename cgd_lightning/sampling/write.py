"""The samples of a request as files, made in one process or in many."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.runs import results_folder
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.animation import Animation
from cgd_lightning.sampling.caption import Caption
from cgd_lightning.sampling.claim import Claim, claim, holds_any
from cgd_lightning.sampling.cost import Cost
from cgd_lightning.sampling.files import SampleFolder, new_folder
from cgd_lightning.sampling.job import Job, weights_hash
from cgd_lightning.sampling.pair import Say, find_pair, silent
from cgd_lightning.sampling.processes import Devices, Processes, start_processes
from cgd_lightning.sampling.record import write_record
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import Loader, load_pair


@dataclass(frozen=True)
class Place:
    """Where and how samples are made and written; none of it changes them.

    Args:
        out: folder for the results; a new one under the run if none is given.
        format: images as PNG files (png) or as one samples.npz (npz).
        animate: also write animation.gif, x_t and the predicted image step by step.
        device: where to compute: auto, cpu, cuda, cuda:1, mps, ...
        compile: torch.compile the networks.
        trainer: devices that share the work, driven by Lightning.
    """

    out: str | None = None
    format: Literal["png", "npz"] = "png"
    animate: bool = False
    device: str = "auto"
    compile: bool = False
    trainer: Devices = Devices()  # noqa: RUF009  (a value)

    def recorded(self) -> dict[str, object]:
        """What samples.json says of it."""
        return {"format": self.format, "device": self.device, "compile": self.compile}


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
    record["networks"] = _networks(job, processes)
    if processes.rank > 0:
        _fill(processes.broadcast(None), job, place, processes, record)
        return None
    folder = Path(place.out) if place.out else new_folder(results_folder(pair.path) / "samples")
    wanted = {**record["options"], "networks": record["networks"]}
    keep = place.out is not None
    with claim(folder, wanted, keep) as own:
        processes.broadcast(own)
        if own.made:
            if place.animate and not (folder / "animation.gif").is_file():
                raise InputError(
                    f"--animate: {folder} holds these samples already, without animation.gif; "
                    "give another folder"
                )
            say(f"note: {folder} holds these samples already; nothing is left to do")
            return folder / "grid.png"
        try:
            return _fill(own, job, place, processes, record, say)
        except BaseException:
            if keep and holds_any(own.pieces):
                say(f"note: {folder} keeps the batches that are finished; the same command goes on")
            raise


def _networks(job: Job, processes: Processes) -> str:
    """The hash of the networks. Raises InputError unless all processes have read the same."""
    networks = weights_hash(job)
    if any(other != networks for other in processes.gather(networks)):
        raise InputError(
            "the networks were replaced while several processes read them; give the same command "
            "again"
        )
    return networks


def _fill(
    own: Claim,
    job: Job,
    place: Place,
    processes: Processes,
    record: dict[str, Any],
    say: Say = silent,
) -> Path | None:
    """Make what is missing in the folder; the path of the grid in the first process."""
    if own.made:
        return None
    first, shard = processes.rank == 0, (processes.rank, processes.count)
    caption = Caption.of(job.request, job.denoiser)
    files = SampleFolder(own, job.targets, job.written, place.format, caption)
    taken = processes.broadcast(files.taken() if first else None)
    if taken:
        say(f"note: {own.folder}: {len(taken)} of {len(job.starts())} batches are there already")
    # The animation is of the first batch, which is then made once more.
    skip = taken - {0} if place.animate else taken
    cost = _cost(own.folder, job, place, processes, skip, say)
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


def _cost(
    folder: Path,
    job: Job,
    place: Place,
    processes: Processes,
    skip: Collection[int],
    say: Say,
) -> Cost:
    """What the job of this process still costs, of which the chunks in `skip` are there already."""
    left = job.starts(skip=skip)
    size = min(job.request.batch_size, job.total)
    images = sum(min(size, job.total - start) for start in left)
    return Cost(
        folder,
        place.format,
        math.prod(job.denoiser.data.shape),
        job.total,
        images,
        len(left[processes.rank :: processes.count]),
        processes.count,
        say,
    )


def _animation(job: Job, caption: Caption) -> Animation:
    shown = job.targets[: min(job.request.batch_size, job.total)]
    codec = job.denoiser.data.codec
    return Animation(shown, job.written, job.request.sampler.evaluations, codec, caption)
