"""Guided samples from networks, labels and a seed: the one place that everything calls.

Work is dealt in fixed chunks of `batch_size` images and each image has noise of its own
(`SeededNoise`), so the result depends on the batch size at most by rounding, and not at all on the
number of processes or on which chunks were made before.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Prediction
from cgd_lightning.diffusion.editing import EDITING, Editing, editing
from cgd_lightning.diffusion.faults import Faults, Networks
from cgd_lightning.diffusion.guidance.rule import Chain, Guide, Rule
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.start import Start
from cgd_lightning.diffusion.targets import Target, as_labels, check_targets, read_targets
from cgd_lightning.errors import InputError

ENLARGING = 0x5BD1E995
"""Makes another seed of one, for a diffusion model that enlarges images."""

UNGUIDED = Chain(())
"""The rule that leaves every prediction as it is."""

Progress = Callable[[], None]
"""Called after every step of every chunk."""

Watch = Callable[[int, Tensor, Level, Prediction], None]
"""Called whenever a sampler has asked for a prediction.

It gets the index of a chunk's first image, x_t (B, C, H, W), its level and the prediction.
"""


def generate(
    denoiser: Denoiser,
    targets: Sequence[Target | str],
    sampler: Sampler,
    rule: Rule | None = None,
    classifier: Guide | None = None,
    *,
    low_res: Tensor | None = None,
    start: Start | None = None,
    images: Tensor | None = None,
    masks: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 256,
    shard: tuple[int, int] = (0, 1),
    skip: Collection[int] = (),
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Chunks of samples of the classes or mixtures `targets`: (index of the first, samples).

    Samples are data on the host, uint8 (B, C, H, W), in the order of the targets; the last chunk
    may be shorter. A target may be written, as "7", "cat" or "cat|dog". Without a rule nothing
    guides the samples.

    low_res: for a diffusion model that enlarges images, the image to enlarge for each target, data
    on the host as uint8 (N, C, h, w).

    start, images: edits in place of samples: each image, data on the host as uint8 (N, C, H, W), is
    brought part of the way to noise, as `start` says, and comes back as its target. masks: where it
    may change, not 0 in bool or uint8 (N, 1, H, W) or (1, 1, H, W); what is 0 stays bit for bit.
    Latents change where any of their pixels may; what they change beyond is undone at the end.

    skip: chunks, by their first images, that are not made. shard: (rank, processes); of the others
    this process makes chunks rank, rank + processes, ... dtype: what the networks compute in; the
    sampler itself computes in float32. watch: sees every step; the images do not change by it.
    Raises ValueError for a target that the networks do not know, for images of another shape or
    number and for a rule that does not go with them, and FloatingPointError where a sample is not
    finite, with the first step at which it was not and the network that was not finite there, if
    one was.
    """
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}: wanted at least 1")
    if rule is None and classifier is not None:
        raise InputError("a classifier and no rule: give ClassifierGuidance(scale), or neither")
    rule = UNGUIDED if rule is None else rule
    class_names = (classifier or denoiser).class_names
    shares = classifier.class_shares if classifier else ()
    targets = read_targets(targets, class_names, shares)
    check_targets(targets, class_names)
    _check_told(denoiser, class_names)
    edit = editing(start, images, masks, denoiser, sampler, len(targets), class_names, shares)
    if edit is None:
        rule.check(denoiser.schedule.levels(sampler.steps, sampler.spacing))
    elif not edit.is_none:
        rule.check(edit.levels)
    device = next(denoiser.parameters()).device
    labels = as_labels(targets, len(class_names), device)
    _check_low_res(low_res, len(targets))
    chunks = _Chunks(
        denoiser, sampler, rule, classifier, labels, low_res, edit, seed, dtype, progress, watch
    )
    # So that what does not go together is said here, and not with the first chunk.
    chunks.denoise(torch.arange(1, device=device))
    if edit is not None:
        edit.inverted(rule, classifier, torch.arange(1, device=device))
    size = min(batch_size, len(targets))
    starts = starts_of(len(targets), size, shard, skip)
    return ((first, chunks.make(first, size)) for first in starts)


def starts_of(
    count: int,
    batch_size: int,
    shard: tuple[int, int] = (0, 1),
    skip: Collection[int] = (),
) -> Sequence[int]:
    """The first images of the chunks of `count` images that one process makes.

    shard: (rank, processes) of that process, which shares evenly what is not in `skip`.
    """
    left = [first for first in range(0, count, min(batch_size, count)) if first not in skip]
    return left[shard[0] :: shard[1]]


