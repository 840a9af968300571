"""The JSON beside an exported step, which `cgd export` looks at before it writes in its place."""

import random
from pathlib import Path

import torch

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.exchange.guided_step import GuidedStep
from cgd_lightning.exchange.step_files import MOST_JSON, check_place, facts
from cgd_lightning.networks import MLP, MLPClassifier
from tests.fuzz.outcome import Attempt
from tests.fuzz.record import hostile_json
from tests.fuzz.samples import displaced

LARGE = [
    b"[" + b"[]," * (MOST_JSON // 3 - 2) + b"[]]",
    b'{"format": [' + b"{}," * (MOST_JSON // 3 - 10) + b"0]}",
    b'{"alpha": [' + b"0," * (MOST_JSON // 2 - 20) + b"0]}",
    b'{"format": "' + b"x" * (MOST_JSON - 100) + b'"}',
    b"[" * MOST_JSON,
    b"9" * MOST_JSON,
]


class Steps:
    """A JSON that a kill left without its graph, with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        data = DataSpec((1, 8, 8), ("a", "b"))
        denoiser = Denoiser(MLP(8, 1, 1, width=8, depth=1), Cosine(8), "v", data)
        classifier = NoisyClassifier(MLPClassifier(8, 1, 2, width=8, depth=1), Cosine(8), data)
        self.good = facts(denoiser, classifier, GuidedStep(denoiser, classifier))

    def make(self, random: random.Random, folder: Path) -> str:
        file = folder / "pair.json"
        if random.random() < 0.05:
            file.write_bytes(random.choice(LARGE))
            return "large"
        sort, data = hostile_json(random, self.good)
        file.write_bytes(data)
        return displaced(random, file) if random.random() < 0.1 else sort

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: check_place(folder / "pair.pt2", "torch")]
