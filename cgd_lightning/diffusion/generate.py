"""Guided images from networks, labels and a seed: the one place that the command line, the callback and the metrics all call.

Work is dealt in fixed chunks of `batch_size` images and each image has noise of its own (`SeededNoise`), so the result depends on the
batch size at most by rounding and on the number of processes not at all.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.process import to_uint8
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.errors import InputError

Progress = Callable[[], None]
"""Called after every step of every chunk."""


def generate(
    denoiser: Denoiser,
    labels: Sequence[int],
    sampler: Sampler,
    rule: Rule,
    classifier: NoisyClassifier | None = None,
    *,
    seed: int = 0,
    batch_size: int = 256,
    shard: tuple[int, int] = (0, 1),
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """Chunks of uint8 images on the host, (B, C, H, W), of the classes `labels`, in order; the last chunk may be shorter.

    shard: (rank, processes); this process makes chunks rank, rank + processes, ... dtype: what the networks compute in; the
    sampler itself computes in float32. Raises ValueError for a label that the networks do not know, for images of another
    shape, and FloatingPointError where a sample is not finite, with the first step at which it was not.
    """
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}: wanted at least 1")
    check_labels(labels, (classifier or denoiser).class_names)
    denoiser.schedule.levels(sampler.steps, sampler.spacing)
    batch_size = min(batch_size, len(labels))
    starts = range(shard[0] * batch_size, len(labels), shard[1] * batch_size)
    device = next(denoiser.parameters()).device

    def chunk(start: int) -> Tensor:
        index = torch.arange(start, start + batch_size, device=device).clamp(max=len(labels) - 1)
        y = torch.tensor(labels, device=device)[index]
        denoise = rule.bind(denoiser.bind(y), classifier, y)
        noise = SeededNoise(seed, index, denoiser.image_shape)
        first_bad = torch.zeros((), dtype=torch.int64, device=device)
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for step, x in enumerate(sampler.trajectory(denoise, noise, denoiser.schedule), start=1):
                first_bad = torch.where((first_bad == 0) & ~x.isfinite().all(), step, first_bad)
                if progress is not None:
                    progress()
        images = to_uint8(x)[: len(labels) - start].cpu()
        if bad := first_bad.item():
            raise FloatingPointError(f"the sample is not finite from step {bad} of {sampler.steps} on; try a smaller scale or more steps")
        return images

    return map(chunk, starts)


def check_labels(labels: Sequence[int], class_names: Sequence[str]) -> None:
    """Raises ValueError if there is no label, or one that is not an index into `class_names`."""
    if not labels:
        raise InputError("no labels: wanted the class of every image")
    for label in labels:
        if not 0 <= label < len(class_names):
            raise InputError(f"label {label}: the classes are 0 to {len(class_names) - 1} ({', '.join(class_names)})")
