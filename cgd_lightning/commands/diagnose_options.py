"""The options of `cgd diagnose`."""

from cgd_lightning import checkpoints
from cgd_lightning.commands.measuring import command_parser
from cgd_lightning.commands.stored_data import add_data_option
from cgd_lightning.configuration.parser import OneLineErrors


def parser(words: list[str], trust: checkpoints.Trust) -> OneLineErrors:
    """The options of `cgd diagnose`.

    The data set is that of the model in `words` unless the user names another.
    """
    description = (
        "Whether a classifier of noisy images is good enough to guide, where in the noise range, "
        "with which scale to start, and what is wrong with it, by test images at a grid of noise "
        "levels."
    )
    options = command_parser("diagnose", description)
    options.examples = (
        "cgd diagnose --ckpt runs/classifier",
        "cgd diagnose --ckpt runs/diffusion --classifier runs/classifier --scale 5",
    )
    _add_pair(options)
    _add_measurement(options)
    options.add_argument(
        "--out",
        type=str | None,
        help="Folder for diagnosis.json and diagnosis.png. Default: diagnosis, beside the file "
        "of --ckpt.",
    )
    add_data_option(options, words, "ckpt", "the model", trust)
    return options


def _add_pair(options: OneLineErrors) -> None:
    add = options.add_argument
    add("--ckpt", type=str | None, help="Run, version folder or file of either of the pair.")
    add(
        "--classifier",
        type=str | None,
        help="The classifier, where --ckpt is a diffusion model. Default: as for cgd sample.",
    )
    add(
        "--diffusion",
        type=str | None,
        help="The diffusion model, where --ckpt is a classifier. Default: the newest beside it "
        "that fits, if there is one.",
    )


def _add_measurement(options: OneLineErrors) -> None:
    add = options.add_argument
    add("--num_images", type=int, default=2000, help="Test images, at most.")
    add("--levels", type=int, default=12, help="Noise levels, evenly over the timesteps.")
    add("--scale", type=float, default=3.0, help="Of the paths that gradients are measured on.")
    add("--seed", type=int, default=0, help="Seed of the noise.")
    add("--batch_size", type=int, default=256, help="Images at a time.")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ...")
