"""The samples of a request as files, made in one process or in many."""

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.runs import results_folder
from cgd_lightning.sampling.animation import Animation
from cgd_lightning.sampling.caption import Caption
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.files import SampleFolder, new_folder
from cgd_lightning.sampling.job import Job
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

    trust: what files may name. lenient: fields of the request that nobody asked for now, so that
    their going unused is no mistake. say: is told which files are taken, in every process. Raises
    InputError as `resolve` and `claim` do; then nothing is left behind.
    """
    pair = find_pair(request, lenient, say)
    processes = start_processes(place.device, place.trainer)
    loader = Loader(processes.device, trust, place.compile)
    job = load_pair(request, pair, loader, lenient, say)
    return _write(job, place, processes, results_folder(pair.path) / "samples")


def _write(job: Job, place: Place, processes: Processes, under: Path) -> Path | None:
    first, shard = processes.rank == 0, (processes.rank, processes.count)
    caption = Caption.of(job.request, job.denoiser)
    starts, steps = job.starts(shard), job.request.sampler.steps
    animation = _animation(job, caption) if place.animate and first else None
    # Before anything is written: settings that do not go together are said here.
    chunks = job.chunks(shard, progress=lambda: bar.update(), watch=animation)
    record = write_record(job.request, **place.recorded())
    folder = (Path(place.out) if place.out else new_folder(under)) if first else None
    with (
        claim(folder, record["options"]) if folder else nullcontext() as own,
        tqdm(total=len(starts) * steps, unit="step", desc="sampling", disable=not first) as bar,
    ):
        files = SampleFolder(
            processes.broadcast(own), job.targets, job.written, place.format, caption
        )
        for number, (start, chunk) in enumerate(chunks, start=1):
            files.add(start, chunk)
            bar.set_postfix_str(f"batch {number} of {len(starts)}")
        processes.barrier()
        if animation is not None:
            animation.save(files.unfinished / "animation.gif")
        return files.finish(record) if first else None


def _animation(job: Job, caption: Caption) -> Animation:
    shown = job.targets[: min(job.request.batch_size, job.total)]
    codec = job.denoiser.data.codec
    return Animation(shown, job.written, job.request.sampler.evaluations, codec, caption)
