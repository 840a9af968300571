"""Numbers that memory need not hold: in a file without a name, which goes when the process ends."""

from collections.abc import Callable
from tempfile import TemporaryFile

import torch
from torch import Tensor

from cgd_lightning.checkpoints.pages import Pages

Given = tuple[dict[str, Tensor], Callable[[], None]]
"""(tensors by name, what gives back the memory of those that were looked at)."""


class Scratch:
    """A file that tensors are written to as float32, and then mapped.

    Raises OSError if there is no room for it.
    """

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115  (it stays open as long as this object)
        self._shapes = dict[str, torch.Size]()

    def put(self, name: str, tensor: Tensor) -> None:
        """Write the numbers of `tensor` under this name."""
        self._file.write(tensor.float().contiguous().numpy().tobytes())
        self._shapes[name] = tensor.shape

    def mapped(self) -> Given:
        """What was written, as views of the file."""
        self._file.flush()
        if self._file.tell() == 0:
            return {}, lambda: None
        pages = Pages(self._file.fileno())
        tensors, place = {}, 0
        for name, shape in self._shapes.items():
            # Each with a storage of its own, so that one can be written after the other.
            count = shape.numel()
            tensors[name] = pages.numbers(torch.float32, count, place).view(shape)
            place += 4 * count
        return tensors, pages.let_go
