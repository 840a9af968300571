"""A file in memory, whose pages are loaded when somebody looks at them, and can be given back."""

import mmap

import torch
from torch import Tensor


class Pages:
    """An open file, mapped. A change of it stays in memory. It outlives the open file."""

    def __init__(self, file: int) -> None:
        self.bytes = mmap.mmap(file, 0, access=mmap.ACCESS_COPY)

    def numbers(self, dtype: torch.dtype, count: int, start: int) -> Tensor:
        """So many numbers from the byte `start` on. Raises ValueError if the file is too short.

        They are a view with a storage of its own, or a copy where they do not lie evenly.
        """
        if count == 0:
            return torch.empty(0, dtype=dtype)
        part = torch.frombuffer(
            self.bytes, dtype=torch.uint8, offset=start, count=count * dtype.itemsize
        )
        return (part.clone() if start % dtype.itemsize else part).view(dtype)

    def let_go(self) -> None:
        """Give back what was looked at; it is loaded again when it is asked for.

        What was changed is lost.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self.bytes.madvise(mmap.MADV_DONTNEED)
