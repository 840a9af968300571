"""Which sampler makes the best guided MNIST digits of few evaluations of the noise predictor.

    for kind in judge classifier diffusion; do cgd fit --config mnist-$kind.yaml; done
    python benchmarks/samplers.py --out runs/samplers

Every row makes the same 2,000 digits three times, from other noise each time, at scale 16 unless it
says otherwise. Beside its values stand the differences from the first row, seed by seed, as their
mean and the half width of its 95% interval (Student's t, 2 degrees of freedom). Samples that are in
the folder already are not made again, so that a run can be interrupted.
"""

import argparse
import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from cgd_lightning import checkpoints
from cgd_lightning.data.vision import MNIST
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.guidance import ClassifierGuidance, Ramp
from cgd_lightning.diffusion.samplers import DDIM, DDPM, DPMSolver, DPMSolverSDE, Heun
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.stored import read_samples
from cgd_lightning.sampling.write import Place, write_samples

SEEDS = (0, 1, 2)
T_QUANTILE = 4.303

ANY = Request(ckpt="runs/mnist-diffusion", scale=16, num_samples=2000)
STOCHASTIC = replace(ANY, sampler=DDIM(steps=20, eta=1.0, spacing="trailing"))
RAMP = ClassifierGuidance(weight=Ramp(low=-7, high=0, start=0.2))

ROWS = {
    "DDPM, 250": replace(ANY, sampler=DDPM(steps=250)),
    "DDIM eta 1, trailing, 20": STOCHASTIC,
    "the same at scale 10": replace(STOCHASTIC, scale=10),
    "the same at scale 14, by a ramp": replace(STOCHASTIC, guidance=RAMP, scale=14),
    "DDIM, 20": replace(ANY, sampler=DDIM(steps=20)),
    "DPM-Solver++ 2M, 20": replace(ANY, sampler=DPMSolver(steps=20)),
    "SDE-DPM-Solver++ 2M, 20": replace(ANY, sampler=DPMSolverSDE(steps=20)),
    "Heun, log SNR, 19": replace(ANY, sampler=Heun(steps=10)),
}

HEAD = (
    "| sampler, evaluations | recognised % | difference | FID-lite | difference | precision "
    "| recall |\n|---|---|---|---|---|---|---|"
)

VALUES = ("accuracy", "fid_lite", "precision", "recall")


def main() -> None:
    """Make what samples are missing and print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, default=Path("runs/samplers"))
    options.add_argument("--rows", help="numbers of the rows, 0,3; default: all")
    options.add_argument("--data.root", dest="root", default="data")
    given = options.parse_args()
    numbers = map(int, given.rows.split(",")) if given.rows else range(len(ROWS))
    chosen = [list(ROWS)[number] for number in numbers]
    for row in chosen:
        for seed in SEEDS:
            make(row, seed, given.out)
    judge = checkpoints.load("runs/mnist-judge", CleanClassifier)
    test = MNIST(given.root, download=False).split("test")
    measure = Measure(JudgeFeatures(judge, "runs/mnist-judge"), test.images)
    print(HEAD)
    first: list[list[float]] = []
    for row in chosen:
        values = [measured(measure, folder_of(row, seed, given.out)) for seed in SEEDS]
        print(line(row, values, first))
        first = first or values


def folder_of(row: str, seed: int, out: Path) -> Path:
    """Where the samples of a row and seed are kept."""
    return out / re.sub(r"\W+", "-", row) / str(seed)


def make(row: str, seed: int, out: Path) -> None:
    """Make the samples of a row and seed, unless they are there."""
    folder = folder_of(row, seed, out)
    if not (folder / "samples.json").exists():
        write_samples(replace(ROWS[row], seed=seed), Place(out=str(folder), format="npz"))


def measured(measure: Measure, folder: Path) -> list[float]:
    """Accuracy in percent, FID-lite, precision and recall of the samples in `folder`."""
    report = measure(*read_samples(folder))
    return [100 * report["accuracy"], *(report[name] for name in VALUES[1:])]


def line(row: str, values: list[list[float]], first: list[list[float]]) -> str:
    """A row of the table, with its distance from the `first` one where there is one."""
    recognised, fid, precision, recall = (mean(column) for column in zip(*values))
    apart = ["", ""]
    for column in range(2 if first else 0):
        differences = [mine[column] - theirs[column] for mine, theirs in zip(values, first)]
        half = T_QUANTILE * stdev(differences) / math.sqrt(len(differences))
        apart[column] = f"{mean(differences):+.2f} ± {half:.2f}"
    return (
        f"| {row} | {recognised:.2f} | {apart[0]} | {fid:.3f} | {apart[1]} | {precision:.3f} "
        f"| {recall:.3f} |"
    )


if __name__ == "__main__":
    main()
