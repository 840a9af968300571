"""A job: a request whose networks are loaded. It makes chunks of samples, and can stop anywhere."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import Progress, Watch, generate, starts_of
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.guidance.rule import Guide
from cgd_lightning.diffusion.originals import Originals
from cgd_lightning.diffusion.start import Start
from cgd_lightning.diffusion.targets import Target, check_targets, parse_targets
from cgd_lightning.sampling.checks import check_guide, check_labels, check_sampler, check_start
from cgd_lightning.sampling.request import Request, RequestError

OF_FILES = ("ckpt", "classifier", "low_res", "weights", "precision")
"""Fields of a request that decide what is loaded, and how networks compute."""


@dataclass(frozen=True)
class Job:
    """Samples of one request, as an iterator of chunks: (index of the first one, samples).

    Samples are data on the host, uint8 (B, C, H, W).

    models: those that rules of the guidance name, by name. dtype: what networks compute in. asked:
    the target of every sample, where they are not those of the request's labels. low_res: the
    images to enlarge, uint8 (N, C, h, w), for a diffusion model that does. images, masks: those
    that are edited, and where they may change, as `generate` takes them; `editing` gives them.
    """

    request: Request
    denoiser: Denoiser
    classifier: Guide | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    asked: Sequence[Target] | None = None
    low_res: Tensor | None = None
    images: Tensor | None = None
    masks: Tensor | None = None

    @cached_property
    def rule(self) -> Rule:
        """The whole guidance, with its models."""
        return self.request.rule(self.denoiser.data.codec).with_models(self.models)

    @property
    def targets(self) -> list[Target]:
        """What each sample shall show."""
        return self._targets[0]

    @property
    def written(self) -> dict[Target, str]:
        """How each target is called."""
        return self._targets[1]

    @cached_property
    def _targets(self) -> tuple[list[Target], dict[Target, str]]:
        known = (self.classifier or self.denoiser).data
        shares = known.class_shares if self.classifier else ()
        if self.asked is not None:
            names = known.class_names
            return list(self.asked), {
                target: names[target] if isinstance(target, int) else "several"
                for target in self.asked
            }
        request = self.request
        labels = request.labels
        if labels is None and request.start is not None:
            labels = request.start.others
        return parse_targets(labels, known.class_names, request.num_samples, shares)

    @property
    def total(self) -> int:
        """The number of samples in all."""
        return len(self.targets)

    def starts(self, shard: tuple[int, int] = (0, 1), skip: Collection[int] = ()) -> Sequence[int]:
        """The first samples of the chunks that process `shard`, (rank, processes), makes."""
        return starts_of(self.total, self.request.batch_size, shard, skip)

    def sizes(self) -> dict[int, int]:
        """Of every chunk, by its first sample, how many samples it has."""
        size = min(self.request.batch_size, self.total)
        return {start: min(size, self.total - start) for start in self.starts()}

    def chunks(
        self,
        shard: tuple[int, int] = (0, 1),
        skip: Collection[int] = (),
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """(index of the first sample, samples) of each chunk, made when it is asked for.

        shard: (rank, processes) of this process. skip: chunks, by their first samples, that are
        there already. progress, watch: as of `generate`, which says what it raises. Raises
        RequestError for chunks in `skip` that are none of this job's.
        """
        strange = set(skip) - set(self.starts())
        if strange:
            raise RequestError(
                f" {self.request.batch_size}: no chunk of this job begins at {min(strange)}; skip "
                "those of the same batch_size",
                "batch_size",
            )
        return generate(
            self.denoiser,
            self.targets,
            self.request.sampler,
            self.rule,
            self.classifier,
            low_res=self.low_res,
            start=self.request.start,
            images=self.images,
            masks=self.masks,
            seed=self.request.seed,
            batch_size=self.request.batch_size,
            shard=shard,
            skip=skip,
            dtype=self.dtype,
            progress=progress,
            watch=watch,
        )

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        return self.chunks()

    def samples(self) -> Tensor:
        """All of them: data on the host, as uint8 (N, C, H, W)."""
        return torch.cat([chunk for _, chunk in self])

    def editing(self, images: Tensor, masks: Tensor | None = None) -> "Job":
        """The job that edits `images`, data on the host as uint8 (N, C, H, W), with these networks.

        Their number takes the place of the request's; where it has no `start`, it gets the usual
        one. masks: not 0 where an image may change, bool or uint8 (N, 1, H, W) or (1, 1, H, W).
        Raises InputError for images and masks of another kind, RequestError as `resolve` does.
        """
        Originals(images, masks).check(self.denoiser.data.shape)
        request = replace(
            self.request, num_samples=len(images), start=self.request.start or Start()
        )
        check_start(request, self.rule, self.denoiser)
        job = replace(self, request=request, images=images, masks=masks)
        check_targets(job.targets, (self.classifier or self.denoiser).class_names)
        return job

    def again(self, **changes: Any) -> "Job":
        """The job of the same networks with other settings of the request, as scale=3 or seed=1.

        Raises RequestError for settings that want other networks or other images to enlarge.
        """
        for name in OF_FILES:
            if name in changes and changes[name] != getattr(self.request, name):
                raise RequestError(
                    " decides what is loaded; make another request, and resolve that", name
                )
        others = [
            name
            for name in ("labels", "num_samples")
            if name in changes and changes[name] != getattr(self.request, name)
        ]
        if others and self.low_res is not None:
            raise RequestError(
                " decides which images are enlarged; make another request, and resolve that",
                others[0],
            )
        if "num_samples" in others and self.images is not None:
            raise RequestError(" is that of the images; edit others by `editing`", "num_samples")
        asked = None if others else self.asked
        job = replace(self, request=replace(self.request, **changes), asked=asked)
        for name in job.rule.models:
            raise RequestError(f" names {name}, which is not loaded", "guidance")
        check_guide(job.rule, self.classifier)
        check_sampler(job.request, self.denoiser, str(self.request.ckpt or "this network"))
        if changes.get("labels") is not None:
            check_labels(job.request, job.rule, self.denoiser)
        check_start(job.request, job.rule, self.denoiser)
        check_targets(job.targets, (self.classifier or self.denoiser).class_names)
        return job


def weights_hash(job: Job) -> str:
    """A hash of the weights of all networks that a job has, so that others are known as such."""
    digest = hashlib.sha256()
    networks = {id(m): m for m in (job.denoiser, job.classifier, *job.models.values()) if m}
    for network in networks.values():
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
