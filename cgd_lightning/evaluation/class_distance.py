"""How far apart images of different classes are: what the closeness of edits is compared with."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target, hit

PARTNERS = 10
"""Images of the class asked for that each image is compared with."""


def class_distance(
    images: Tensor, labels: Sequence[int], targets: Sequence[Target]
) -> float | None:
    """Median L1, in grey levels, between images and random ones of what they are to become.

    images: uint8 (N, C, H, W), of classes `labels`. The choice is always the same. None where no
    image shows what another one is to become.
    """
    classes, generator = torch.tensor(labels), torch.Generator().manual_seed(0)
    of_target: dict[Target, Tensor] = {}
    for target in targets:
        if target not in of_target:
            shows = hit(classes, [target] * len(classes))
            of_target[target] = shows.nonzero()[:, 0]
    found = []
    for place, target in enumerate(targets):
        others = of_target[target]
        if not len(others) or place in others:  # it shows that already
            continue
        chosen = others[torch.randperm(len(others), generator=generator)[:PARTNERS]]
        apart = (images[chosen].float() - images[place].float()).abs()
        found.append(apart.flatten(1).mean(dim=1))
    return torch.cat(found).quantile(0.5).item() if found else None
