"""Edits measured in full: what `cgd evaluate --edits` tells, as values.

evaluation = evaluate_edits(edits, judge, Measure(judge, reference), real)
evaluation.report.flips, evaluation.maps.report.found.auroc
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.anomaly import (
    AnomalyReport,
    Threshold,
    anomaly_report,
    fix_threshold,
)
from cgd_lightning.evaluation.between import between_classes
from cgd_lightning.evaluation.edit_measure import EditReport, edit_report
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.maps import difference_map
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.sampling.edit_source import StoredEdits
from cgd_lightning.sampling.references import RealImages
from cgd_lightning.sampling.true_masks import TrueMasks
from cgd_lightning.strokes import dilated_strokes

NEAR = 2
"""Rows and columns from a stroke to which the digit reaches."""

ALONE = "one edit: to be compared with real images it takes two"
NOTHING_ASKED = "nobody says what the images were to become, so that there are no flips"
NO_THRESHOLD = (
    "no Dice: its threshold is fixed on validation images; give edits of such with --validation "
    "and --validation_masks"
)


@dataclass(frozen=True, eq=False)
class Maps:
    """Difference maps (N, H, W) of edits, the true masks, and what the maps find of these."""

    maps: Tensor = field(repr=False)
    true: TrueMasks = field(repr=False)
    report: AnomalyReport
    blur: int
    near: int


@dataclass(frozen=True)
class EditEvaluation:
    """What was measured of edits. maps: None where no true masks are known."""

    report: EditReport
    maps: Maps | None
    notes: tuple[str, ...] = ()


def evaluate_edits(
    edits: StoredEdits,
    judge: FeatureNetwork,
    measure: Measure,
    real: RealImages | None = None,
    maps: Maps | None = None,
) -> EditEvaluation:
    """All that is told of `edits`, by a `judge` and by a `measure` of real images.

    real: those images, of which pairs tell how far classes are apart; else the originals do. maps:
    what the maps find, if there are true masks. Raises InputError as `edit_report` does.
    """
    alone = len(edits.edited) == 1
    report = edit_report(
        *(edits.originals, edits.edited, edits.targets, judge, edits.guide),
        None if alone else measure,
    )
    apart, known = None, None if real is None else real.images[:]
    if edits.targets is not None and edits.labels is not None:
        pool, classes = edits.originals, torch.tensor(edits.labels)
        if known is not None and real is not None and real.labels is not None:
            pool, classes = known, real.labels
        apart = between_classes(pool, classes, edits.labels, edits.targets)
    notes = [] if report.samples is None else list(report.samples.notes)
    notes += [ALONE] if alone else []
    shared = 0 if known is None else _in_both(edits.originals, known)
    if shared:
        notes.append(
            f"{shared} of the originals are images of the reference: their own distance to it is "
            "none, and that of the edits is too small"
        )
    notes += [NOTHING_ASKED] if edits.targets is None else []
    if maps is not None and maps.report.threshold is None:
        notes.append(NO_THRESHOLD)
    return EditEvaluation(replace(report, between_classes=apart), maps, tuple(notes))


def measure_maps(
    edits: StoredEdits,
    true: TrueMasks,
    threshold: Threshold | None = None,
    blur: int = 0,
    near: int = NEAR,
) -> Maps:
    """What difference maps of `edits` find of their lesions.

    threshold: fixed on the maps of other images with the same `blur`. near: how far from a stroke
    is inside the digit.
    """
    maps = difference_map(edits.originals, edits.edited, blur)
    region = dilated_strokes(edits.originals, near)
    report = anomaly_report(maps, true.masks, threshold, region, true.kinds, true.kind_names)
    return Maps(maps, true, report, blur, near)


def threshold_of(validation: StoredEdits, true: TrueMasks, blur: int = 0) -> Threshold:
    """The threshold that fits maps of `validation` images best."""
    return fix_threshold(difference_map(validation.originals, validation.edited, blur), true.masks)


def check_apart(edits: StoredEdits, validation: StoredEdits) -> None:
    """Raises InputError if images are among both, or if these are of another shape."""
    shapes = [list(side.originals.shape[1:]) for side in (validation, edits)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"images of shape {shapes[0]}, and the edits are of shape {shapes[1]}: wanted the same"
        )
    both = _in_both(validation.originals, edits.originals)
    if both:
        raise InputError(
            f"{both} of its {len(validation.originals)} images are among those that the threshold "
            "is tried on; wanted others"
        )


OF_IMAGES = {"images", "mask", "keep", "out", "num_samples", "labels", "start.source"}
"""Options that say which images become what: others they are for others."""

OF_MACHINES = {"judge", "format", "device", "compile", "batch_size"}
"""Options that change nothing in an edit."""


def made_otherwise(edits: StoredEdits, validation: StoredEdits) -> str:
    """The first option by which `validation` was made otherwise, in words; empty if none is.

    A threshold that is fixed on maps of other scale or strength is that of other maps.
    """
    theirs, mine = _flat(validation.options), _flat(edits.options)
    for name in {**mine, **theirs}:
        if name not in OF_IMAGES | OF_MACHINES and mine.get(name) != theirs.get(name):
            values = f"{_told(theirs.get(name))}, and the edits with {_told(mine.get(name))}"
            return f"{name} {values}: its threshold is of other maps than theirs"
    return ""


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options`, with those of the start by names of their own."""
    start = options.get("start")
    if not isinstance(start, Mapping):
        return dict(options)
    inner = {f"start.{name}": value for name, value in start.items()}
    return {name: value for name, value in options.items() if name != "start"} | inner


def _told(value: Any) -> str:
    text = ascii(json.dumps(value))[1:-1]
    return text if len(text) <= 80 else f"{text[:60]}...{text[-17:]}"


def _in_both(images: Tensor, others: Tensor) -> int:
    """How many of `images` are among `others`, value by value."""
    known = set(map(_digest, others))
    return sum(_digest(image) in known for image in images)


def _digest(image: Tensor) -> bytes:
    return hashlib.sha256(f"{tuple(image.shape)}".encode() + image.numpy().tobytes()).digest()
