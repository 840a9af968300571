"""Draws of as many real images as there are samples, with as many of each class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target

DRAWS = 10
"""At most so many draws of real images are averaged, as the value of one varies."""


def draws(
    count: int, n: int, labels: Tensor | None = None, targets: Sequence[Target] = ()
) -> Sequence[Tensor]:
    """Places of `count` images in draws of n, at most `DRAWS`, always the same, none in two draws.

    labels, targets: as `draws_like` takes them; where that has none, the classes fall as they do.
    With fewer images than n all of them are one draw.
    """
    alike = [] if labels is None else draws_like(labels, targets)
    if alike:
        return alike
    size = max(1, min(n, count))
    return _order(count)[: count // size * size].split(size)[:DRAWS]


def draws_like(labels: Tensor, targets: Sequence[Target]) -> list[Tensor]:
    """Places of images of classes `labels` (R,), in draws with the classes of `targets`.

    None where a target is no single class, or there are too few images of one.
    """
    asked = [target for target in targets if isinstance(target, int)]
    if len(asked) < len(targets) or not asked:
        return []
    order = _order(len(labels))
    own = [order[labels[order] == kind].split(asked.count(kind)) for kind in dict.fromkeys(asked)]
    made = [torch.cat(parts) for parts in zip(*own) if sum(map(len, parts)) == len(asked)]
    return made[:DRAWS]


def _order(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))
