"""What makes a pair guide well: networks, optimisers and losses of both halves, side by side.

    python benchmarks/guidable.py --data digits
    python benchmarks/guidable.py --data mnist --data.root data

Every classifier below is trained with every seed, and guides the noise predictor of that seed; then
each predictor is guided by the packaged classifier. All of a seed start from the same noise and
labels. Two judges look, of different networks and seeds. What --out holds is not done again, so
that a run goes on where it was stopped. Prints a table: the mean over seeds, and half of its 95%
interval (Student's t). Takes hours for mnist on two cores.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from scipy.stats import t as student
from torch import Tensor, nn
from torch.nn import functional as F

from cgd_lightning import checkpoints
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.vision import MNIST
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.evaluation.diagnosis import diagnose
from cgd_lightning.evaluation.diagnosis.score_fit import ScoreFit
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.networks.network import Network
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.stored import read_samples
from cgd_lightning.sampling.write import Place, write_samples
from cgd_lightning.training.modules import JudgeModule

REQUEST = Request(sampler=DDIM(steps=20, eta=1.0, spacing="trailing"))
SCALES = (1.0, 3.0, 10.0)

Words = list[str]
"""Options of `cgd fit`, beside the packaged configuration."""


def batch_norm(width: int) -> Words:
    """A `NoisyConvNet` of two levels of two blocks, on patches of 2 x 2."""
    return [
        *("--model.network=NoisyConvNet", f"--model.network.width={width}"),
        *("--model.network.channel_mult=[1,2]", "--model.network.num_blocks=2"),
        *("--model.network.patch_size=2", "--model.network.pooling=mean"),
    ]


ENCODER: Words = [
    *("--model.network=EncoderUNet", "--model.network.model_channels=32"),
    *("--model.network.channel_mult=[1,2]", "--model.network.num_res_blocks=1"),
    *("--model.network.attention_resolutions=[]", "--model.network.norm_groups=2"),
    "--model.network.patch_size=2",
]


def muon(lr: float, decay: float) -> Words:
    """The optimiser of Muon and AdamW."""
    return [
        "--model.optimizer=MuonAdamW",
        *(f"--model.optimizer.lr={lr}", f"--model.optimizer.weight_decay={decay}"),
    ]


def adamw(lr: float, decay: float) -> Words:
    """AdamW alone, with the betas that `MuonAdamW` gives it."""
    return [
        *("--model.optimizer=torch.optim.AdamW", "--model.optimizer.betas=[0.9,0.99]"),
        *(f"--model.optimizer.lr={lr}", f"--model.optimizer.weight_decay={decay}"),
    ]


def score(weight: float) -> Words:
    """Score matching by the noise predictor that is guided."""
    return ["--model.diffusion={diffusion}", f"--model.score_weight={weight}"]


def steps(count: int) -> Words:
    """The length of a run, which is validated at its end."""
    return [f"--trainer.max_steps={count}", f"--trainer.val_check_interval={count}"]


ADAMW, MUON = adamw(2e-3, 0.05), muon(8e-3, 0.05)

PREDICTORS: dict[str, dict[str, Words]] = {
    "digits": {
        "Muon": [*muon(4e-3, 0.0), *steps(340)],
        "AdamW": [*adamw(2e-3, 0.01), *steps(400)],
    },
    "mnist": {
        "Muon": [],
        "AdamW": [*adamw(1.5e-3, 0.0), *steps(4800)],
    },
}
"""By name, how they differ from the packaged one. The first is guided by all classifiers."""

SMALL, SURE = ["{batch norm}", *MUON], {"digits": 700, "mnist": 2200}
PLACES: Words = ["--model.network.pooling=flatten"]

CLASSIFIERS: dict[str, tuple[Words, dict[str, int]]] = {
    "batch norm, flattened, Muon": ([*SMALL, *PLACES], SURE),
    "batch norm, flattened, Muon, score 0.3 of 16 images": (
        [*SMALL, *PLACES, *score(0.3), "--model.gradient_images=16"],
        {"digits": 300, "mnist": 900},
    ),
    "batch norm, Muon": (SMALL, SURE),
    "batch norm, AdamW": (["{batch norm}", *ADAMW], {"digits": 760, "mnist": 2400}),
    "encoder, Muon": ([*ENCODER, *MUON], {"digits": 270, "mnist": 950}),
    "encoder, AdamW": ([*ENCODER, *ADAMW], {"digits": 300, "mnist": 1000}),
    "encoder, AdamW, score 0.1": (
        [*ENCODER, *ADAMW, *score(0.1)],
        {"digits": 110, "mnist": 330},
    ),
    "batch norm, Muon, score 1": ([*SMALL, *score(1.0)], {"digits": 150, "mnist": 500}),
    "batch norm, Muon, gradient 0.1": (
        [*SMALL, "--model.gradient_penalty=0.1"],
        {"digits": 350, "mnist": 1100},
    ),
    "batch norm, Muon, entropy 0.1": ([*SMALL, "--model.entropy_weight=0.1"], SURE),
    "batch norm, Muon, smoothing 0.1": ([*SMALL, "--model.label_smoothing=0.1"], SURE),
    "batch norm, Muon, statistics averaged": ([*SMALL, "--model.ema_statistics=true"], SURE),
    "batch norm, Muon, shifts of 1": ([*SMALL, "--data.shift=1"], SURE),
}
"""By name, how they differ from the packaged one, and how many steps take the same minutes. The
first guides all predictors. The encoder is ADM's, without attention."""

