"""Measuring edits: did they show what they were asked, and how much was changed?

    report = edit_report(originals, edited, targets, judge)
    report.flips, report.l1_median

A flip is an edited image in which a classifier sees what was asked, and did not before. Beside the
judge, who had no part in it, stands the guiding classifier, which every edit was made to please.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.flips import Flips
from cgd_lightning.evaluation.maps import VISIBLE, changed_shares, distances
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.report import Report


@dataclass(frozen=True)
class EditReport:
    """What was measured of n edits.

    flips: of the images in which the judge did not see what was asked, the share in which it does
    now. already: share of all in which it saw it before. guide_flips: of the guiding classifier.
    All three None where nothing was asked. l1: mean absolute difference of an image, in grey
    levels. feature_distance: median distance between the judge's features of original and edited
    image, as a share of the length of the original's. changed: share of the pixels changed by
    `changed_from` grey levels or more in any channel. samples: what a `Measure` says of the edited
    images, and real: of the originals. between_classes: median L1 between random images of the
    classes before and after, if these are known.
    """

    n: int
    judge: str
    flips: Estimate | None
    already: Estimate | None
    guide_flips: Estimate | None
    l1_median: float
    l1_mean: float
    feature_distance: float
    changed: float
    changed_from: int
    samples: Report | None = None
    real: Report | None = None
    between_classes: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain data, as a JSON holds it."""
        return {
            name: value.to_plain() if isinstance(value, Estimate | Report) else value
            for name, value in vars(self).items()
        }


def edit_report(
    originals: Tensor,
    edited: Tensor,
    targets: Sequence[Target] | None,
    judge: FeatureNetwork,
    guide: Flips | None = None,
    measure: Measure | None = None,
    changed_from: int = VISIBLE,
) -> EditReport:
    """The report of `edited` images of `originals`, uint8 (N, C, H, W) both.

    targets: what each was asked to show; None where nothing was. guide: what the guiding classifier
    says. measure: compares the edited images, and the originals, with real ones. Raises InputError
    for images of different shapes, targets of another number, and a judge without classes.
    """
    l1 = distances(originals, edited).double()
    before, after = judge(originals), judge(edited)
    if not after.logits.shape[1]:
        raise InputError(f"{judge.name} knows no classes: flips want a judge")
    flips = None if targets is None else Flips.of(before.classes, after.classes, targets)
    apart = (after.features - before.features).double().norm(dim=1)
    length = before.features.double().norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    samples = real = None
    if measure is not None:
        own = measure.features is judge
        seen = (before, after) if own else tuple(map(measure.features, (originals, edited)))
        real, samples = map(measure.of_seen, seen)
    return EditReport(
        len(edited),
        judge.name,
        None if flips is None else flips.rate,
        None if flips is None else flips.already,
        None if guide is None else guide.rate,
        l1.quantile(0.5).item(),
        l1.mean().item(),
        (apart / length).quantile(0.5).item(),
        changed_shares(originals, edited, changed_from).double().mean().item(),
        changed_from,
        samples,
        real,
    )
