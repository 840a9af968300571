"""`cgd likelihood`: bits per dimension of held-out images, by the probability-flow ODE."""

import math
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.commands.measuring import command_parser, read_words
from cgd_lightning.commands.stored_data import add_data_option, with_data
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.diffusion.likelihood import Likelihood
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.bits import held_out_bits
from cgd_lightning.sampling.hardware import pick_device


def run(args: list[str]) -> None:
    """Run `args`: "likelihood" and its options."""
    settings, options, gate = read_words(args, parser)
    path = _find(settings, gate.trust)
    likelihood = Likelihood(settings.steps, probes=settings.probes)
    data = with_data(options, settings, path).data
    _check_shape(data, path)
    device = pick_device(settings.device)
    denoiser = checkpoints.load(path, Denoiser, device=device, trust=gate.trust)
    _check_classes(data, denoiser, path)
    test = data.split("test")
    count = min(settings.num_images, len(test))
    bits = held_out_bits(
        denoiser,
        likelihood,
        test,
        count,
        batch_size=settings.batch_size,
        seed=settings.seed,
        progress=partial(tqdm, desc="likelihood", unit="batch"),
    )
    error = bits.std().item() / math.sqrt(count) if count > 1 else math.nan
    print(
        f"{path}: {bits.mean().item():.3f} +- {error:.3f} bits per dimension of {count} test "
        f"images of {data.name}, at the noise of timestep 0 (sigma "
        f"{denoiser.schedule.level(0).sigma:.2g})"
    )


def _find(settings: Namespace, trust: checkpoints.Trust) -> Path:
    """The file of the diffusion model.

    trust: what it may name. Raises InputError for settings that are out of range, and for a model
    whose likelihood is not that of images.
    """
    if settings.ckpt is None:
        raise InputError("which diffusion model? give --ckpt runs/NAME, a version folder or a file")
    if min(settings.num_images, settings.batch_size) < 1:
        raise InputError(
            f"--num_images {settings.num_images}, --batch_size {settings.batch_size}: wanted at "
            "least 1 of each"
        )
    path = checkpoints.find(settings.ckpt)
    card = checkpoints.read(path)
    if card.kind != "diffusion":
        found = checkpoints.a_kind(card.kind)
        raise InputError(f"--ckpt {path}: {found}, and a diffusion model was wanted")
    if isinstance(card.data(path, trust).codec, Latents):
        raise InputError(
            f"--ckpt {path}: lives in latents, whose likelihood is not that of images; wanted a "
            "diffusion model of pixels"
        )
    return path


def _check_shape(data: Any, path: Path) -> None:
    wanted = checkpoints.read(path).image_shape
    if list(data.image_shape) != wanted:
        raise InputError(
            f"--data {data.name}: images of shape {list(data.image_shape)}; {path} was trained on "
            f"{wanted}"
        )


def _check_classes(data: Any, denoiser: Denoiser, path: Path) -> None:
    if denoiser.conditional and tuple(data.class_names) != denoiser.class_names:
        raise InputError(
            f"--data {data.name}: of the classes {list(data.class_names)}; {path} is told the "
            f"class, and was trained on {list(denoiser.class_names)}"
        )


def parser(words: list[str], trust: checkpoints.Trust) -> OneLineErrors:
    """The options of `cgd likelihood`.

    The data set is that of the model in `words` unless the user names another.
    """
    description = (
        "Bits per dimension of test images under a diffusion model, by its probability-flow ODE, "
        "as mean and standard error."
    )
    options = command_parser("likelihood", description)
    options.examples = (
        "cgd likelihood --ckpt runs/diffusion",
        "cgd likelihood --ckpt runs/diffusion --num_images 1000 --steps 50",
    )
    options.add_argument(
        "--ckpt", type=str | None, help="Run, version folder or file of the diffusion model."
    )
    options.add_argument("--num_images", type=int, default=100, help="Test images, the first ones.")
    options.add_argument(
        "--steps",
        type=int,
        default=100,
        help="Steps of Heun's method, two evaluations and gradients each.",
    )
    options.add_argument(
        "--probes",
        type=int,
        default=1,
        help="Random directions for the divergence at each evaluation.",
    )
    options.add_argument("--batch_size", type=int, default=100, help="Images at a time.")
    options.add_argument("--seed", type=int, default=0, help="Seed of the noise and of the probes.")
    options.add_argument(
        "--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ..."
    )
    add_data_option(options, words, "ckpt", "the model", trust)
    return options
