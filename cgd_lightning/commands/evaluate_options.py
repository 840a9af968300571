"""The options of `cgd evaluate`."""

from typing import Any

from cgd_lightning import checkpoints
from cgd_lightning.commands.measuring import command_parser
from cgd_lightning.commands.stored_data import add_data_option
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.evaluation.measure import MetricFactory
from cgd_lightning.sampling.edit_evaluation import NEAR

JUDGE = "judge"
"""The name of the features that are the judge's."""


def parser(words: list[str], trust: checkpoints.Trust) -> OneLineErrors:
    """The options of `cgd evaluate`.

    The data set is that of the judge in `words` unless the user names another.
    """
    description = (
        "Distances, precision, recall and class accuracy of samples of any origin, by a judge or "
        "another network, against real images that nothing was trained on; or of edits: flips, "
        "what was changed, and what difference maps find."
    )
    options = command_parser("evaluate", description)
    options.examples = (
        "cgd evaluate --samples runs/diffusion/version_0/samples/0 --judge runs/judge",
        "cgd evaluate --edits runs/diffusion/version_0/edits/0 --judge runs/judge --masks FOLDER",
    )
    options.add_argument(
        "--samples",
        type=str | None,
        help="Folder that cgd sample wrote, any folder of images, or an npz with arr_0.",
    )
    options.add_argument(
        "--judge",
        type=str | None,
        help="Run, version folder or file of the judge; without one there is no accuracy. Of edits "
        "by default the one that edits.json names.",
    )
    _add_edits(options)
    _add_networks(options)
    _add_places(options)
    options.add_argument(
        "--metrics",
        type=MetricFactory | list[MetricFactory] | None,
        help="Further metrics of the features, your own by import path.",
    )
    add_data_option(options, words, "judge", "the judge", trust)
    return options


def _add_edits(options: OneLineErrors) -> None:
    add = options.add_argument_group("edits, in the place of samples").add_argument
    add("--edits", type=str | None, help="Folder that cgd edit wrote.")
    add(
        "--masks",
        type=str | None,
        help="True masks of what difference maps should find, white on black: a folder of pictures "
        "with the names of the images, or one with masks/ and, of each file its kind, kinds.csv.",
    )
    add(
        "--validation",
        type=str | None,
        help="Edits of other images, on which the threshold of the maps is fixed, for Dice.",
    )
    add("--validation_masks", type=str | None, help="True masks of these, as --masks.")
    add(
        "--blur",
        type=int,
        default=0,
        help="Maps are averaged over squares of 2 BLUR + 1 pixels.",
    )
    add(
        "--near",
        type=int,
        default=NEAR,
        help="Maps are also measured inside what was drawn: at most so many pixels from a stroke.",
    )


def _add_networks(options: OneLineErrors) -> None:
    options.add_argument(
        "--features",
        type=str,
        default=JUDGE,
        help="Network whose features are compared: judge, efficientnet-lite0, inception, dinov2, "
        "random, or your own module by import path.",
    )
    options.add_argument(
        "--weights", type=str | None, help="File of its weights, where they are not found."
    )
    options.add_argument(
        "--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ..."
    )
    options.add_argument(
        "--batch_size", type=int | None, help="Images at a time; by default the network's own."
    )
    options.add_argument(
        "--num_training",
        type=int,
        default=10_000,
        help="Training images that samples are held against as copies; 0 for none.",
    )


def _add_places(options: OneLineErrors) -> None:
    options.add_argument(
        "--reference",
        type=str | None,
        help="Real images in the place of the data set's: a folder, or an npz of ADM's with arr_0, "
        "or with mu and sigma.",
    )
    options.add_argument(
        "--write_reference",
        type=str | None,
        help="npz to which mean and covariance of the reference are written, as ADM has them.",
    )
    options.add_argument(
        "--out",
        type=str | None,
        help="Folder of the results; by default evaluation in the folder of samples or edits of "
        "ours, else evaluation/NAME; with -2, -3, ... where one of other things is there.",
    )
    switch: dict[str, Any] = {"type": bool, "nargs": "?", "const": True, "default": False}
    options.add_argument(
        "--resize",
        **switch,
        help="bring images of a folder, and true masks of edits, to the wanted size",
    )
    options.add_argument(
        "--no_cache", **switch, help="neither keep nor read features of real images"
    )
