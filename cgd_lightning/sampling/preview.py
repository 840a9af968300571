"""A picture of what a model makes: a few samples of a few classes, and how they were asked for."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.diffusion.generate import Progress
from cgd_lightning.diffusion.samplers import DPMSolverSDE
from cgd_lightning.evaluation.plots import grid
from cgd_lightning.sampling.caption import Caption
from cgd_lightning.sampling.evaluated import contact_sheet
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import resolve

UNCLAMPED = DPMSolverSDE(steps=20)
"""Where nothing clamps x0: with even steps in log SNR guidance does not saturate."""

PER_CLASS, CLASSES, WITHOUT = 2, 10, 8
"""Samples of a class, classes that are shown, and samples of a model that is told none."""


def preview(
    ckpt: Path,
    scale: float | None,
    device: str = "auto",
    trust: Trust = NO_TRUST,
    progress: Progress | None = None,
) -> tuple[Image.Image, Request]:
    """(grid of samples of the model `ckpt` under their scale, what they were asked for).

    Two of each of the first ten classes, a class a row; eight where there are no classes to ask
    for. scale: of the guidance by the classifier that goes with it; 0 for none.
    """
    job = resolve(Request(ckpt, scale=scale), device=device, trust=trust)
    if job.denoiser.data.codec.bounds is None:
        job = job.again(sampler=UNCLAMPED)
    names = (job.classifier or job.denoiser).data.class_names
    asks = job.classifier is not None or (job.denoiser.conditional and bool(names))
    shown = range(min(len(names), CLASSES))
    asked = [label for label in shown for _ in range(PER_CLASS)] if asks else None
    count = WITHOUT if asked is None else len(asked)
    request = replace(job.request, num_samples=count, batch_size=count)
    chosen = replace(job, request=request, asked=asked)
    (images,) = (chunk for _, chunk in chosen.chunks(progress=progress))
    heading = Caption.of(request, job.denoiser).heading
    if asked is None:
        return grid([images], [""], heading), request
    return contact_sheet(images, asked, names, heading), request
