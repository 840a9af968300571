"""What edits.json says of the images, beside what was asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cgd_lightning.diffusion.targets import Target, as_labels
from cgd_lightning.evaluation.maps import VISIBLE
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.edit_images import Given
from cgd_lightning.sampling.edit_maps import full_colour
from cgd_lightning.sampling.edits import Edits, Verdicts

DIGITS = 6
"""Of a number in edits.json, after the point."""


def facts_of(
    edits: Edits, given: Given, written: dict[Target, str], class_names: Sequence[str]
) -> dict[str, Any]:
    """All images together, and each of them, as plain data.

    written: how targets are called. class_names: of the labels.
    """
    return {
        "images": {
            "count": len(given.names),
            **given.hashes,
            "edited_hash": hash_of(edits.edited),
            "full_colour": full_colour(edits),
            "class_names": list(class_names),
        },
        "summary": summary_of(edits),
        "edits": _each(edits, given, written, class_names),
    }


def summary_of(edits: Edits) -> dict[str, Any]:
    """How many images became what they should, and how far they went.

    by: who says so, the judge if there is one. met_before: images that showed it before the edit.
    flipped: those of the others that show it after.
    """
    said = edits.judge or edits.guide
    known = said is not None and edits.targets is not None
    flips = said.flips if said is not None and known else None
    return {
        "n": len(edits.originals),
        "by": None if not known else "guide" if edits.judge is None else "judge",
        "met_before": None if flips is None else int(flips.before.sum()),
        "flipped": None if flips is None else int(flips.flipped.sum()),
        "median_distance": _rounded(edits.distance.quantile(0.5)),
        "median_changed": _rounded(edits.changed().quantile(0.5)),
        "changed_from": VISIBLE,
    }


def told(summary: Mapping[str, Any]) -> str:
    """`summary_of` edits in one line."""
    n, before = summary["n"], summary["met_before"]
    images = f"{n} image{'' if n == 1 else 's'}"
    parts = [
        f"median distance {summary['median_distance']:.1f} of 255 grey levels, "
        f"median share of changed pixels {summary['median_changed']:.1%}"
    ]
    if summary["by"] is not None:
        who = "the judge" if summary["by"] == "judge" else "the guide itself"
        parts.insert(0, f"{summary['flipped']} of {n - before} flipped, says {who}")
    if before:
        images += f", {before} of which showed the class already and {_were(before)} edited too"
    return f"{images}: {'; '.join(parts)}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _each(
    edits: Edits, given: Given, written: dict[Target, str], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    labels = given.labels if class_names else None
    classes = {"guide": _verdicts(edits.guide), "judge": _verdicts(edits.judge)}
    distance, changed = edits.distance, edits.changed()
    return [
        {
            "source": name,
            "label": None if labels is None else class_names[labels[i]],
            "to": None if edits.targets is None else written[edits.targets[i]],
            **{who: None if found is None else found[i] for who, found in classes.items()},
            "distance": _rounded(distance[i]),
            "changed": _rounded(changed[i]),
        }
        for i, name in enumerate(given.names)
    ]


def _verdicts(said: Verdicts | None) -> list[dict[str, Any]] | None:
    """What one classifier says of each image before and after."""
    if said is None:
        return None
    before = _classes(said.before, said.targets, said.class_names)
    after = _classes(said.after, said.targets, said.class_names)
    return [{"before": b, "after": a} for b, a in zip(before, after, strict=True)]


def _classes(
    log_p: Tensor, targets: Sequence[Target] | None, names: Sequence[str]
) -> list[dict[str, Any]]:
    """The class of each image, its probability, and that of a class that was asked for."""
    p = log_p.double().exp()
    most, which = p.max(dim=1)
    asked = [None] * len(p) if targets is None else _asked(p, targets)
    return [
        {"class": names[int(k)], "p": _rounded(most[i]), "p_to": asked[i]}
        for i, k in enumerate(which)
    ]


def _asked(p: Tensor, targets: Sequence[Target]) -> list[Any]:
    labels = as_labels(targets, p.shape[1])
    if labels.is_floating_point():
        chosen = (p * (labels > 0)).sum(dim=1)
    else:
        chosen = p.gather(1, labels[:, None])[:, 0]
    return [_rounded(value) for value in chosen]


def _rounded(value: Tensor) -> float:
    return round(float(value), DIGITS)