def _check_told(denoiser: Denoiser, class_names: Sequence[str]) -> None:
    if denoiser.conditional and class_names != denoiser.class_names:
        raise InputError(
            "the diffusion model is told the class itself, one of "
            f"{', '.join(denoiser.class_names)}, and the classifier knows others: "
            f"{', '.join(class_names[:20])}; wanted the same"
        )


def _check_low_res(low_res: Tensor | None, count: int) -> None:
    if low_res is None:
        return
    if low_res.dtype != torch.uint8 or low_res.ndim != 4:
        raise InputError(
            f"low_res: {low_res.dtype} of shape {list(low_res.shape)}; wanted uint8 (N, C, h, w)"
        )
    if len(low_res) != count:
        raise InputError(f"low_res: {len(low_res)} images for {count} targets; wanted one for each")


@dataclass(frozen=True)
class _Chunks:
    """What all chunks have in common.

    labels: (N,) or (N, K) of all samples, on their device. low_res: uint8 (N, C, h, w), on the
    host.
    """

    denoiser: Denoiser
    sampler: Sampler
    rule: Rule
    classifier: Guide | None
    labels: Tensor = field(repr=False)
    low_res: Tensor | None = field(repr=False)
    edit: Editing | None
    seed: int
    dtype: torch.dtype
    progress: Progress | None
    watch: Watch | None

    def denoise(self, index: Tensor) -> Denoise:
        """The guided denoiser of the samples `index` (B,)."""
        denoise = self.rule.bind(self._unguided(index), self.classifier, self.labels[index])
        return denoise if self.edit is None else self.edit.keep(denoise, index)

    def _unguided(self, index: Tensor) -> Denoise:
        y = self.labels[index]
        if self.low_res is None:
            return self.denoiser.bind(y)
        images = self.low_res[index.to(self.low_res.device)]
        return self.denoiser.bind(y, self.denoiser.data.codec.encode(images.to(y.device)))

    def make(self, start: int, size: int) -> Tensor:
        """The samples from `start` on, at most `size` of them.

        Every chunk is computed in full size, so that its bits do not depend on what is left.
        """
        count, device = len(self.labels), self.labels.device
        if self.edit is not None and self.edit.is_none:
            return self.edit.originals.images[start : start + size].cpu()
        index = torch.arange(start, start + size, device=device).clamp(max=count - 1)
        faults = Faults(device)
        narrow = self.dtype != torch.float32
        with torch.no_grad(), torch.autocast(device.type, self.dtype, enabled=narrow):
            for x in self._trajectory(index, start, faults):
                faults.step(x)
                if self.progress is not None:
                    self.progress()
        samples = self.denoiser.data.codec.decode(x)
        if self.edit is not None:
            samples = self.edit.originals.chosen(index).paste(samples)
        if faults.found():
            unguided, y = self._unguided(index), self.labels[index]
            with torch.no_grad(), torch.autocast(device.type, self.dtype, enabled=narrow):
                raise faults.error(Networks(unguided, self.rule, self.classifier, y))
        return samples[: count - start].cpu()

    def _trajectory(self, index: Tensor, start: int, faults: Faults) -> Iterator[Tensor]:
        """x after every step of the samples `index` (B,), the chunk that begins at `start`."""
        denoise = faults.watched(self.denoise(index))
        if self.watch is not None:
            denoise = _watched(denoise, self.watch, start)
        noise = SeededNoise(self._seed(), index, self.denoiser.image_shape)
        if self.edit is None:
            return self.sampler.trajectory(denoise, noise, self.denoiser.schedule)
        inverted = faults.watched(self.edit.inverted(self.rule, self.classifier, index))
        return self.edit.walk(index, inverted, denoise, noise)

    def _seed(self) -> int:
        """What is enlarged or edited may be of the same, and its noise is not to come once more."""
        if self.edit is not None:
            return self.seed ^ EDITING
        return self.seed if self.low_res is None else self.seed ^ ENLARGING


def _watched(denoise: Denoise, watch: Watch, start: int) -> Denoise:
    def watched(x_t: Tensor, level: Level) -> Prediction:
        prediction = denoise(x_t, level)
        watch(start, x_t, level, prediction)
        return prediction

    return watched
