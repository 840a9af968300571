"""Models as folders, in the form in which they are shared: config.json and model.safetensors."""

import json
import random
from pathlib import Path

import torch
import yaml

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.folder_form import WEIGHTS, write_folder
from cgd_lightning.checkpoints.listed import NO_TRUST
from cgd_lightning.commands.stored_data import stored_data, stored_weighting
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear
from cgd_lightning.exchange import ours, worlds
from cgd_lightning.networks import MLP, MLPClassifier
from tests.fuzz import values
from tests.fuzz.folder_files import spoiled, taken, written
from tests.fuzz.outcome import Attempt
from tests.fuzz.small_unet import small_unet

DATA = DataSpec((1, 8, 8), ["a", "b"], (0.5, 0.5))
TRAINING = {
    "data": {
        "class_path": "cgd_lightning.data.folder.Folder",
        "init_args": {"root": "../canary", "image_size": 8, "channels": 1},
    },
    "model": {"init_args": {"min_snr_gamma": 5.0}},
}


class Folders:
    """A good pair, or one model of it, with something wrong in one of the files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        unet = small_unet(1, [1])
        training = yaml.safe_dump(TRAINING)
        classifier = NoisyClassifier(MLPClassifier(8, 1, 2, width=8, depth=1), Cosine(), DATA)
        self.good = []
        networks = (MLP(8, 1, 1, width=8, depth=1), Linear()), (unet, Cosine())
        for number, (network, schedule) in enumerate(networks):
            pair = folder / str(number)
            denoiser = Denoiser(network, schedule, "v", DATA)
            write_folder(denoiser, pair / "diffusion", "dots", "elsewhere", 100, training)
            write_folder(classifier, pair / "classifier", "dots", training=training)
            assert len(worlds.read(pair, {})) == 2
            data = stored_data(pair / "diffusion" / WEIGHTS, NO_TRUST)
            assert data is not None
            assert "root" not in data["init_args"], data
            self.good.append(taken(pair))

    def make(self, random: random.Random, folder: Path) -> str:
        self.folder = folder / "pair"
        written(self.folder, random.choice(self.good))
        if random.random() < 0.15:
            file = self.folder / "diffusion" / "training.yaml"
            text = yaml.safe_dump(json.loads(json.dumps(values.mutated(random, TRAINING))))
            file.write_text(text, encoding="utf-8", errors="surrogatepass")
            return "values of training.yaml"
        return spoiled(random, self.folder)

    def attempts(self, folder: Path) -> list[Attempt]:
        files = [self.folder / part / WEIGHTS for part in ("diffusion", "classifier")]
        return [
            lambda: _sane(self.folder),
            lambda: ours.recognise(self.folder) and ours.told(self.folder),
            *(lambda file=file: _loaded(file) for file in files),
            *(lambda file=file: checkpoints.sizes(file) for file in files),
            lambda: stored_data(files[0], NO_TRUST),
            lambda: stored_weighting(files[0]),
        ]


def _loaded(file: Path) -> None:
    model = checkpoints.load(file)
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


def _sane(folder: Path) -> None:
    """Read a folder as `cgd convert` does; what comes of it are networks that have weights."""
    for imported in worlds.read(folder, {}):
        state = imported.model.state_dict()
        assert all(tensor.device.type == "cpu" for tensor in state.values())
        assert all(bool(tensor.isfinite().all()) for tensor in state.values())
        imported.let_go()
