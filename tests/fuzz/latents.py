"""The latents of a data set, kept in the user's cache."""

import json
import os
import random
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from cgd_lightning import checkpoints
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.data.latents import cache_folder, encoded
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.networks import ConvAutoencoder
from tests.fuzz.arrays import as_npy, hostile_array, lying_npy
from tests.fuzz.damage import damaged
from tests.fuzz.folder_files import taken, written
from tests.fuzz.outcome import Attempt
from tests.fuzz.record import hostile_json
from tests.fuzz.samples import displaced

COUNT, CPU = 6, torch.device("cpu")


class Latents:
    """A good cache with something wrong in one of its files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        network = ConvAutoencoder(8, 1, 1, latent_channels=3, width=8)
        model = Autoencoder(network, DataSpec((1, 8, 8), ("a", "b"))).eval().requires_grad_(False)
        self.codec = checkpoints.latents_of(model, "runs/autoencoder")
        pictures = torch.arange(COUNT * 64).reshape(COUNT, 1, 8, 8) % 256
        self.images = ImageTensors(pictures.to(torch.uint8), torch.arange(COUNT) % 2)
        self._encode(folder)
        [place] = (path for path in cache_folder().iterdir())
        self.name, self.good = place.name, taken(place)
        self.wanted = torch.from_numpy(np.load(place / "latents.npy"))
        self._sane(folder)

    def make(self, random: random.Random, folder: Path) -> str:
        os.environ["XDG_CACHE_HOME"] = str(folder)
        place = cache_folder() / self.name
        written(place, self.good)
        file = place / random.choice(["about.json", "latents.npy", "latents.npy"])
        data = file.read_bytes()
        sort = random.choices(["bytes", "header", "array", "json", "place"], [30, 25, 20, 15, 10])[
            0
        ]
        if sort == "place":
            return f"{displaced(random, random.choice([file, place]))} at {file.name}"
        if sort == "json" or file.name == "about.json":
            file = place / "about.json"
            _, data = hostile_json(random, json.loads(self.good["about.json"]))
        elif sort == "bytes":
            data = damaged(random, data)
        elif sort == "header":
            data = lying_npy(random, data)
        else:
            data = as_npy(hostile_array(random, self.wanted.numpy()))
        file.write_bytes(data)
        return f"{sort} of {file.name}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: self._sane(folder)]

    def _encode(self, folder: Path) -> torch.Tensor:
        """All latents, through the cache in `folder`."""
        os.environ["XDG_CACHE_HOME"] = str(folder)
        with redirect_stderr(StringIO()):  # where a cache is made, its bar
            data = encoded(self.images, self.codec, CPU)
        return data.__getitems__(list(range(len(data)))).images

    def _sane(self, folder: Path) -> None:
        """What is read is of the shape that is wanted. Other numbers in it nobody can know."""
        latents = self._encode(folder)
        assert latents.shape == self.wanted[:, 0].shape, latents.shape
        assert latents.dtype == torch.float32
        assert bool(latents.isfinite().all())
