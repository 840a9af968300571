"""Anomaly maps against the true masks: does a map find what is wrong with an image?

    Dice = 2 |A & M| / (|A| + |M|),   A the pixels of the map from a threshold on, M the mask

A threshold is fixed on validation images and handed on as a value; images that it is tried on have
no say. AUROC and average precision (AP) need none: they are of the pixels of all images with a
lesion together, over the image and inside the digit and near it. Of a healthy image, whose mask is
empty, none of the three is defined; of these it is told how much of them the threshold takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from cgd_lightning.errors import InputError

CANDIDATES = 256
"""So many quantiles of the maps are tried as thresholds, and of the lesions in them."""


@dataclass(frozen=True)
class Threshold:
    """The least value of a map that counts as lesion.

    dice: of the n images with a lesion that it was fixed on.
    """

    value: float
    dice: float
    n: int


@dataclass(frozen=True)
class Found:
    """What maps find of the lesions of n images.

    dice: at the threshold; None without one. prevalence: share of the pixels that are lesion, which
    is the average precision of chance; and the same three inside the region; None where a region
    holds pixels of one kind alone.
    """

    n: int
    dice: float | None
    auroc: float | None
    average_precision: float | None
    prevalence: float
    auroc_inside: float | None
    average_precision_inside: float | None
    prevalence_inside: float


@dataclass(frozen=True)
class AnomalyReport:
    """What maps find, at a threshold of other images, if there is one.

    by_kind: of each kind of lesion by its name. healthy: images without a lesion, and what share of
    their pixels the threshold takes; None where there are none, or no threshold.
    """

    threshold: Threshold | None
    found: Found
    by_kind: Mapping[str, Found]
    healthy: int
    false_share: float | None

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain data, as a JSON holds it."""
        return vars(self) | {
            "threshold": None if self.threshold is None else vars(self.threshold).copy(),
            "found": vars(self.found).copy(),
            "by_kind": {name: vars(own).copy() for name, own in self.by_kind.items()},
        }


def fix_threshold(maps: Tensor, masks: Tensor) -> Threshold:
    """The threshold with the best mean Dice on validation images that have a lesion.

    maps: (N, H, W). masks: bool, (N, H, W) or (N, 1, H, W). It is the
    least of equals. Raises InputError as `anomaly_report` does.
    """
    masks = _checked(maps, masks)
    sick = masks.flatten(1).any(dim=1)
    if not sick.any():
        raise InputError("no lesion in any mask: wanted at least one image with a lesion")
    maps, masks = maps[sick], masks[sick]
    candidates = torch.cat([_quantiles(maps[masks]), _quantiles(maps.flatten())]).unique()
    scores = torch.stack([dice(maps >= cut, masks).mean() for cut in candidates])
    best = int(scores.argmax())
    return Threshold(float(candidates[best]), float(scores[best]), len(maps))


def _quantiles(values: Tensor) -> Tensor:
    places = torch.linspace(0, len(values) - 1, CANDIDATES, dtype=torch.float64).long()
    return values.sort().values[places]


def dice(found: Tensor, masks: Tensor) -> Tensor:
    """Dice of each image, (N,) float64, of bool (N, H, W); 1 where both are empty."""
    both = (found & masks).flatten(1).sum(dim=1).double()
    sizes = (found.flatten(1).sum(dim=1) + masks.flatten(1).sum(dim=1)).double()
    return torch.where(sizes == 0, 1.0, 2 * both / sizes.clamp(min=1))


def anomaly_report(
    maps: Tensor,
    masks: Tensor,
    threshold: Threshold | None = None,
    region: Tensor | None = None,
    kinds: Tensor | None = None,
    kind_names: tuple[str, ...] = (),
) -> AnomalyReport:
    """What `maps` (N, H, W) find of lesions in `masks`, bool (N, H, W) or (N, 1, H, W).

    threshold: fixed on other images, by `fix_threshold`; without one there is no Dice. region: bool
    (N, H, W), inside the digit, as `dilated_strokes` gives it; the whole image if none is given.
    kinds: (N,) int64 places in `kind_names`. Raises InputError for other sizes, maps that are not
    finite, and where no image has a lesion.
    """
    masks = _checked(maps, masks)
    region = torch.ones_like(masks) if region is None else region
    if region.shape != maps.shape or region.dtype != torch.bool:
        raise InputError(
            f"region is {region.dtype} of shape {list(region.shape)}; wanted bool of shape "
            f"{list(maps.shape)}"
        )
    if kinds is not None and kinds.shape != (len(maps),):
        raise InputError(f"{len(kinds)} kinds of {len(maps)} images: wanted one for every image")
    if kinds is not None and not ((kinds >= 0) & (kinds < len(kind_names))).all():
        raise InputError(f"kinds {kinds.unique().tolist()[:20]}: {len(kind_names)} have a name")
    sick = masks.flatten(1).any(dim=1)
    if not sick.any():
        raise InputError("no lesion in any mask: wanted at least one image with a lesion")

    def of(chosen: Tensor) -> Found:
        return _found(maps[chosen], masks[chosen], region[chosen], threshold)

    by_kind = (
        {}
        if kinds is None
        else {
            kind_names[kind]: of(sick & (kinds == kind)) for kind in kinds[sick].unique().tolist()
        }
    )
    healthy = maps[~sick]
    false_share = None
    if len(healthy) and threshold is not None:
        false_share = (healthy >= threshold.value).double().mean().item()
    return AnomalyReport(threshold, of(sick), by_kind, len(healthy), false_share)


def _found(maps: Tensor, masks: Tensor, region: Tensor, threshold: Threshold | None) -> Found:
    return Found(
        len(maps),
        None if threshold is None else dice(maps >= threshold.value, masks).mean().item(),
        *_ranked(maps.flatten(), masks.flatten()),
        *_ranked(maps[region], masks[region]),
    )


def _ranked(values: Tensor, truth: Tensor) -> tuple[float | None, float | None, float]:
    """(AUROC, average precision, prevalence) of pixels (P,)."""
    if not len(truth):
        return None, None, 0.0
    prevalence = truth.double().mean().item()
    if prevalence in (0, 1):
        return None, None, prevalence
    # Places among the different values: torchmetrics would squash what is outside [0, 1].
    places = values.unique(return_inverse=True)[1].double()
    scores = places / places.max().clamp(min=1)
    target = truth.long()
    ranked = binary_auroc(scores, target), binary_average_precision(scores, target)
    return float(ranked[0]), float(ranked[1]), prevalence


def _checked(maps: Tensor, masks: Tensor) -> Tensor:
    """The masks as (N, H, W). Raises InputError unless these are maps and masks of one size."""
    if maps.ndim != 3 or not maps.is_floating_point() or not maps.numel():
        raise InputError(
            f"maps are {maps.dtype} of shape {list(maps.shape)}; wanted floats (N, H, W)"
        )
    flat = masks[:, 0] if masks.ndim == 4 and masks.shape[1] == 1 else masks
    if flat.shape != maps.shape or flat.dtype != torch.bool:
        raise InputError(
            f"masks are {masks.dtype} of shape {list(masks.shape)}; wanted bool of shape "
            f"{list(maps.shape)}, as the maps"
        )
    if not maps.isfinite().all():
        raise InputError("maps hold numbers that are not finite: wanted a number for every pixel")
    return flat
