"""`cgd demo`: train a judge and both networks on handwritten digits, guide, look, and measure."""

import time
from dataclasses import replace
from pathlib import Path

import torch

from cgd_lightning import checkpoints
from cgd_lightning.commands import fit
from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.report import Report
from cgd_lightning.sampling.place import Place
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.stored import read_samples
from cgd_lightning.sampling.write import write_samples

REQUEST = Request(
    ckpt="runs/diffusion",
    classifier="runs/classifier",
    scale=3,
    num_samples=500,
    sampler=DDIM(steps=20, eta=1.0),
)

USAGE = f"""usage: cgd demo

  cgd demo
  cgd sample --ckpt runs/diffusion --labels 3,7 --scale 3  # afterwards, more of its images

Trains a judge, a noise predictor and a classifier on real handwritten digits (runs/judge,
runs/diffusion, runs/classifier), makes {REQUEST.num_samples} images at scale {REQUEST.scale} and
{REQUEST.num_samples} unguided ones, and lets the judge count. The last line is the path of the grid
of guided images."""


def run(args: list[str]) -> None:
    """Run `args`: "demo" alone."""
    if args[1:] in (["-h"], ["--help"]):
        print(USAGE)
        return
    if args[1:]:
        raise InputError(f"{' '.join(args[1:])}: cgd demo takes no options")
    begin = time.perf_counter()
    for name in ("judge", "classifier", "diffusion"):
        fit.run(["fit", "--config", f"{name}.yaml"])
    folder = checkpoints.find("runs/diffusion").parent / "samples"
    for out, request in (("guided", REQUEST), ("unguided", replace(REQUEST, scale=0))):
        write_samples(request, Place(out=str(folder / out), format="npz"))
    _measure(folder)
    print(f"all of it in {time.perf_counter() - begin:.0f} s")
    print(folder / "guided" / "grid.png")


def _measure(folder: Path) -> None:
    """Let the judge count both folders of samples in `folder`, against held-out digits."""
    digits = Digits()
    held_out = [digits.split(name) for name in ("val", "test")]
    images, labels = (
        torch.cat([getattr(part, what) for part in held_out]) for what in ("images", "labels")
    )
    judge = checkpoints.load("runs/judge", CleanClassifier)
    measure = Measure(JudgeFeatures(judge, "runs/judge"), images, labels)
    guided, unguided = (measure(*read_samples(folder / name)) for name in ("guided", "unguided"))
    print(f"judge: recognises {measure.recognised:.1%} of {len(images)} held-out digits")
    print("\n".join(_lines(guided, unguided)))


def _lines(guided: Report, unguided: Report) -> list[str]:
    return [
        f"guided at scale {REQUEST.scale}: the judge recognises {guided['accuracy']:.1%} of "
        f"{guided.n} samples as the class asked for",
        f"unguided: {unguided['accuracy']:.1%}, chance is 10%",
        f"precision {guided['precision']:.2f}, recall {guided['recall']:.2f} (k = 3, the judge's "
        f"features) against {guided.reference} held-out digits",
    ]
