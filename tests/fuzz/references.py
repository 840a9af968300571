"""References of an evaluation: an npz of images as ADM writes it, or of statistics of features."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgd_lightning.evaluation.networks.random import random as random_network
from cgd_lightning.sampling.references import read_moments, read_real
from tests.fuzz.arrays import as_npy, as_npz, hostile_array, lying_npy
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt
from tests.fuzz.samples import displaced

COUNT, SHAPE, WIDTH = 4, (1, 7, 9), 128
Arrays = dict[str, NDArray[Any]]


class References:
    """A good npz with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        self.features = random_network(None, torch.device("cpu"))
        x = np.random.default_rng(0).normal(size=(2 * WIDTH, WIDTH))
        images = np.arange(COUNT * 63, dtype=np.uint8).reshape(COUNT, 7, 9, 1)
        self.good: list[Arrays] = [
            {"arr_0": images, "arr_1": np.array([0, 1, 0, 1])},
            {
                "mu": x.mean(axis=0),
                "sigma": np.cov(x, rowvar=False),
                "n": np.array([2 * WIDTH]),
                "features": np.frombuffer(self.features.hash.encode(), np.uint8),
            },
        ]
        for arrays in self.good:
            np.savez(folder / "reference.npz", **arrays)  # type: ignore[arg-type]  # as in arrays.py
            self._sane(folder / "reference.npz")

    def make(self, random: random.Random, folder: Path) -> str:
        self.file, arrays = folder / "reference.npz", dict(random.choice(self.good))
        sort = random.choices(
            ["array", "names", "header", "bytes", "zip", "place"], [35, 8, 17, 18, 17, 5]
        )[0]
        name = random.choice(list(arrays))
        if sort == "array":
            arrays[name] = hostile_array(random, arrays[name])
        elif sort == "names":
            other = random.choice(["arr_0", "mu", "sigma", "../x", "n", "features", "x" * 300])
            arrays[other] = arrays.pop(name)
        data = as_npz(random, arrays)
        if sort == "header":  # in a zip whose checksums are right
            data = _with_npy(name, lying_npy(random, as_npy(arrays[name])), arrays)
        elif sort in ("bytes", "zip"):
            data = (damaged if sort == "bytes" else lying_zip)(random, data)
        self.file.write_bytes(data)
        if sort == "place":
            return displaced(random, self.file)
        return f"{sort} of {name}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: self._sane(self.file), lambda: read_real(self.file, None, (), False)]

    def _sane(self, file: Path) -> None:
        """Statistics are those of a Gaussian, and images are of their shape and classes."""
        moments = read_moments(file, self.features)
        if moments is None:
            real = read_real(file, SHAPE, ("a", "b"), False)
            assert real.images.shape == (len(real.images), *SHAPE), real.images.shape
            assert real.labels is None or len(real.labels) == len(real.images)
            return
        assert moments.moments is not None
        mean, cov = moments.moments
        assert cov.shape == (len(mean), len(mean)), cov.shape
        assert bool(mean.isfinite().all() & cov.isfinite().all())
        assert moments.n >= 0


def _with_npy(name: str, npy: bytes, arrays: Arrays) -> bytes:
    """An npz of `arrays`, in which `npy` stands for the one called `name`."""
    import io
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for other, array in arrays.items():
            archive.writestr(f"{other}.npy", npy if other == name else as_npy(array))
    return file.getvalue()
