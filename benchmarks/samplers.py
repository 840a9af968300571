"""Which sampler makes the best guided MNIST digits of few evaluations of the noise predictor.

    cgd fit --config mnist-judge.yaml; cgd fit --config mnist-classifier.yaml; cgd fit --config mnist-diffusion.yaml
    python benchmarks/samplers.py --out runs/samplers

Every row makes the same 2,000 digits three times, from other noise each time, at scale 16 unless it
says otherwise. Beside its values stand the differences from the first row, seed by seed, as their
mean and the half width of its 95% interval (Student's t, 2 degrees of freedom). Samples that are in
the folder already are not made again, so that a run can be interrupted.
"""

import argparse
import math
import re
from pathlib import Path
from statistics import mean, stdev

import torch

from cgd_lightning import checkpoints
from cgd_lightning.commands import sample as sampling
from cgd_lightning.commands.evaluate import read_samples
from cgd_lightning.data.vision import MNIST
from cgd_lightning.diffusion.targets import hit
from cgd_lightning.evaluation.features import look
from cgd_lightning.evaluation.metrics import frechet_distance, precision_recall

N, SEEDS = 2000, (0, 1, 2)
T_QUANTILE = 4.303

STOCHASTIC = [
    "--sampler=DDIM",
    "--sampler.steps=20",
    "--sampler.eta=1",
    "--sampler.spacing=trailing",
]
RAMP = [f"--guidance.weight{option}" for option in ("=Ramp", ".low=-7", ".high=0", ".start=0.2")]

ROWS = {
    "DDPM, 250": ["--sampler=DDPM", "--sampler.steps=250", "--scale=16"],
    "DDIM eta 1, trailing, 20": [*STOCHASTIC, "--scale=16"],
    "the same at scale 10": [*STOCHASTIC, "--scale=10"],
    "the same at scale 14, by a ramp": [*STOCHASTIC, *RAMP, "--scale=14"],
    "DDIM, 20": ["--sampler=DDIM", "--sampler.steps=20", "--scale=16"],
    "DPM-Solver++ 2M, 20": ["--sampler=DPMSolver", "--sampler.steps=20", "--scale=16"],
    "SDE-DPM-Solver++ 2M, 20": ["--sampler=DPMSolverSDE", "--sampler.steps=20", "--scale=16"],
    "Heun, log SNR, 19": ["--sampler=Heun", "--sampler.steps=10", "--scale=16"],
}


def main() -> None:
    """Make what samples are missing and print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, default=Path("runs/samplers"))
    options.add_argument("--rows", help="numbers of the rows, 0,3; default: all")
    options.add_argument("--data.root", dest="root", default="data")
    given = options.parse_args()
    chosen = (
        [list(ROWS)[int(number)] for number in given.rows.split(",")] if given.rows else list(ROWS)
    )
    for row in chosen:
        for seed in SEEDS:
            folder = given.out / re.sub(r"\W+", "-", row) / str(seed)
            if not (folder / "samples.json").exists():
                words = [
                    "sample",
                    "--ckpt=runs/mnist-diffusion",
                    f"--num_samples={N}",
                    f"--seed={seed}",
                ]
                sampling.run([*words, "--format=npz", f"--out={folder}", *ROWS[row]])
    judge = checkpoints.load("runs/mnist-judge")
    reference, _ = look(judge, MNIST(given.root, download=False).split("test").images)
    values: dict[str, list[tuple[float, ...]]] = {}
    for row in chosen:
        values[row] = []
        for seed in SEEDS:
            images, targets = read_samples(given.out / re.sub(r"\W+", "-", row) / str(seed))
            features, classes = look(judge, images)
            recognised = 100 * hit(classes, targets).double().mean().item()
            values[row].append(
                (
                    recognised,
                    frechet_distance(reference, features),
                    *precision_recall(reference, features),
                )
            )
    print(
        "| sampler, evaluations | recognised % | difference | FID-lite | difference | precision | "
        "recall |\n|---|---|---|---|---|---|---|"
    )
    first = values[chosen[0]]
    for row, seeds in values.items():
        recognised, fid, precision, recall = (mean(column) for column in zip(*seeds))
        apart = [
            _interval([a[i] - b[i] for a, b in zip(seeds, first)]) if seeds is not first else ""
            for i in (0, 1)
        ]
        print(
            f"| {row} | {recognised:.2f} | {apart[0]} | {fid:.3f} | {apart[1]} | {precision:.3f} | "
            f"{recall:.3f} |"
        )


def _interval(differences: list[float]) -> str:
    return (
        f"{mean(differences):+.2f} +- "
        f"{T_QUANTILE * stdev(differences) / math.sqrt(len(differences)):.2f}"
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
