"""What a sweep of edits leaves beside its points: sweep.json, sweep.png and strip.png."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.evaluation.edit_curve import EditLine, write_curve
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.evaluation.plots import Block, sheet
from cgd_lightning.files import whole
from cgd_lightning.sampling.edit_sweep_result import EditPoint, EditSweepResult
from cgd_lightning.sampling.sweep_files import right_aligned


def write_edit_sweep(result: EditSweepResult, out: Path) -> list[Path]:
    """Write all of it into the folder `out`, and tell the files."""
    files = [out / name for name in ("sweep.json", "sweep.png", "strip.png")]
    with whole(files[0]) as file:
        text = json.dumps(_facts(result), indent=1, allow_nan=False)
        file.write_text(text, encoding="utf-8")
    lines = [
        EditLine(
            points[0].line,
            [point.scale for point in points],
            [point.report.l1_median for point in points],
            [point.flips for point in points],
            next((i for i, point in enumerate(points) if point is result.chosen), None),
        )
        for points in result.lines
    ]
    count = result.points[0].report.n
    write_curve(files[1], lines, count, result.goal, result.half)
    _strip(files[2], result)
    return files


def _facts(result: EditSweepResult) -> dict[str, Any]:
    """What sweep.json tells."""
    chosen = result.chosen
    return {
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "kind": "edits",
        "goal": result.goal,
        "reached": result.reached,
        "chosen": {**chosen.settings, "scale": chosen.scale, "folder": str(chosen.folder)},
        "measured_by": dict(result.measured_by),
        "distance_of_classes": result.apart,
        "advice": list(result.advice),
        "points": [point.plain for point in result.points],
    }


def _strip(path: Path, result: EditSweepResult) -> None:
    """The same images, a row each: the original, and the edit at every point."""
    blocks = [Block(list(result.shown[:, None]), "original")]
    for points in result.lines:
        rows = torch.stack([point.shown for point in points], dim=1)
        scales = ", ".join(exact(point.scale) for point in points)
        blocks.append(Block(list(rows), f"{points[0].line}: scale {scales}"))
    picture = sheet(blocks, result.called)
    with whole(path) as file:
        picture.save(file, format="PNG")


def told(result: EditSweepResult) -> list[str]:
    """The lines of a table, a row a point; below it stands what the numbers are."""
    settings = list(result.points[0].settings)
    heads = ("flips", "guide's", "median L1", "in features", "changed")
    rows = [[*settings, "scale", "n", *heads], *map(_cells, result.points)]
    by, first = result.measured_by, result.points[0].report
    already = 0.0 if first.already is None else first.already.value
    before = f"already: {already:.1%} showed it before the edit, says the judge, and do not count"
    return [
        *right_aligned(rows),
        "",
        f"judge: {by['judge']} (hash {by['judge_hash']})",
        "flips: share that shows what was asked and did not before, by the judge with its 95% "
        "interval, and by the guide itself",
        "median L1: to the original, in grey levels; in features: of the judge, as a share of the "
        "original's length",
        f"changed: mean share of the pixels, changed by {first.changed_from} grey levels or more",
        *([before] if already else []),
    ]


def _cells(point: EditPoint) -> list[str]:
    said = point.report
    return [
        *point.settings.values(),
        exact(point.scale),
        f"{said.n}",
        f"{point.flips:.1%}",
        "" if said.guide_flips is None else f"{said.guide_flips.value:.1%}",
        f"{said.l1_median:.2f}",
        f"{said.feature_distance:.3f}",
        f"{said.changed:.1%}",
    ]
