"""What `cgd evaluate --edits` prints and writes: its lines, its facts, and maps.png.

maps.png has a column for each of some images: the original, what was made of it, the map of what
changed, and the true mask; with a threshold, what the map finds above it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cgd_lightning.evaluation.anomaly import AnomalyReport, Found
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.plots import Block, sheet
from cgd_lightning.evaluation.table import aligned, table
from cgd_lightning.sampling.caption import row_name
from cgd_lightning.sampling.edit_evaluation import EditEvaluation, Maps
from cgd_lightning.sampling.edit_source import StoredEdits

COLUMNS = 4
"""Of images of one kind in maps.png."""

MOST_BLOCKS = 6
"""Kinds in maps.png."""

WHITE = 255


def told_of_edits(
    folder: str, evaluation: EditEvaluation, judge: FeatureNetwork, features: FeatureNetwork
) -> list[str]:
    """The lines that are printed about the edits in `folder`, as the user named it."""
    report = evaluation.report
    lines = [f"edits: {report.n} images of {folder}"]
    lines.append(f"judge: {judge.name} (hash {judge.hash})")
    if features is not judge:
        lines.append(f"features: {features.name} (hash {features.hash})")
    samples = report.samples
    if samples is not None:
        counted = f"{samples.reference} " if samples.reference else ""
        lines.append(
            f"reference: {counted}{samples.reference_name} (hash {samples.reference_hash})"
        )
    lines += ["", *aligned(list(_rows(evaluation)))]
    if samples is not None:
        compared = table(samples, report.real, "originals")
        lines += ["", compared[0].replace("samples (", "edited (", 1), *compared[1:]]
    if evaluation.maps is not None:
        lines += ["", *_told_of_maps(evaluation.maps)]
    if evaluation.notes:
        lines += ["", *(f"note: {note}" for note in evaluation.notes)]
    return lines


def _rows(evaluation: EditEvaluation) -> Iterator[list[str]]:
    report = evaluation.report
    if report.already is not None:
        shown = round(report.already.value * report.n)
        left = f"of {report.n - shown} that did not show their class before"
        yield ["flips, says the judge", *_share(report.flips), left]
        if report.guide_flips is not None:
            yield ["flips, says the guide", *_share(report.guide_flips), "whom the edits please"]
        yield ["showed it already", *_share(report.already), f"of {report.n}, says the judge"]
    yield ["L1, median", f"{report.l1_median:.4g}", "of 255 grey levels"]
    if report.between_classes:
        times = report.l1_median / report.between_classes
        unit = f"between random images of the two classes: {times:.2f} of it"
        yield ["", f"{report.between_classes:.4g}", unit]
    apart = "of their length, in the judge's features, median"
    yield ["distance of features", f"{report.feature_distance:.4g}", apart]
    least = f"by {report.changed_from} grey levels or more"
    yield ["pixels changed, mean", f"{report.changed:.2%}", least]


def _share(value: Estimate | None) -> list[str]:
    return ["-" if value is None else f"{value:.2%}"]


def _told_of_maps(maps: Maps) -> list[str]:
    report = maps.report
    columns = {"all": report.found, **report.by_kind}
    rows = [[f"maps, blur {maps.blur}", *(f"{row_name(name[:40])}" for name in columns)]]
    rows.append(["images with a lesion", *(str(own.n) for own in columns.values())])
    for name, text in _NUMBERS.items():
        rows.append([text.format(maps.near), *(_number(own, name) for own in columns.values())])
    if report.threshold is not None:
        rows.append([f"Dice from {report.threshold.value:.4g} on", *_dice(columns.values())])
    return [*aligned(rows), *_told_of_rest(report)]


_NUMBERS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "prevalence": "  of chance",
    "auroc_inside": "AUROC within {} pixels of strokes",
    "average_precision_inside": "average precision there",
    "prevalence_inside": "  of chance",
}
"""Numbers of what maps find, and how they are called."""


def _number(found: Found, name: str) -> str:
    value = getattr(found, name)
    return "-" if value is None else f"{value:.4f}"


def _dice(found: Any) -> list[str]:
    return [_number(own, "dice") for own in found]


def _told_of_rest(report: AnomalyReport) -> Iterator[str]:
    fixed = report.threshold
    if fixed is not None:
        fitted = f"{fixed.n} validation images with a lesion"
        yield f"threshold: fixed on {fitted}, of Dice {fixed.dice:.4f}"
    if report.healthy:
        taken = "" if report.false_share is None else f", {report.false_share:.2%} of them taken"
        yield f"images without a lesion: {report.healthy}{taken}"


def maps_sheet(edits: StoredEdits, maps: Maps) -> Image.Image:
    """Some images of each kind: original, edited, map and true mask below each other.

    Maps are white where most of all was changed.
    """
    full = float(maps.maps.max().clamp(min=1))
    grey = (maps.maps[:, None] / full * WHITE).round().to(torch.uint8)
    rows = {
        "original": edits.originals,
        "edited": edits.edited,
        "map": grey,
        "true mask": maps.true.masks.to(torch.uint8) * WHITE,
    }
    if maps.report.threshold is not None:
        found = maps.maps[:, None] >= maps.report.threshold.value
        rows["found"] = found.to(torch.uint8) * WHITE
    channels = edits.originals.shape[1]
    blocks = [
        Block([side[chosen].expand(-1, channels, -1, -1) for side in rows.values()], name)
        for name, chosen in _chosen(maps)
    ]
    return sheet(blocks, list(rows))


def _chosen(maps: Maps) -> list[tuple[str, Tensor]]:
    """(its name, places of the first images) of each kind; of healthy ones and others without."""
    true = maps.true
    if true.kinds is None:
        sick = true.masks.flatten(1).any(dim=1)
        groups = [("with a lesion", sick), ("without", ~sick)]
    else:
        groups = [(name, true.kinds == kind) for kind, name in enumerate(true.kind_names)]
    places = [(name, which.nonzero()[:, 0]) for name, which in groups]
    most = COLUMNS if len(places) > 2 else 2 * COLUMNS
    return [(row_name(name), own[:most]) for name, own in places if len(own)][:MOST_BLOCKS]
