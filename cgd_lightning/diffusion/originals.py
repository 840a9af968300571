"""Images that are edited, and where they may change: data on the host, checked at the door."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from cgd_lightning.errors import InputError


@dataclass(frozen=True, eq=False)
class Originals:
    """Images, uint8 (N, C, H, W), and where each may change.

    masks: bool or uint8, (N, 1, H, W) or (1, 1, H, W) for all of them, not 0 where an image may
    change; everywhere if there are none.
    """

    images: Tensor
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        """Raises InputError for images and masks of other types and ranks, and for none."""
        images = self.images
        for name, given in (("images", images), ("masks", self.masks)):
            if not isinstance(given, Tensor | None):
                raise InputError(
                    f"{name}: of type {type(given).__name__}; wanted a torch tensor, of an array "
                    "torch.from_numpy(array)"
                )
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise InputError(f"images: {_said(images)}; wanted uint8 (N, C, H, W), at least one")
        if self.masks is None:
            return
        count, _, height, width = images.shape
        wanted = f"bool or uint8 ({count}, 1, {height}, {width}), or one mask for all images"
        right = self.masks.dtype in (torch.bool, torch.uint8) and self.masks.ndim == 4
        if not right or self.masks.shape[1:] != (1, height, width):
            raise InputError(f"masks: {_said(self.masks)}; wanted {wanted}")
        if len(self.masks) not in (1, count):
            raise InputError(
                f"masks: {len(self.masks)} of them for {count} images; wanted {wanted}"
            )

    def check(self, shape: Sequence[int]) -> None:
        """Raises InputError for images of another `shape` (C, H, W); an empty one is any."""
        if shape and tuple(self.images.shape[1:]) != tuple(shape):
            raise InputError(
                f"images of shape {list(self.images.shape[1:])}: this diffusion model makes "
                f"{list(shape)}, (C, H, W); bring them to it"
            )

    def chosen(self, index: Tensor) -> "Originals":
        """Those of `index` (B,), on its device, each with a mask of its own as bool."""
        place = index.to(self.images.device)
        images = self.images[place].to(index.device)
        if self.masks is None:
            return Originals(images)
        masks = self.masks.expand(len(self.images), -1, -1, -1)[place.to(self.masks.device)]
        return Originals(images, masks.to(index.device) != 0)

    def changes(self, size: Sequence[int]) -> Tensor | None:
        """The masks as bool (B, 1, h, w) in a space of `size` (h, w), as latents have it.

        A place may change there if any pixel of it may.
        """
        if self.masks is None or self.masks.shape[-2:] == tuple(size):
            return self.masks
        return adaptive_max_pool2d(self.masks.float(), list(size)) > 0

    def paste(self, edited: Tensor) -> Tensor:
        """`edited` (B, C, H, W) where it may change, and these images elsewhere."""
        return edited if self.masks is None else torch.where(self.masks, edited, self.images)


def _said(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {list(tensor.shape)}"
