"""Images that stay where they are and are read batch by batch.

    stream.split(512)      batches in order, as those of a tensor
    stream[places]         some of them, as of a tensor

A set of any size then takes the memory of one batch. What takes `Images` takes a tensor of them,
uint8 (N, C, H, W), as well.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from cgd_lightning.errors import InputError

MOST_BYTES = 2**35
"""Of images that are in memory at once."""

Told = Callable[[], AbstractContextManager[None]]
"""A block in which what is raised becomes an error that names what the user gave."""


class Batches(Protocol):
    """Batches of images in order, whose number is known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tensor]: ...


class Images(Protocol):
    """uint8 images (N, C, H, W): a tensor, or a stream."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, C, H, W)."""
        ...

    def __len__(self) -> int: ...

    def split(self, size: int, /) -> Any:
        """All images in order, in batches of `size`, the last one of what is left."""
        ...

    def __getitem__(self, places: Any, /) -> Tensor: ...


class Stream(ABC):
    """uint8 images (N, C, H, W) that a subclass reads.

    shape: theirs. told: within it, what is raised is told as the user shall hear it.
    """

    def __init__(self, shape: Sequence[int], told: Told = nullcontext) -> None:
        self.shape, self.told = tuple(shape), told

    def __len__(self) -> int:
        return self.shape[0]

    def split(self, size: int, /) -> Batches:
        """All images in order, in batches of `size`; each time they are read anew."""
        return _Split(self, size)

    def __getitem__(self, places: int | slice | Tensor | Sequence[int], /) -> Tensor:
        """The image (C, H, W) at a place, or those (B, C, H, W) at several, in their order.

        Raises InputError for more than `MOST_BYTES`, IndexError for a place that is none.
        """
        if isinstance(places, int):
            return self.chosen([self._from_the_first(places)])[0]
        several: Sequence[int]
        if isinstance(places, slice):
            several = range(*places.indices(len(self)))
        else:
            listed = places.tolist() if isinstance(places, Tensor) else places
            several = [self._from_the_first(place) for place in listed]
        self._check_room(len(several))
        return self.chosen(several)

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.split(BATCH):
            yield from batch

    def _check_room(self, count: int) -> None:
        shape = [count, *self.shape[1:]]
        if math.prod(shape) > MOST_BYTES:
            with self.told():
                raise InputError(f"images of shape {shape}: more than {MOST_BYTES} bytes")

    def _from_the_first(self, place: int) -> int:
        """Raises IndexError for a `place` that is none; negative ones count from the end."""
        if not -len(self) <= place < len(self):
            raise IndexError(f"image {place} of {len(self)}")
        return place % len(self)

    def read(self) -> Tensor:
        """All of them, in memory. Raises InputError for more than `MOST_BYTES`."""
        self._check_room(len(self))
        images = torch.empty(self.shape, dtype=torch.uint8)
        end = 0
        for batch in self.split(BATCH):
            images[end : end + len(batch)] = batch
            end += len(batch)
        return images

    def batches(self, size: int) -> Iterator[Tensor]:
        """As of `split`."""
        for start in range(0, len(self), size):
            yield self.chosen(range(start, min(start + size, len(self))))

    @abstractmethod
    def chosen(self, places: Sequence[int]) -> Tensor:
        """The images (B, C, H, W) at `places`, each from 0 to N - 1."""


BATCH = 64
"""Images that are read at a time, where nobody says how many."""


class _Split:
    def __init__(self, stream: Stream, size: int) -> None:
        self.stream, self.size = stream, size

    def __len__(self) -> int:
        return -(-len(self.stream) // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        return self.stream.batches(self.size)
