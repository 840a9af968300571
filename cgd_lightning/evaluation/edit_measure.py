"""Measuring edits: did they show what they were asked, and how much was changed?

    report = edit_report(originals, edited, targets, judge)
    report.flips, report.l1_median

A flip is an edited image in which a classifier sees what was asked. Beside the judge, who had no
part in it, stands the guiding classifier, which every edit was made to please.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.accuracy import accuracy_of
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.maps import VISIBLE, check_pair, difference_map
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.report import Report


@dataclass(frozen=True)
class EditReport:
    """What was measured of n edits.

    flips: share that the judge finds to show what was asked. already: share of which it said so
    before. guide_flips: of the guiding classifier. l1: mean absolute difference of an image, in
    grey levels. feature_distance: between the judge's features of original and edited image, as a
    share of the length of the original's. changed: share of the pixels changed by more than
    `changed_from` grey levels in any channel. samples: what a `Measure` says of the edited images.
    """

    n: int
    judge: str
    flips: Estimate
    already: Estimate
    guide_flips: Estimate | None
    l1_median: float
    l1_mean: float
    feature_distance: float
    changed: float
    changed_from: int
    samples: Report | None = None

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain data, as a JSON holds it."""
        shares = {
            name: share.to_plain() if isinstance(share, Estimate) else share
            for name, share in vars(self).items()
        }
        return shares | {"samples": self.samples.to_plain() if self.samples else None}


def edit_report(
    originals: Tensor,
    edited: Tensor,
    targets: Sequence[Target],
    judge: FeatureNetwork,
    guide: FeatureNetwork | None = None,
    measure: Measure | None = None,
    changed_from: int = VISIBLE,
) -> EditReport:
    """The report of `edited` images of `originals`, uint8 (N, C, H, W) both.

    targets: what each was asked to show. guide: the guiding classifier. measure: compares the
    edited images with real ones. Raises InputError for images of different shapes, targets of
    another number, and a judge without classes.
    """
    check_pair(originals, edited)
    if len(targets) != len(edited):
        raise InputError(f"{len(edited)} edits and {len(targets)} targets: wanted one for every")
    before, after = judge(originals), judge(edited)
    if not after.logits.shape[1]:
        raise InputError(f"{judge.name} knows no classes: flips want a judge")
    l1 = (edited.float() - originals.float()).abs().flatten(1).mean(dim=1).double()
    apart = (after.features - before.features).double().norm(dim=1)
    length = before.features.double().norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return EditReport(
        len(edited),
        judge.name,
        accuracy_of(after.classes, targets),
        accuracy_of(before.classes, targets),
        None if guide is None else accuracy_of(guide(edited).classes, targets),
        l1.quantile(0.5).item(),
        l1.mean().item(),
        (apart / length).quantile(0.5).item(),
        (difference_map(originals, edited) >= changed_from).double().mean().item(),
        changed_from,
        None if measure is None else measure(edited, targets),
    )
