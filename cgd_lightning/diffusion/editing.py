"""What an edit adds to `generate`: the images, the levels, and what the inversion asks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Denoiser
from cgd_lightning.diffusion.guidance.keep import keep
from cgd_lightning.diffusion.guidance.proximal import proximal
from cgd_lightning.diffusion.guidance.rule import Chain, Guide, Rule, singles
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.originals import Originals
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.samplers.sampler import Noise
from cgd_lightning.diffusion.start import Start
from cgd_lightning.diffusion.targets import as_labels, parse_targets
from cgd_lightning.errors import InputError

EDITING = 0x3C6EF372
"""Makes another seed of one: what is edited may have been drawn from noise of the same."""


@dataclass(frozen=True)
class Editing:
    """What all chunks of an edit have in common.

    levels: of the way up and down. sources: what the images show, labels (N,) or weights (N, K) on
    the denoiser's device, where the inversion runs under guidance. Raises InputError for images
    that are not the denoiser's, and where a start and a sampler do not go together.
    """

    start: Start
    originals: Originals = field(repr=False)
    denoiser: Denoiser
    sampler: Sampler
    sources: Tensor | None = field(repr=False)
    levels: list[Level] = field(init=False)

    def __post_init__(self) -> None:
        if self.denoiser.low_res_shape is not None:
            raise InputError("this diffusion model enlarges images; edit by one that does not")
        self.originals.check(self.denoiser.data.shape)
        self.start.check(self.sampler)
        levels = self.start.levels(self.sampler, self.denoiser.schedule)
        object.__setattr__(self, "levels", levels)

    @property
    def is_none(self) -> bool:
        """Whether the images stay as they are."""
        return len(self.levels) == 1

    def inverted(self, rule: Rule, classifier: Guide | None, index: Tensor) -> Denoise:
        """What the inversion of the images `index` (B,) asks.

        The guided denoiser of what they show. Where nobody says that, the denoiser with all in
        `rule` that asks for no class, as limiters and what corrects the denoiser, so that at scale
        0 it is that of the way back.
        """
        if self.sources is not None:
            y = self.sources[index]
            return rule.bind(self.denoiser.bind(y), classifier, y)
        null = self.denoiser.null_label
        if self.start.by == "inversion" and self.denoiser.conditional and null is None:
            raise InputError(
                "this diffusion model is told the class itself: say what the images show, by "
                "Start(source=CLASS), or start by noise"
            )
        nothing = torch.full_like(index, null or 0)
        kept = [each for each in singles(rule) if each.limits or not _asks(each)]
        return Chain(kept).bind(self.denoiser.bind(nothing), None, nothing)

    def keep(self, denoise: Denoise, index: Tensor) -> Denoise:
        """`denoise` of the images `index` (B,), which stay near them as the start says.

        Where they may not change they stay as they are.
        """
        chosen = self.originals.chosen(index)
        x0 = self.denoiser.data.codec.encode(chosen.images)
        if self.start.shrinkage:
            denoise = proximal(denoise, x0, self.start.shrinkage)
        changes = chosen.changes(x0.shape[-2:])
        return denoise if changes is None else keep(denoise, x0, changes)

    def walk(
        self, index: Tensor, inverted: Denoise, denoise: Denoise, noise: Noise
    ) -> Iterator[Tensor]:
        """x after every step from the images `index` (B,) up to noise and down again."""
        x0 = self.denoiser.data.codec.encode(self.originals.chosen(index).images)
        return self.start.walk(x0, self.levels, inverted, self.sampler, denoise, noise)


def _asks(rule: Rule) -> bool:
    """Whether a single rule asks for a class."""
    return bool(rule.guides) or rule.reads_labels


def editing(
    start: Start | None,
    images: Tensor | None,
    masks: Tensor | None,
    denoiser: Denoiser,
    sampler: Sampler,
    count: int,
    class_names: Sequence[str],
    shares: Sequence[float],
) -> Editing | None:
    """The edit of `images` from `start`; None where there is neither.

    count: of the targets. class_names, shares: of the classes in which `start` says what the images
    show. Raises InputError for one without the other, and as `Editing` does.
    """
    if start is None:
        if images is not None or masks is not None:
            raise InputError("images and no start: give Start(strength), where an edit begins")
        return None
    if images is None:
        raise InputError(f"{start}: wanted images, which begin there")
    originals = Originals(images, masks)
    if len(images) != count:
        raise InputError(f"{len(images)} images for {count} targets: wanted one for each")
    sources = None
    if start.source is not None and start.by == "inversion":
        written, _ = parse_targets(start.source, class_names, count, shares)
        device = next(denoiser.parameters()).device
        sources = as_labels(written, len(class_names), device)
    return Editing(start, originals, denoiser, sampler, sources)
