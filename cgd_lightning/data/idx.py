"""The header of an IDX file, the format of MNIST."""

import math
import struct
from pathlib import Path


def read_sizes(file: Path, rank: int) -> list[int]:
    """The sizes of the array of bytes in an IDX file with `rank` axes.

    The format is described at http://yann.lecun.com/exdb/mnist. Raises ValueError if the file
    holds anything else, or more or less than it says.
    """
    with file.open("rb") as opened:
        start = opened.read(4 + 4 * rank)
    if len(start) < 4 + 4 * rank or start[:4] != bytes([0, 0, 8, rank]):
        raise ValueError(f"{file.name} does not begin as an IDX file of bytes with {rank} axes")
    sizes = list(struct.unpack(f">{rank}I", start[4:]))
    if file.stat().st_size != len(start) + math.prod(sizes):
        raise ValueError(
            f"{file.name} has {file.stat().st_size} bytes for an array of shape {sizes}"
        )
    return sizes
