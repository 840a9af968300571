"""Samples that a callback makes in the middle of a training, each process its share of them."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.job import Job

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


def make(job: Job, trainer: Trainer) -> Tensor:
    """All samples of `job`, data as uint8 (N, C, H, W) on the host.

    Each process makes its share, and all have all. Raises on all processes alike.
    """
    samples = torch.zeros(job.total, *job.denoiser.data.shape, dtype=torch.uint8)
    problem = None
    try:
        for start, chunk in job.chunks((trainer.global_rank, trainer.world_size)):
            samples[start : start + len(chunk)] = chunk
    except HARMLESS as error:
        problem = error
    if not trainer.strategy.reduce_boolean_decision(problem is None, all=True):
        raise problem or InputError("another process could not make its share")
    if trainer.world_size == 1:
        return samples
    shares = samples.to(trainer.strategy.root_device)
    return trainer.strategy.reduce(shares, reduce_op="sum").cpu()
