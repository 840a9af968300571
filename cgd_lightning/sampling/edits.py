"""Edited images beside their originals, and what classifiers say of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, check_statistics
from cgd_lightning.diffusion.guidance.rule import Guide
from cgd_lightning.diffusion.targets import Target, as_labels, log_target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.flips import Flips
from cgd_lightning.evaluation.maps import VISIBLE, changed_shares, distances


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What one classifier says of images before and after an edit.

    before, after: log p(y | image) of its classes, each float32 (N, K), on the host. targets: what
    each image was to become, in these classes; None where nothing was.
    """

    class_names: tuple[str, ...]
    before: Tensor = field(repr=False)
    after: Tensor = field(repr=False)
    targets: Sequence[Target] | None = field(repr=False)

    @property
    def met(self) -> Tensor:
        """Whether each image shows its target after the edit: bool (N,)."""
        return self.flips.after

    @property
    def met_before(self) -> Tensor:
        """Whether each image showed its target already: bool (N,)."""
        return self.flips.before

    @property
    def flips(self) -> Flips:
        """Which images show their target, before and after."""
        classes = self.before.argmax(dim=1), self.after.argmax(dim=1)
        return Flips.of(*classes, self._targets())

    @property
    def log_p(self) -> tuple[Tensor, Tensor]:
        """log p of each image's target before and after the edit, each float32 (N,)."""
        labels = as_labels(self._targets(), self.before.shape[1])
        return log_target(self.before, labels), log_target(self.after, labels)

    def _targets(self) -> Sequence[Target]:
        if self.targets is None:
            raise InputError("no targets: nothing in this edit was told what images shall become")
        return self.targets


@dataclass(frozen=True, eq=False)
class Edits:
    """Images and what was made of each, uint8 (N, C, H, W) on the host.

    targets: what each was to become; None where nothing was told. guide: what the guiding
    classifier says, at its least noise; None where none guides. judge: what another one says.
    """

    originals: Tensor = field(repr=False)
    edited: Tensor = field(repr=False)
    targets: Sequence[Target] | None = field(repr=False)
    guide: Verdicts | None = None
    judge: Verdicts | None = None

    @property
    def difference(self) -> Tensor:
        """What was added to each value, in grey levels: int16 (N, C, H, W)."""
        return self.edited.to(torch.int16) - self.originals.to(torch.int16)

    @property
    def distance(self) -> Tensor:
        """Mean absolute difference of each image, in grey levels: float32 (N,)."""
        return distances(self.originals, self.edited)

    def changed(self, least: int = VISIBLE) -> Tensor:
        """Share of each image's pixels that changed by `least` grey levels or more: float32 (N,).

        In any channel.
        """
        return changed_shares(self.originals, self.edited, least)

    def judged(self, judge: Guide, batch_size: int = 256) -> "Edits":
        """The same, with what `judge` says. Raises InputError if it knows other classes."""
        if self.guide is not None and judge.class_names != self.guide.class_names:
            raise InputError(
                f"the judge knows the classes {', '.join(judge.class_names[:20])}, and the guiding "
                f"classifier {', '.join(self.guide.class_names[:20])}; wanted the same"
            )
        found = verdicts(judge, self.originals, self.edited, self.targets, batch_size)
        return replace(self, judge=found)


def verdicts(
    classifier: Guide,
    before: Tensor,
    after: Tensor,
    targets: Sequence[Target] | None = None,
    batch_size: int = 256,
) -> Verdicts:
    """What `classifier` says of images `before` and `after` an edit, uint8 (N, C, H, W)."""
    said = (log_probabilities(classifier, images, batch_size) for images in (before, after))
    return Verdicts(classifier.class_names, next(said), next(said), targets)


@torch.no_grad()
def log_probabilities(classifier: Guide, images: Tensor, batch_size: int = 256) -> Tensor:
    """log p(y | image), float32 (N, K) on the host, of uint8 images (N, C, H, W).

    One of noisy images is asked at its least noise, of images without any. Raises InputError for
    images of another shape, and for a classifier in training mode.
    """
    check_statistics(classifier)
    wanted = classifier.data.shape
    if wanted and tuple(images.shape[1:]) != tuple(wanted):
        raise InputError(
            f"images of shape {list(images.shape[1:])}: this classifier knows {list(wanted)}"
        )
    device = next(classifier.parameters()).device
    parts = [_said(classifier, part.to(device)) for part in images.split(batch_size)]
    return torch.cat([part.float().cpu() for part in parts])


def _said(classifier: Guide, images: Tensor) -> Tensor:
    x0 = classifier.data.codec.encode(images)
    if isinstance(classifier, CleanClassifier):
        return classifier.logits(x0).log_softmax(dim=-1)
    least = classifier.schedule.level(0)
    return classifier.log_prob_at(least.alpha * x0, least)
