"""Folders of diffusers, for `cgd convert`: a pipeline that we wrote, and one of their network."""

import random
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear
from cgd_lightning.exchange import diffusers, worlds
from cgd_lightning.networks import DiffusersUNet, UNet
from tests.fuzz.folder_files import Files, spoiled, taken, written
from tests.fuzz.foreign_folder import read_sane, tell
from tests.fuzz.outcome import Attempt
from tests.fuzz.small_unet import small_unet

SIZE = 8
GIVEN: list[dict[str, Any]] = [
    {},
    {},
    {"image_size": SIZE},
    {"class_names": "a,b"},
    {"schedule": "linear", "timesteps": 100, "prediction": "eps", "image_size": SIZE},
]


class Diffusers:
    """A good folder with something wrong in one of its files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        own = small_unet(3, [1, 1])
        theirs = DiffusersUNet(
            SIZE,
            3,
            3,
            block_out_channels=(8,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            layers_per_block=1,
            norm_num_groups=2,
            attention_head_dim=4,
        )
        data = DataSpec((3, SIZE, SIZE), ())
        self.good: list[Files] = []
        for number, model in enumerate(
            (Denoiser(own, Linear(), "eps", data), Denoiser(theirs, Cosine(), "v", data))
        ):
            place = folder / str(number)
            diffusers.write(model, place)
            files = taken(place)
            self.good.append(files)
            bare = {name: part for name, part in files.items() if name != "cgd.json"}
            if number:
                self.good.append(bare | _pickled(bare))
        for number, files in enumerate(self.good):
            written(folder / f"again-{number}", files)
            [imported] = worlds.read(folder / f"again-{number}", {})
            assert isinstance(imported.model, Denoiser)
            wanted = DiffusersUNet if number else UNet
            assert isinstance(imported.model.network, wanted), type(imported.model.network)

    def make(self, random: random.Random, folder: Path) -> str:
        self.folder, self.given = folder / "pipeline", random.choice(GIVEN)
        written(self.folder, random.choice(self.good))
        return spoiled(random, self.folder)

    def attempts(self, folder: Path) -> list[Attempt]:
        return [
            lambda: tell(self.folder),
            lambda: read_sane(self.folder, self.given),
            lambda: read_sane(self.folder / "unet", self.given),
        ]


def _pickled(files: Files) -> Files:
    """The weights among `files` as older versions of diffusers write them."""
    import io

    from safetensors.torch import load

    name = next(name for name in files if name.endswith(".safetensors"))
    file = io.BytesIO()
    torch.save(load(files[name]), file)
    return {name: b"", name.replace(".safetensors", ".bin"): file.getvalue()}
