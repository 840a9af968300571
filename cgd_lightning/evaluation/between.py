"""How far images of two classes are apart: the unit in which the distance of an edit is read."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.maps import distances

PAIRS = 2000
"""At least so many pairs of images are drawn."""

BATCH = 1024


def between_classes(
    images: Tensor, labels: Tensor, sources: Sequence[int], targets: Sequence[Target]
) -> float | None:
    """Median L1, in grey levels, between a random image of the source and one of the target.

    images: uint8 (R, C, H, W) of classes `labels` (R,). sources: the class of each of N images that
    were edited, targets: what each was to become; pairs are drawn as often of each two classes, and
    always the same ones. An image that showed its target already does not count, nor do two classes
    of which there are not both among the images. None where nothing is left.
    """
    asked = Counter(
        (source, target)
        for source, target in zip(sources, targets, strict=True)
        if not _shows(source, target)
    )
    if not asked:
        return None
    each = -(-PAIRS // asked.total())
    generator = torch.Generator().manual_seed(0)
    parts = []
    for (source, target), count in asked.items():
        known = int(labels.max()) + 1
        wanted = torch.tensor([_shows(label, target) for label in range(known)])[labels]
        sides = (labels == source).nonzero()[:, 0], wanted.nonzero()[:, 0]
        if not all(map(len, sides)):
            continue
        n = each * count
        one, other = (s[torch.randint(len(s), (n,), generator=generator)] for s in sides)
        parts += [
            distances(images[a], images[b])
            for a, b in zip(one.split(BATCH), other.split(BATCH), strict=True)
        ]
    return torch.cat(parts).double().quantile(0.5).item() if parts else None


def _shows(label: int, target: Target) -> bool:
    if isinstance(target, int):
        return label == target
    return label < len(target) and target[label] > 0