WIDTH = {"digits": 24, "mnist": 32}
"""Of the networks with batch norm."""


class Residual(Network):
    """The other judge: residual blocks with group norm, of clean images."""

    def __init__(self, image_size: int, in_channels: int, out_channels: int, width: int = 32):
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(_block(width * 2**n, width * 2 ** (n + 1)) for n in range(2))
        self.skips = nn.ModuleList(
            nn.Conv2d(width * 2**n, width * 2 ** (n + 1), 1, stride=2) for n in range(2)
        )
        self.head = nn.Linear(4 * width, out_channels)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer reads, (B, 4 width)."""
        h = self.first(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            h = skip(h) + block(h)
        return F.silu(h).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.GroupNorm(4, before), nn.SiLU(), nn.Conv2d(before, after, 3, stride=2, padding=1)),
        *(nn.GroupNorm(4, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1)),
    )


class Bench:
    """One data set, and a folder in which all that was done for it is kept."""

    def __init__(self, data: str, root: str, out: Path) -> None:
        self.name, self.root, self.out = data, root, out / data
        self.out.mkdir(parents=True, exist_ok=True)
        self.prefix = "" if data == "digits" else "mnist-"
        self.images = self._data(0)
        held_out: list[Any] = [self.images.split(part) for part in ("val", "test")]
        parts = held_out if data == "digits" else held_out[1:]
        self.real = torch.cat([part.images for part in parts])
        self.labels = torch.cat([part.labels for part in parts])

    def train(self, role: str, name: str, seed: int, words: Words) -> tuple[Path, float]:
        """The run of `cgd fit` with the packaged configuration and `words`, and its seconds."""
        folder = self.out / f"{role} {name} {seed}".replace(" ", "-").replace(",", "")
        run, done = folder / f"{self.prefix}{role}", folder / "seconds.json"
        if done.exists():
            return run, json.loads(done.read_text())
        shutil.rmtree(folder, ignore_errors=True)
        root = [] if self.name == "digits" else [f"--data.root={self.root}"]
        command = [
            *(sys.executable, "-m", "cgd_lightning.commands.main", "fit"),
            *(f"--config={self.prefix}{role}.yaml", *words, *root),
            *(f"--trainer.default_root_dir={folder}", f"--seed_everything={seed}"),
            *(f"--data.seed={seed}", *([] if role == "judge" else [QUIET])),
        ]
        begin = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - begin
        done.write_text(json.dumps(seconds))
        return run, seconds

    def judges(self) -> list[Measure]:
        """The packaged judge, and another one, each with the real images."""
        run, _ = self.train("judge", "packaged", 1000, [])
        first = checkpoints.load(run, CleanClassifier)
        second = CleanClassifier(self._residual(), first.data).eval()
        return [
            Measure(JudgeFeatures(judge, name), self.real, self.labels)
            for judge, name in ((first, "packaged judge"), (second, "residual judge"))
        ]

    def _residual(self) -> nn.Module:
        """Trained once, and kept."""
        file = self.out / "residual.pt"
        shape, classes = self.images.image_shape, len(self.images.class_names)
        network = Residual(shape[1], shape[0], classes)
        if not file.exists():
            seed_everything(77)
            adam = partial(torch.optim.AdamW, lr=2e-3, weight_decay=0.05)
            module = JudgeModule(Residual, adam, decay="linear", ema_decay=0.99)
            count = 400 if self.name == "digits" else 1500
            trainer = Trainer(max_steps=count, logger=False, enable_checkpointing=False)
            trainer.fit(module, self._data(77))
            assert module.ema is not None
            torch.save(module.ema.network.state_dict(), file)
        network.load_state_dict(torch.load(file, weights_only=True))
        return network

    def _data(self, seed: int) -> NoisingDataModule:
        return Digits(seed=seed) if self.name == "digits" else MNIST(self.root, False, seed=seed)

    def row(
        self, predictor: Path, classifier: Path, seed: int, judges: list[Measure], samples: int
    ) -> dict[str, float]:
        """What is found of a pair: of its gradient, and of its samples by both judges."""
        file = classifier.parent / f"row-{predictor.parent.name}-{samples}.json"
        if file.exists():
            return json.loads(file.read_text())
        found = self._diagnosed(predictor, classifier)
        for scale in SCALES:
            out = classifier.parent / f"{predictor.parent.name}-scale-{scale:g}-{samples}"
            if not (out / "samples.json").exists():
                asked = replace(
                    REQUEST,
                    ckpt=str(predictor),
                    classifier=str(classifier),
                    scale=scale,
                    seed=seed,
                    num_samples=samples,
                )
                write_samples(asked, Place(out=str(out), format="npz"))
            images, targets = read_samples(out)
            for which, judge in enumerate(judges):
                report = judge(images, targets)
                found |= {f"{name} {scale:g} {which}": report[name] for name in METRICS}
        file.write_text(json.dumps(found))
        return found

    def _diagnosed(self, predictor: Path, classifier: Path) -> dict[str, float]:
        guide = checkpoints.load(classifier, NoisyClassifier)
        denoiser = checkpoints.load(predictor, Denoiser)
        found = diagnose(guide, self.real[:1000], self.labels[:1000], denoiser, levels=24)
        scores = [level.score for level in found.levels if level.score is not None]
        return {
            "cross-entropy": fmean(level.found.cross_entropy for level in found.levels),
            "ECE": fmean(level.found.ece for level in found.levels),
            "multiplier": sum(s.multiplier * s.power for s in scores)
            / sum(s.power for s in scores),
            "told": _integral([(level.level.log_snr, level.score) for level in found.levels]),
        }


def _integral(fits: Sequence[tuple[float, ScoreFit | None]]) -> float:
    """What a gradient tells of the class, in nats: half its skill, over log SNR.

    That is log K for the exact classifier of K classes that clean images tell apart: the mutual
    information of class and image (Guo et al. 2005, arXiv:cs/0412108, for either class and all).
    Below a log SNR of -7 nothing is told, and levels stand too far apart to add up.
    """
    known = sorted((log_snr, fit.skill / 2) for log_snr, fit in fits if fit and log_snr > -7)
    return sum((b - a) * (x + y) / 2 for (a, x), (b, y) in itertools.pairwise(known))


QUIET = "--guided_sampler.every_n_validations=0"

MEASURES = ("cross-entropy", "ECE", "multiplier", "told")
"""Of a classifier, as `cgd diagnose` has them: the mean over noise levels, for the multiplier one
weighted by the square of the gradient; and what the gradient tells, of `_integral`."""

METRICS = ("accuracy", "fid_lite", "precision", "recall")


def spread(values: Sequence[float]) -> str:
    """Mean, and half of its 95% interval, of a value of every seed."""
    if len(values) < 2:
        return f"{values[0]:.3g}"
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.3g} ± {half:.2g}"


def line(name: str, seconds: Sequence[float], rows: Sequence[dict[str, float]]) -> str:
    """A line of the table."""
    cells = [name, spread(seconds)]
    cells += [spread([row[what] for row in rows]) for what in MEASURES]
    for scale, which in itertools.product(SCALES, range(2)):
        values = [[row[f"{name} {scale:g} {which}"] for row in rows] for name in METRICS]
        cells.append(", ".join(map(spread, values)))
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Trains, samples, measures and prints what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=sorted(PREDICTORS), default="digits")
    parser.add_argument("--data.root", dest="root", default="data")
    parser.add_argument("--out", type=Path, default=Path("guidable"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these classifiers alone")
    given = parser.parse_args()
    bench = Bench(given.data, given.root, given.out)
    judges = bench.judges()
    first, *others = PREDICTORS[given.data]
    table: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for seed in range(given.seeds):
        paths = {
            name: bench.train("diffusion", name, seed, words)[0]
            for name, words in PREDICTORS[given.data].items()
            if name == first or not given.only
        }
        pairs = [(first, name) for name in given.only or CLASSIFIERS]
        if not given.only:
            pairs += [(other, pairs[0][1]) for other in others]
        for predictor, name in pairs:
            words, count = CLASSIFIERS[name]
            told = [word.format(diffusion=paths[first]) for word in words if word != "{batch norm}"]
            if "{batch norm}" in words:
                told = [*batch_norm(WIDTH[given.data]), *told]
            run, seconds = bench.train("classifier", name, seed, told + steps(count[given.data]))
            row = bench.row(paths[predictor], run, seed, judges, given.samples)
            table.setdefault(f"{predictor}; {name}", []).append((seconds, row))
    columns = [f"{scale:g}, judge {which + 1}" for scale in SCALES for which in range(2)]
    print("| " + " | ".join(["predictor; classifier", "seconds", *MEASURES, *columns]) + " |")
    for name, found in table.items():
        print(line(name, [seconds for seconds, _ in found], [row for _, row in found]))


if __name__ == "__main__":
    main()
