"""Edits of images from Python: a request with a start, and the images.

edits = edit(Request("runs/diffusion", labels="9", start=Start(0.6)), images)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.sampling.edits import Edits, verdicts
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.request import Request, RequestError
from cgd_lightning.sampling.resolve import resolve


def edit(
    request: Request,
    images: Tensor,
    masks: Tensor | None = None,
    *,
    device: str | torch.device = "auto",
    trust: Trust | str | Sequence[str] = NO_TRUST,
    compile: bool = False,
) -> Edits:
    """`images`, data on the host as uint8 (N, C, H, W), edited as `request` says.

    Each becomes what its label says; where none are given, anything but what `start` says that it
    shows. masks: not 0 where an image may change, bool or uint8 (N, 1, H, W) or (1, 1, H, W); all
    else stays bit for bit. The options are those of `resolve`; `Job.editing` and `edits_of` are for
    networks that are used more than once. Raises InputError as these do.
    """
    job = resolve(request, device=device, trust=trust, compile=compile)
    return edits_of(job.editing(images, masks))


def edits_of(job: Job) -> Edits:
    """The edits that `job` makes. Raises RequestError for one that edits no images."""
    if job.images is None:
        raise RequestError("a job of samples: give it images, by job.editing(images)")
    return said_of(job, job.samples())


def said_of(job: Job, edited: Tensor) -> Edits:
    """What `job` made, `edited`, beside its images, with what its classifier says of both."""
    assert job.images is not None
    rule = job.rule
    told = job.denoiser.conditional or rule.reads_labels or job.request.labels is not None
    targets = job.targets if told else None
    size = job.request.batch_size
    guide = job.classifier
    said = None if guide is None else verdicts(guide, job.images, edited, targets, size)
    return Edits(job.images, edited, targets, said)
