"""Where the results of a job go, and what its processes agree on before they fill it."""

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import Claim, claim, holds_any
from cgd_lightning.sampling.cost import Cost, Finished
from cgd_lightning.sampling.files import new_folder
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.made import IMAGES_HASH, MASKS_HASH, differences, record_of
from cgd_lightning.sampling.pair import Say
from cgd_lightning.sampling.pieces import Chunks
from cgd_lightning.sampling.processes import Devices, Processes


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


OF_A_SWEEP = ("points", "sweep.json")
"""What a folder holds that belongs to a sweep, which would find no room beside another job."""


@contextmanager
def claimed(
    place: Place, under: Path, job: Mapping[str, Any], processes: Processes, say: Say
) -> Iterator[Claim]:
    """The folder of `place`, or a new one in `under`, for the `job` of this identity.

    Every process enters it. Where `place` names a folder, chunks that are finished stay in it if
    the job ends early, and the same job goes on with them; where all is there, nothing is done.
    Raises InputError and OSError as `claim` does, and unless all processes have read the same.
    """
    _check_same(job, processes)
    if place.out and any(os.path.lexists(Path(place.out, name)) for name in OF_A_SWEEP):
        raise InputError(f"--out {place.out}: holds a sweep; give another folder")
    if processes.rank > 0:
        yield processes.broadcast(None)
        return
    folder, keep = Path(place.out) if place.out else new_folder(under), place.out is not None
    with claim(folder, job, keep) as own:
        processes.broadcast(own)
        if own.made:
            what = record_of(job).removesuffix(".json")
            say(f"note: {folder} holds these {what} already; nothing is left to do")
        try:
            yield own
        except BaseException:
            if keep and holds_any(own.pieces):
                say(f"note: {folder} keeps the batches that are finished; the same command goes on")
            raise


def _check_same(job: Mapping[str, Any], processes: Processes) -> None:
    """Raises InputError unless all processes compute alike, from the same networks and images."""
    chosen = sorted({str(other) for other in processes.gather(job.get("precision"))})
    if len(chosen) > 1:
        raise InputError(
            f"the machines of several processes chose different precisions ({', '.join(chosen)}); "
            "give --precision fp32"
        )
    read = {name: job[name] for name in ("networks", IMAGES_HASH, MASKS_HASH) if name in job}
    for other in processes.gather(read):
        if differing := differences(other, read):
            raise InputError(
                f"several processes have read different files ({differing}), which were replaced "
                "meanwhile; give the same command again"
            )


def there_already(
    own: Claim,
    taken: Callable[[Chunks], frozenset[int]],
    job: Job,
    processes: Processes,
    say: Say,
) -> frozenset[int]:
    """The chunks of `job` that are in its folder, by their first images; `taken` looks there."""
    channels, height, width = job.denoiser.data.shape
    wanted = {start: (size, height, width, channels) for start, size in job.sizes().items()}
    there: frozenset[int] = processes.broadcast(taken(wanted) if processes.rank == 0 else None)
    if there:
        say(f"note: {own.folder}: {len(there)} of {len(job.starts())} batches are there already")
    return there


def cost_of(
    folder: Path,
    job: Job,
    place: Place,
    processes: Processes,
    skip: Collection[int],
    say: Say,
    finished: Finished | None = None,
) -> Cost:
    """What the job of this process still costs, of which the chunks in `skip` are there already.

    finished: of edits, as of `Cost`.
    """
    left, sizes = job.starts(skip=skip), job.sizes()
    images = sum(sizes[start] for start in left)
    return Cost(
        folder,
        place.format,
        math.prod(job.denoiser.data.shape),
        job.total,
        images,
        len(left[processes.rank :: processes.count]),
        processes.count,
        say,
        finished,
    )
