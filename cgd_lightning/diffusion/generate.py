"""Guided images from networks, labels and a seed: the one place that the command line, the callback
and the metrics all call.

Work is dealt in fixed chunks of `batch_size` images and each image has noise of its own
(`SeededNoise`), so the result depends on the batch size at most by rounding and on the number of
processes not at all.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Prediction
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.process import to_uint8
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.diffusion.targets import Target, as_labels, check_targets
from cgd_lightning.errors import InputError

Progress = Callable[[], None]
"""Called after every step of every chunk."""

Watch = Callable[[int, Tensor, Level, Prediction], None]
"""Called with the index of a chunk's first image, x_t (B, C, H, W), its level and the prediction,
whenever a sampler has asked for one.
"""


def generate(
    denoiser: Denoiser,
    targets: Sequence[Target],
    sampler: Sampler,
    rule: Rule,
    classifier: Guide | None = None,
    *,
    seed: int = 0,
    batch_size: int = 256,
    shard: tuple[int, int] = (0, 1),
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Iterator[Tensor]:
    """Chunks of uint8 images on the host, (B, C, H, W), of the classes or mixtures of classes
    `targets`, in order; the last may be shorter.

    shard: (rank, processes); this process makes chunks rank, rank + processes, ... dtype: what the
    networks compute in; the sampler itself computes in float32. watch: sees every step; the images
    do not change by it. Raises ValueError for a target that the networks do not know, for images of
    another shape and for a rule that does not go with them, and FloatingPointError where a sample
    is not finite, with the first step at which it was not.
    """
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}: wanted at least 1")
    class_names = (classifier or denoiser).class_names
    check_targets(targets, class_names)
    if denoiser.conditional and class_names != denoiser.class_names:
        raise InputError(
            f"the diffusion model is told the class itself, one of {', '.join(denoiser.class_names)}, and the classifier knows others: "
            f"{', '.join(class_names[:20])}; wanted the same"
        )
    rule.check(denoiser.schedule.levels(sampler.steps, sampler.spacing))
    batch_size = min(batch_size, len(targets))
    starts = range(shard[0] * batch_size, len(targets), shard[1] * batch_size)
    device = next(denoiser.parameters()).device
    labels = as_labels(targets, len(class_names), device)
    rule.bind(
        denoiser.bind(labels[:1]), classifier, labels[:1]
    )  # so that what does not go together is said here

    def chunk(start: int) -> Tensor:
        index = torch.arange(start, start + batch_size, device=device).clamp(max=len(targets) - 1)
        y = labels[index]
        denoise = rule.bind(denoiser.bind(y), classifier, y)
        if watch is not None:
            denoise = _watched(denoise, watch, start)
        noise = SeededNoise(seed, index, denoiser.image_shape)
        first_bad = torch.zeros((), dtype=torch.int64, device=device)
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for step, x in enumerate(
                sampler.trajectory(denoise, noise, denoiser.schedule), start=1
            ):
                first_bad = torch.where((first_bad == 0) & ~x.isfinite().all(), step, first_bad)
                if progress is not None:
                    progress()
        images = to_uint8(x)[: len(targets) - start].cpu()
        if bad := first_bad.item():
            raise FloatingPointError(
                f"the sample is not finite from step {bad} of {sampler.steps} on; try a smaller "
                "scale or more steps"
            )
        return images

    return map(chunk, starts)


def _watched(denoise: Denoise, watch: Watch, start: int) -> Denoise:
    def watched(x_t: Tensor, level: Level) -> Prediction:
        prediction = denoise(x_t, level)
        watch(start, x_t, level, prediction)
        return prediction

    return watched
