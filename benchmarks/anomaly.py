"""Do edits find lesions? Maps of healthy counterfactuals against true masks, beside two baselines.

    python benchmarks/anomaly.py --ckpt runs/lesions-diffusion --classifier runs/lesions-classifier

of `Lesions` over MNIST, the models trained on it (docs/recipes.md). The baselines are the same way
up and down without guidance, and the size of the classifier's input gradient, each map divided by
its largest value. Blur and threshold of each are those that fit validation images best; the table
is of test images.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cgd_lightning import DDIM, Lesions, Request, Start, resolve
from cgd_lightning.data.planting import KINDS
from cgd_lightning.data.vision import MNIST
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.evaluation.anomaly import Found, anomaly_report, fix_threshold
from cgd_lightning.evaluation.maps import blurred, difference_map, gradient_map, unit_maps
from cgd_lightning.sampling.job import Job
from cgd_lightning.strokes import dilated_strokes

BLURS = range(4)

NEAR = 2
"""Pixels from a stroke that count as inside the digit."""


@dataclass(frozen=True)
class Part:
    """A few images of a split with their masks (N, 1, H, W) and kinds (N,)."""

    images: Tensor
    masks: Tensor
    kinds: Tensor


def part_of(data: Lesions, split: str, count: int) -> Part:
    """The first images of a split."""
    images = data.split(split).images[:count]  # type: ignore[attr-defined]  # MNIST is in memory
    return Part(images, data.masks(split)[:count], data.kinds(split)[:count])


def edited(job: Job, images: Tensor) -> Tensor:
    """What the job makes of images."""
    return difference_map(images, job.editing(images).samples())


def row(name: str, maps: Callable[[Tensor], Tensor], val: Part, test: Part) -> str:
    """What the maps find of the lesions of `test`, with all that is chosen chosen on `val`."""
    of_val, of_test = maps(val.images), maps(test.images)

    def precision(blur: int) -> float:
        return anomaly_report(blurred(of_val, blur), val.masks).found.average_precision or 0.0

    blur = max(BLURS, key=precision)
    report = anomaly_report(
        blurred(of_test, blur),
        test.masks,
        fix_threshold(blurred(of_val, blur), val.masks),
        dilated_strokes(test.images, NEAR),
        test.kinds,
        KINDS,
    )
    kinds = " / ".join(f"{report.by_kind[kind].average_precision:.2f}" for kind in KINDS[1:])
    return f"| {name}, blur {blur} | {_cells(report.found)} | {kinds} |"


def _cells(found: Found) -> str:
    inside = f"{found.auroc_inside:.3f} | {found.average_precision_inside:.3f}"
    return f"{found.auroc:.3f} | {found.average_precision:.3f} | {inside} | {found.dice:.3f}"


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--classifier", required=True)
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=200, help="images of each split")
    parser.add_argument("--scale", type=float, default=10.0)
    parser.add_argument("--strength", type=float, default=0.9)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    data = Lesions(MNIST(root=str(given.root), download=False))
    val, test = (part_of(data, split, given.count) for split in ("val", "test"))
    request = Request(
        given.ckpt,
        classifier=given.classifier,
        labels="healthy",
        scale=given.scale,
        sampler=DDIM(given.steps),
        start=Start(given.strength),
    )
    job = resolve(request)
    guide = job.classifier
    assert isinstance(guide, NoisyClassifier)
    heads = (
        "map",
        "AUROC",
        "AP",
        "AUROC inside",
        "AP inside",
        "Dice",
        "AP of " + "/".join(KINDS[1:]),
    )
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, maps in {
        "gradient of the classifier": lambda images: unit_maps(gradient_map(guide, images, 0)),
        "reconstruction": lambda images: edited(job.again(scale=0.0), images),
        "healthy counterfactual": lambda images: edited(job, images),
    }.items():
        print(row(name, maps, val, test), flush=True)


if __name__ == "__main__":
    main()
