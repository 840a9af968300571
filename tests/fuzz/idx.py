"""The files of MNIST, http://yann.lecun.com/exdb/mnist."""

import os
import random
import struct
from pathlib import Path

import torch

from cgd_lightning.data.vision import MNIST
from tests.fuzz import pickles
from tests.fuzz.damage import LIES, damaged
from tests.fuzz.outcome import Attempt

COUNT = 12


class Small(MNIST):
    """MNIST of twelve images."""

    held_out = 4


PARTS = ("train", "t10k")
TYPES = [8, 9, 11, 12, 13, 14, 0, 255]


class Idx:
    """A good folder with something wrong in one of its four files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        images = (
            struct.pack(">4I", 0x803, COUNT, 28, 28)
            + bytes(range(256)) * 36
            + bytes(COUNT * 784 - 9216)
        )
        labels = struct.pack(">2I", 0x801, COUNT) + bytes(n % 10 for n in range(COUNT))
        self.good = {f"{part}-images-idx3-ubyte": images for part in PARTS}
        self.good |= {f"{part}-labels-idx1-ubyte": labels for part in PARTS}
        self._write(folder)
        Small(str(folder), download=False).split("train")

    def make(self, random: random.Random, folder: Path) -> str:
        raw, name = self._write(folder), random.choice(sorted(self.good))
        what = random.choices(["bytes", "header", "place", "legacy", "values"], [45, 35, 8, 4, 8])[
            0
        ]
        if what == "bytes":
            (raw / name).write_bytes(damaged(random, self.good[name]))
        elif what == "header":
            (raw / name).write_bytes(_header(random, self.good[name]))
        elif what == "values":
            (raw / name).write_bytes(self.good[name][:-3] + random.randbytes(3))
        elif what == "place":
            os.remove(raw / name)
            how = random.choice(["nothing", "folder", "link", "zipped"])
            if how == "folder":
                (raw / name).mkdir()
            elif how == "link":
                (raw / name).symlink_to("/dev/zero")
            elif how == "zipped":
                (raw / f"{name}.gz").write_bytes(random.randbytes(50))
        else:
            (raw.parent / "processed").mkdir()
            for part in ("training.pt", "test.pt"):
                (raw.parent / "processed" / part).write_bytes(pickles.stream(random))
        return f"{what} of {name}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: _sane(Small(str(folder), download=False))]

    def _write(self, folder: Path) -> Path:
        raw = folder / "MNIST/raw"
        raw.mkdir(parents=True)
        for name, data in self.good.items():
            (raw / name).write_bytes(data)
        return raw


def _header(random: random.Random, data: bytes) -> bytes:
    """`data` with another type, rank, or sizes, and sometimes as many bytes as these say."""
    rank = random.choice([data[3], data[3], 0, 1, 2, 3, 4, 255])
    start = bytes(
        [
            random.choice([0, 0, 0, 31]),
            0,
            random.choice(TYPES) if random.random() < 0.4 else 8,
            rank,
        ]
    )
    sizes = [random.choice([1, COUNT, 28, *LIES]) % 2**32 for _ in range(min(rank, 4))]
    body = data[4 + 4 * data[3] :]
    if random.random() < 0.5:
        wanted = 1
        for size in sizes:
            wanted *= size
        body = (body + bytes(100_000))[:wanted]
    return start + struct.pack(f">{len(sizes)}I", *sizes) + body


def _sane(data: Small) -> None:
    train = data.split("train")
    assert train.images.dtype == torch.uint8, train.images.dtype
    assert train.images.shape[1:] == (1, 28, 28), train.images.shape
    assert len(train.images) == len(train.labels)
    assert 0 <= int(train.labels.min()) <= int(train.labels.max()) <= 9
