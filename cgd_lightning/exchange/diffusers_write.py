"""A diffusion model of ours as a folder that `DDPMPipeline.from_pretrained` loads."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from cgd_lightning.checkpoints import describe
from cgd_lightning.checkpoints.weights import mismatch
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.diffusers_networks import their_settings, their_weights
from cgd_lightning.exchange.diffusers_schedules import scheduler_settings
from cgd_lightning.folders import is_free, whole_folder
from cgd_lightning.networks.diffusers_unet import build_unet, library

CARD = "cgd.json"
"""Our card in a folder of diffusers, which does not look at it."""


def write(
    model: Denoiser, folder: Path, dataset: str | None = None, source: str | None = None
) -> tuple[str, ...]:
    """Write `model` as a pipeline folder of diffusers, whole or not at all; notes for the user.

    `UNet2DModel.from_pretrained(folder / "unet")` gives the output of the network. dataset: the
    name of what the model was trained on; source: what it was converted from, if it was. Raises
    InputError for what diffusers cannot express, and if something is at `folder` that is no empty
    folder.
    """
    if not is_free(folder):
        raise InputError(f"{folder}: is there already, and not an empty folder; give another")
    if model.data.codec != PIXELS:
        raise InputError(
            f"codec {type(model.data.codec).__name__}: not to be written for diffusers, whose "
            "DDPMPipeline makes pixels"
        )
    unet_settings, scheduler = their_settings(model.network), scheduler_settings(model)
    diffusers = library()
    with torch.device("meta"):
        unet = build_unet(unet_settings)
    weights = {name: value.contiguous() for name, value in their_weights(model.network).items()}
    problem = mismatch(weights, unet.state_dict())
    if problem:
        name = type(model.network).__name__
        raise InputError(f"{name}: not to be written for diffusers: {problem}")
    unet.load_state_dict(weights, assign=True)
    pipeline = diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDPMScheduler(**scheduler))
    with whole_folder(folder) as unfinished:
        pipeline.save_pretrained(unfinished, safe_serialization=True)
        card = json.dumps(describe(model, dataset, source=source), indent=1)
        (unfinished / CARD).write_text(card, encoding="utf-8")
    return tuple(_notes(model))


def _notes(model: Denoiser) -> Iterator[str]:
    if model.conditional:
        yield (
            "DDPMPipeline tells no classes: call the unet with class_labels; their order is that "
            f"of class_names in {CARD}"
        )
    if model.null_label is not None:
        yield f"label {model.null_label} tells no class, for classifier-free guidance"
    if model.schedule.level(model.schedule.timesteps - 1).alpha == 0:
        yield "the last level is noise alone: timestep_spacing linspace and trailing begin there"
    yield "classifier guidance is not in it: diffusers has no pipeline for it"
