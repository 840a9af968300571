"""Features of real images that were kept on the disk."""

import io
import random
from pathlib import Path

import numpy as np
import torch

from cgd_lightning.evaluation.features import Seen
from cgd_lightning.evaluation.kept import read_kept, write_kept
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt

COUNT, IMAGES, NETWORK = 5, "a" * 16, "b" * 16
NAME = f"{IMAGES}-{NETWORK}.npz"


class Kept:
    """A good file with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        seen = Seen(torch.randn(COUNT, 6), torch.randn(COUNT, 3))
        write_kept(folder, IMAGES, NETWORK, seen)
        read = read_kept(folder, IMAGES, NETWORK, COUNT)
        assert read is not None
        assert torch.equal(read.features, seen.features)
        self.bytes = (folder / NAME).read_bytes()

    def make(self, random: random.Random, folder: Path) -> str:
        what = random.choice(["bytes", "zip", "arrays"])
        make = {"bytes": damaged, "zip": lying_zip, "arrays": _arrays}[what]
        (folder / NAME).write_bytes(make(random, self.bytes))
        return what

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: _sane(folder)]


def _arrays(random: random.Random, _: bytes) -> bytes:
    """Whole arrays of other shapes, types and numbers."""
    says = f"images {IMAGES} network {random.choice([NETWORK, NETWORK, IMAGES])}".encode()
    shapes = [(COUNT, 6), (COUNT, 0), (COUNT + 1, 6), (6,), (COUNT, 2, 3), ()]
    types = [np.float32, np.float32, np.float64, np.uint8, object, "U1"]
    value = random.choice([0.0, 1.0, np.nan, np.inf, 1e38])
    arrays = {
        "says": np.frombuffer(says, np.uint8),
        "features": np.full(random.choice(shapes), value).astype(random.choice(types)),
        "logits": np.full(random.choice(shapes), value).astype(np.float32),
    }
    for name in random.choice([(), (), ("logits",), ("says",), ("features",)]):
        del arrays[name]
    file = io.BytesIO()
    random.choice([np.savez, np.savez, np.savez_compressed])(file, **arrays)
    return file.getvalue()


def _sane(folder: Path) -> None:
    seen = read_kept(folder, IMAGES, NETWORK, COUNT)
    assert seen is not None
    assert len(seen.features) == len(seen.logits) == COUNT
    assert all((part.abs() < 1e15).all() for part in seen)
