"""The pictures that Python makes with the pair of the page: `pixels.json`, for its browser tests.

python page/tests/pixels.py DIFFUSION --classifier CLASSIFIER OUT

They are those of `cgd sample --precision fp32 --sampler DDIM`, three seeds, two classes and three
scales, one with fresh noise, and one of `cgd edit --start.by noise`.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from torch import Tensor

from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.start import Start
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import resolve

STEPS = 10
"""A tenth of a second each in a browser on a busy machine."""

PICTURES = 4
"""As many as stand in a row of the page."""

STRENGTH = 0.6


def main(diffusion: str, classifier: str, out: Path) -> None:
    """Write all pictures to `out`."""
    job = resolve(
        Request(
            ckpt=diffusion,
            classifier=classifier,
            num_samples=PICTURES,
            sampler=DDIM(steps=STEPS),
            precision="fp32",
        ),
        device="cpu",
    )
    samples = [
        _sample(job, seed=seed, labels=labels, scale=scale)
        for seed in (0, 1, 4_000_000_000)
        for labels in ("3", "8")
        for scale in (0.0, 1.0, 5.0)
    ]
    samples += [
        _sample(job, seed=2, labels="3|7", scale=3.0),
        _sample(job, seed=2, labels="!0", scale=3.0, eta=1.0),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"samples": samples, "edit": _edit(job)}), encoding="utf-8")


def _sample(job: Job, eta: float = 0.0, **changes: Any) -> dict[str, Any]:
    made = job.again(sampler=DDIM(steps=STEPS, eta=eta), **changes).samples()
    return {**changes, "eta": eta, "steps": STEPS, "pixels": _rows(made)}


def _edit(job: Job) -> dict[str, Any]:
    """The first guided 3 of seed 0, brought part of the way to noise, comes back as an 8."""
    three = job.again(seed=0, labels="3", scale=5.0).samples()[:1]
    start = Start(strength=STRENGTH, by="noise")
    editing = job.again(seed=0, labels="8", scale=5.0, start=start)
    made = editing.editing(three.expand(PICTURES, -1, -1, -1)).samples()
    return {"seed": 0, "scale": 5.0, "steps": STEPS, "strength": STRENGTH, "pixels": _rows(made)}


def _rows(images: Tensor) -> list[list[int]]:
    """The bytes of each of uint8 images (N, C, H, W)."""
    return [image.flatten().tolist() for image in images]


if __name__ == "__main__":
    options = ArgumentParser()
    options.add_argument("diffusion")
    options.add_argument("out", type=Path)
    options.add_argument("--classifier", required=True)
    main(**vars(options.parse_args()))
