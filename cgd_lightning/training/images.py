"""Samples that a callback makes in the middle of a training, each process its share of them."""

from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from cgd_lightning.diffusion.generate import Progress
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.job import Job
from cgd_lightning.training.sampling_bar import sampling_bar

HARMLESS = (ValueError, FloatingPointError, OSError, RuntimeError, TypeError, LookupError)
"""What may go wrong with a sample while the training goes on."""

DTYPES = {
    "bf16-mixed": torch.bfloat16,
    "bf16-true": torch.bfloat16,
    "16-mixed": torch.float16,
    "16-true": torch.float16,
}


def computes_in(trainer: Trainer) -> torch.dtype:
    """What networks compute in, in the precision of the training."""
    return DTYPES.get(str(trainer.precision), torch.float32)


def make_all(jobs: Sequence[Job | None], trainer: Trainer) -> list[Tensor | None]:
    """All samples of each of `jobs`, data as uint8 (N, C, H, W) on the host; None for no job.

    Each process makes its share, and all have all. A progress bar counts the steps. Raises on all
    processes alike.
    """
    shard = trainer.global_rank, trainer.world_size
    steps = [len(job.starts(shard)) * job.request.sampler.steps for job in jobs if job is not None]
    with sampling_bar(trainer, sum(steps)) as progress:
        return [None if job is None else _make(job, trainer, progress) for job in jobs]


def _make(job: Job, trainer: Trainer, progress: Progress) -> Tensor:
    """All samples of one job."""
    samples = torch.zeros(job.total, *job.denoiser.data.shape, dtype=torch.uint8)
    problem = None
    try:
        shard = trainer.global_rank, trainer.world_size
        for start, chunk in job.chunks(shard, progress=progress):
            samples[start : start + len(chunk)] = chunk
    except HARMLESS as error:
        problem = error
    if not trainer.strategy.reduce_boolean_decision(problem is None, all=True):
        raise problem or InputError("another process could not make its share")
    if trainer.world_size == 1:
        return samples
    shares = samples.to(trainer.strategy.root_device)
    return trainer.strategy.reduce(shares, reduce_op="sum").cpu()
