"""`cgd likelihood`: bits per dimension of held-out images under a diffusion model, by its
probability-flow ODE.
"""

import math

import torch
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.commands.stored_data import add_data_option, data_of
from cgd_lightning.configuration.parser import OneLineErrors, take_trusted
from cgd_lightning.diffusion.likelihood import Likelihood, bits_per_dimension
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.process import to_float
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.hardware import pick_device


def run(args: list[str]) -> None:
    """Run `args`: "likelihood" and its options."""
    words, gate = take_trusted(args[1:])
    options = parser(words, gate.trust)
    settings = options.parse_args(words)
    gate.check(vars(settings), "")
    gate.keep_downloads_here(settings.data)
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
        raise InputError(f"--ckpt {path}: a {card.kind}, and a diffusion model was wanted")
    likelihood = Likelihood(settings.steps, probes=settings.probes)
    data = data_of(options, settings, path)
    if list(data.image_shape) != card.image_shape:
        raise InputError(
            f"--data {data.name}: images of shape {list(data.image_shape)}; {path} was trained on "
            f"{card.image_shape}"
        )
    device = pick_device(settings.device)
    denoiser = checkpoints.load(path, device=device, trust=gate.trust)
    if denoiser.conditional and list(data.class_names) != card.class_names:
        raise InputError(
            f"--data {data.name}: of the classes {list(data.class_names)}; {path} is told the "
            f"class, and was trained on {card.class_names}"
        )
    start = denoiser.schedule.level(0)
    test = data.split("test")
    count = min(settings.num_images, len(test))
    bits = []
    for first in tqdm(range(0, count, settings.batch_size), desc="likelihood", unit="batch"):
        batch = test.__getitems__(list(range(first, min(first + settings.batch_size, count))))
        noise = SeededNoise(settings.seed, batch.indices.to(device), data.image_shape)
        x = start.alpha * to_float(batch.images.to(device)) + start.sigma * noise()
        log_p = likelihood(denoiser.bind(batch.labels.to(device)), x, denoiser.schedule, noise)
        bits.append(bits_per_dimension(log_p, x[0].numel()).cpu())
    values = torch.cat(bits).double()
    error = values.std().item() / math.sqrt(count) if count > 1 else math.nan
    print(
        f"{path}: {values.mean().item():.3f} +- {error:.3f} bits per dimension of {count} test images of {data.name}, "
        f"at the noise of timestep 0 (sigma {start.sigma:.2g})"
    )


def parser(words: list[str], trust: checkpoints.Trust) -> OneLineErrors:
    """The options of `cgd likelihood`; the data set is that of the model in `words` unless the user
    names another.
    """
    description = (
        "Bits per dimension of test images under a diffusion model, by its probability-flow ODE, "
        "as mean and standard error."
    )
    options = OneLineErrors(
        prog="cgd likelihood",
        default_env=True,
        env_prefix="CGD_LIKELIHOOD_",
        description=description,
        allow_abbrev=False,
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
