"""What a sweep leaves beside its points: sweep.csv, sweep.json and the figures."""

import csv
import io
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.diffusion.targets import Target, quoted
from cgd_lightning.evaluation.choice_words import shown
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.measured import DISTANCE, FRECHET
from cgd_lightning.evaluation.report import named
from cgd_lightning.evaluation.strip import write_strip
from cgd_lightning.evaluation.sweep_figures import write_figures
from cgd_lightning.evaluation.sweep_line import Line
from cgd_lightning.files import whole
from cgd_lightning.sampling.caption import Caption, png_text, row_name
from cgd_lightning.sampling.stored import open_samples
from cgd_lightning.sampling.sweep_points import slug
from cgd_lightning.sampling.sweep_result import Point, SweepResult

IN_THE_TABLE = ("accuracy", *FRECHET, "kid", "precision", "recall", DISTANCE)

ROWS_OF_A_STRIP = 10


def write_sweep(result: SweepResult, out: Path, class_names: Sequence[str] = ()) -> list[Path]:
    """Write all of it into the folder `out`, and tell the files.

    class_names: what the samples' classes are called.
    """
    facts = json.dumps(_facts(result), indent=1, allow_nan=False)
    files = {"sweep.csv": _csv(result.table), "sweep.json": facts}
    for name, text in files.items():
        with whole(out / name) as file:
            file.write_text(text, encoding="utf-8")
    lines = [
        Line(points[0].variant.name, [p.measured for p in points], choice.best)
        for points, choice in zip(result.variants, result.choices)
    ]
    written = [*(out / name for name in files), *write_figures(out, lines, result.real)]
    for place, points in enumerate(result.variants, 1):
        name = points[0].variant.name
        written.append(out / (f"strip-{place}-{slug(name)}.png" if name else "strip.png"))
        _strip(written[-1], points, class_names)
    return written


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    table = io.StringIO()
    writer = csv.DictWriter(table, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def _facts(result: SweepResult) -> dict[str, Any]:
    """What sweep.json tells."""
    chosen = result.chosen
    return {
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "kind": "samples",
        "chosen": None
        if chosen is None
        else {**chosen.variant.settings, "scale": chosen.scale, "folder": str(chosen.folder)},
        "measured_by": dict(result.measured_by),
        "advice": list(result.advice),
        "as_good": [
            {**points[0].variant.settings, "scales": [points[i].scale for i in choice.as_good]}
            for points, choice in zip(result.variants, result.choices)
        ],
        "points": [
            {**row, "folder": str(point.folder), "request": point.request.to_plain()}
            for row, point in zip(result.table, result.points)
        ],
    }


def _strip(path: Path, points: Sequence[Point], class_names: Sequence[str]) -> None:
    """The strip of the first sample of each target, of one variant."""
    columns, named = [], []
    for point in points:
        images, targets = open_samples(point.folder)
        first: dict[Target, int] = {}
        for place, target in enumerate(targets):
            first.setdefault(target, place)
        chosen = dict(list(first.items())[:ROWS_OF_A_STRIP])
        columns.append(images[list(chosen.values())])
        named = [_name(target, class_names) for target in chosen]
    rows = list(torch.stack(columns, dim=1))
    scales = [point.scale for point in points]
    request = points[0].request
    facts = {
        "labels": ",".join(map(quoted, named)),
        **Caption.of(request).facts,
        "scale": ",".join(f"{scale:g}" for scale in scales),
        "rule": " + ".join(type(rule).__name__ for rule in request.rules),
    }
    write_strip(path, scales, rows, named, png_text(facts))


def _name(target: Target, class_names: Sequence[str]) -> str:
    """How a target is called: a class, or those that have a weight."""
    asked = [target] if isinstance(target, int) else [k for k, w in enumerate(target) if w > 0]
    words = [class_names[k] if k < len(class_names) else str(k) for k in asked]
    text = "|".join(words) if len(words) <= 3 else f"{words[0]}|... ({len(words)})"
    return row_name(text[:100], target)


def told(result: SweepResult) -> list[str]:
    """The lines of a table: a row a point, and real training images where they were measured.

    Numbers are called with their n where all have the same. Below stands what they are of.
    """
    points = [(p.variant.settings, p.measured) for p in result.points]
    settings = list(result.points[0].variant.settings)
    names = [n for n in IN_THE_TABLE if n in points[0][1].estimates]
    counts = {measured.n for _, measured in points}
    heads = [named(name, *counts) if len(counts) == 1 else name for name in names]
    rows = [[*settings, "scale", "n", *heads]]
    for values, measured in points:
        cells = [values[name] for name in settings]
        rows.append([*cells, f"{measured.scale:g}", f"{measured.n}"])
        rows[-1] += [_with_ends(name, measured.estimates[name]) for name in names]
    if result.real is not None:
        known = result.real.estimates
        rows.append([*("" for _ in settings), "real", f"{result.real.n}"])
        rows[-1] += [_with_ends(name, known[name]) if name in known else "" for name in names]
    by = result.measured_by
    return [
        *right_aligned(rows),
        "",
        f"features: {by['features']} (hash {by['features_hash']}); judge: hash {by['judge_hash']}",
        f"reference: {by['reference']} (hash {by['reference_hash']})",
        f"{DISTANCE}: energy distance of samples to real images of the classes asked for; 0 is "
        "best, and it decides",
    ]


def right_aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, a column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(c.rjust(w) for c, w in zip(row, widths)).rstrip() for row in rows]


def _with_ends(name: str, estimate: Estimate) -> str:
    value = shown(name, estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{shown(name, estimate.low)}, {shown(name, estimate.high)}]"
