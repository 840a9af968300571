"""A job: a request whose networks are loaded. It makes chunks of samples, and can stop anywhere."""

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
from cgd_lightning.diffusion.targets import Target, parse_targets
from cgd_lightning.sampling.request import Request, RequestError

OF_FILES = ("ckpt", "classifier", "weights", "precision")
"""Fields of a request that decide which networks are loaded, and how they compute."""


@dataclass(frozen=True)
class Job:
    """Samples of one request, as an iterator of chunks: (index of the first one, samples).

    Samples are data on the host, uint8 (B, C, H, W).

    models: those that rules of the guidance name, by name. dtype: what networks compute in. asked:
    the target of every sample, where they are not those of the request's labels.
    """

    request: Request
    denoiser: Denoiser
    classifier: Guide | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    asked: Sequence[Target] | None = None

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
            return list(self.asked), dict(enumerate(known.class_names))
        request = self.request
        return parse_targets(request.labels, known.class_names, request.num_samples, shares)

    def __len__(self) -> int:
        """The number of samples in all."""
        return len(self.targets)

    def starts(self, shard: tuple[int, int] = (0, 1)) -> range:
        """The first samples of the chunks that process `shard`, (rank, processes), makes."""
        return starts_of(len(self), self.request.batch_size, shard)

    def chunks(
        self,
        shard: tuple[int, int] = (0, 1),
        skip: Collection[int] = (),
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """(index of the first sample, samples) of each chunk, made when it is asked for.

        shard: (rank, processes) of this process. skip: chunks, by their first samples, that are
        there already. progress, watch: as of `generate`, which says what it raises.
        """
        return generate(
            self.denoiser,
            self.targets,
            self.request.sampler,
            self.rule,
            self.classifier,
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

    def again(self, **changes: Any) -> "Job":
        """The job of the same networks with other settings of the request, as scale=3 or seed=1.

        Raises RequestError for settings that want other networks.
        """
        for name in OF_FILES:
            if name in changes:
                raise RequestError(" decides which networks are loaded: resolve a request", name)
        job = replace(self, request=replace(self.request, **changes))
        wanted = [name for name in job.rule.models if name not in self.models]
        if wanted:
            raise RequestError(f" names {wanted[0]}, which is not loaded", "guidance")
        if job.rule.guides and self.classifier is None:
            raise RequestError(" needs a classifier: resolve a request that does", "guidance")
        return job
