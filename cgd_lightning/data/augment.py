"""Changes of training images that keep their class, a whole batch at a time on its device."""

import torch
from torch import Tensor


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image (B, C, H, W) moved by up to `most` pixels, all moves alike, down and across.

    What comes in at a border is its nearest pixel. `generator` is on the device of the images.
    """
    count, _, height, width = images.shape
    moves = torch.randint(-most, most + 1, (2, count, 1), generator=generator, device=images.device)
    rows, columns = (
        (torch.arange(size, device=images.device) + move).clamp(0, size - 1)
        for size, move in zip((height, width), moves, strict=True)
    )
    number = torch.arange(count, device=images.device)[:, None, None]
    return images.movedim(1, 3)[number, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (B, C, H, W), or with probability 1/2 its mirror image, left and right swapped."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def one_of_two(pairs: Tensor, generator: torch.Generator) -> Tensor:
    """The first or the second of each pair (B, 2, ...), with equal chances: as of `mirrored`."""
    chosen = torch.rand(len(pairs), generator=generator, device=pairs.device) < 0.5
    return pairs[torch.arange(len(pairs), device=pairs.device), chosen.long()]
