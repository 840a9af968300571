"""The folder that `cgd evaluate` fills: evaluation.json, contact.png and nearest.png.

nearest.png has a row for each of the samples that come closest to a training image: the sample,
and that image. Files are whole or not there, and evaluation.json comes last.
"""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.plots import grid, grid_places
from cgd_lightning.evaluation.table import class_table, table
from cgd_lightning.files import whole
from cgd_lightning.sampling.caption import row_name
from cgd_lightning.sampling.evaluation import Evaluation
from cgd_lightning.sampling.record import read_json
from cgd_lightning.streams import Images


def write_evaluation(
    folder: Path, facts: Mapping[str, Any], pictures: Mapping[str, Image.Image | None]
) -> None:
    """Write `pictures`, by name, and `facts` into `folder`, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        if picture is None:  # of an earlier evaluation
            (folder / f"{name}.png").unlink(missing_ok=True)
            continue
        with whole(folder / f"{name}.png") as file:
            picture.save(file, "PNG")
    with whole(folder / "evaluation.json") as file:
        file.write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")


def free_place(folder: Path, about: Mapping[str, Any]) -> Path:
    """`folder`, or the first of folder-2, folder-3, ... that has no evaluation of other things.

    about: what an evaluation is of, as it stands in its evaluation.json.
    """
    for number in itertools.count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if not os.path.lexists(place / "evaluation.json"):
            return place
        with suppress(OSError, ValueError, TypeError, RecursionError):
            if read_json(place / "evaluation.json").get("about") == dict(about):
                return place
    raise AssertionError


def contact_sheet(
    images: Images,
    targets: Sequence[Target] | None,
    class_names: Sequence[str],
    heading: str = "",
) -> Image.Image:
    """A grid of uint8 images (N, C, H, W), a row a target, the first ten of each.

    Where targets are unknown, there are ten rows of ten images, spread over all of them. heading:
    words above them.
    """
    if targets is None:
        shown = torch.linspace(0, len(images) - 1, min(len(images), 100)).long()
        rows = shown.split(10)
        return grid([images[row] for row in rows], [f"{int(row[0])}" for row in rows])
    places = grid_places(targets)
    names = [_called(target, class_names) for target in places]
    return grid([images[chosen] for chosen in places.values()], names, heading)


def nearest_sheet(pairs: Sequence[tuple[float, Tensor, Tensor]]) -> Image.Image:
    """A row for each (distance, sample, nearest training image), uint8 (C, H, W) each."""
    rows = [torch.stack(both) for _, *both in pairs]
    return grid(rows, [f"{distance:.4g}" for distance, _, _ in pairs])


def _called(target: Target, class_names: Sequence[str]) -> str:
    if isinstance(target, int):
        name = class_names[target] if target < len(class_names) else str(target)
    else:
        named = [str(k) if k >= len(class_names) else class_names[k] for k in range(len(target))]
        name = "+".join(f"{w:g} {named[k]}" for k, w in enumerate(target) if w)
    return row_name(name[:100], target)


def told(
    samples: str, evaluation: Evaluation, features: FeatureNetwork, judge: FeatureNetwork | None
) -> list[str]:
    """The lines that are printed about `samples`, as the user named them."""
    report, real = evaluation.report, evaluation.real
    lines = [f"samples: {report.n} images of {samples}"]
    lines.append(f"features: {report.features} (hash {report.features_hash})")
    if judge is not None and judge is not features:
        lines.append(f"judge: {judge.name} (hash {judge.hash})")
    counted = f"{report.reference} " if report.reference else ""
    lines.append(f"reference: {counted}{report.reference_name} (hash {report.reference_hash})")
    if evaluation.recognised is not None:
        lines.append(f"judge {report.features}: recognises {evaluation.recognised:.2%} of them")
    others = evaluation.against_others
    lines += ["", *table(report, None if others is not None else real, evaluation.real_name)]
    if others is not None:
        lines += ["", f"against {others.reference_name} alone, beside the rest of them:"]
        lines += table(others, real, evaluation.real_name)
    if real is not None and real.draws:
        lines.append(
            f"{features.frechet} of real images: mean of {len(real.draws)} draws, "
            f"{min(real.draws):.4g} to {max(real.draws):.4g}"
        )
    if report.by_class:
        lines += ["", *class_table(report.by_class)]
    if report.notes:
        lines += ["", *(f"note: {note}" for note in report.notes)]
    return lines
