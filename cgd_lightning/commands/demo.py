"""`cgd demo`: the whole story on handwritten digits: train a judge, both networks, guide, look, and
measure.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.commands import lightning_cli
from cgd_lightning.commands import sample as sampling
from cgd_lightning.data.digits import Digits
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import look
from cgd_lightning.evaluation.metrics import accuracy, precision_recall

SAMPLES = 500
SCALE = 5
USAGE = f"""usage: cgd demo

Trains a judge, a noise predictor and a classifier on real handwritten digits (runs/judge, runs/diffusion, runs/classifier), makes {SAMPLES}
images at scale {SCALE} and {SAMPLES} unguided ones, and lets the judge count. The last line is the path of the grid of guided images."""


def run(args: list[str]) -> None:
    """Run `args`: "demo" alone."""
    if args[1:] in (["-h"], ["--help"]):
        print(USAGE)
        return
    if args[1:]:
        raise InputError(f"{' '.join(args[1:])}: cgd demo takes no options")
    begin = time.perf_counter()
    for name in ("judge", "classifier", "diffusion"):
        lightning_cli.run(["fit", "--config", f"{name}.yaml"])
    folder = checkpoints.find("runs/diffusion").parent / "samples"
    guided, asked = _sample(folder / "guided", SCALE)
    unguided, _ = _sample(folder / "unguided", 0)

    judge = checkpoints.load("runs/judge")
    digits = Digits()
    held_out = [digits.split(name) for name in ("val", "test")]
    real, labels = (
        torch.cat([getattr(part, what) for part in held_out]) for what in ("images", "labels")
    )
    seen_real, classes_real = look(judge, real)
    seen, classes = look(judge, guided)
    precision, recall = precision_recall(seen_real, seen)
    print(f"judge: recognises {accuracy(classes_real, labels):.1%} of {len(real)} held-out digits")
    print(
        f"guided at scale {SCALE}: the judge recognises {accuracy(classes, asked):.1%} of "
        f"{len(guided)} samples as the class asked for"
    )
    print(f"unguided: {accuracy(look(judge, unguided)[1], asked):.1%}, chance is 10%")
    print(
        f"precision {precision:.2f}, recall {recall:.2f} (k = 3, the judge's features) against "
        f"{len(real)} held-out digits"
    )
    print(f"all of it in {time.perf_counter() - begin:.0f} s")
    print(folder / "guided" / "grid.png")


def _sample(out: Path, scale: float) -> tuple[Tensor, Tensor]:
    """(uint8 images (N, C, H, W), asked classes (N,)) that `cgd sample` made at `scale`, in turn of
    every class.
    """
    options = {
        "ckpt": "runs/diffusion",
        "classifier": "runs/classifier",
        "scale": scale,
        "num_samples": SAMPLES,
    }
    options |= {"sampler": "DDIM", "sampler.steps": 20, "sampler.eta": 1.0}
    sampling.run(
        [
            "sample",
            *(f"--{name}={value}" for name, value in options.items()),
            "--format=npz",
            f"--out={out}",
        ]
    )
    with np.load(out / "samples.npz") as arrays:
        return torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2), torch.from_numpy(
            arrays["arr_1"]
        )
