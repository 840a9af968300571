"""Folders with the autoencoder of a latent pipeline of diffusers, for `cgd convert`."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from cgd_lightning.diffusion.autoencoder import Autoencoder as OurAutoencoder
from cgd_lightning.exchange import worlds
from cgd_lightning.exchange.diffusers_files import WEIGHTS
from cgd_lightning.networks import DiffusersAutoencoder
from tests.fuzz.folder_files import spoiled, written
from tests.fuzz.foreign_folder import read_sane, tell
from tests.fuzz.outcome import Attempt

SIZE = 8
SETTINGS: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 2,
    "latent_channels": 2,
}
CONFIG = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.35.0",
    "sample_size": SIZE,
    "in_channels": 3,
    "out_channels": 3,
    "scaling_factor": 0.18215,
    "shift_factor": 0.1,
    "force_upcast": True,
    "latents_mean": None,
    **SETTINGS,
}


class Autoencoder:
    """A good folder with something wrong in one of its files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        network = DiffusersAutoencoder(SIZE, 3, 3, **SETTINGS)
        state = {name.removeprefix("vae."): value for name, value in network.state_dict().items()}
        config = json.dumps(CONFIG).encode()
        self.good = {"config.json": config, WEIGHTS[0]: save(state)}
        written(folder / "vae", self.good)
        [imported] = worlds.read(folder / "vae", {})
        assert isinstance(imported.model, OurAutoencoder)
        assert imported.model.latent_shape == (2, 4, 4), imported.model.latent_shape

    def make(self, random: random.Random, folder: Path) -> str:
        self.folder = folder / "vae"
        self.given = random.choice([{}, {}, {"image_size": 16}])
        written(self.folder, self.good)
        return spoiled(random, self.folder)

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: tell(self.folder), lambda: _sane(self.folder, self.given)]


def _sane(folder: Path, given: dict[str, Any]) -> None:
    for imported in read_sane(folder, given):
        assert isinstance(imported.model, OurAutoencoder)
        assert bool((imported.model.variance > 0).all())
