"""The options of `cgd edit`: those of `cgd sample` that make sense here, and its own."""

import os
from collections.abc import Sequence
from typing import Any

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.commands.measuring import command_parser
from cgd_lightning.commands.sample import add_sampler_and_guidance, is_given, values_of
from cgd_lightning.commands.stored_data import add_data_option
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.diffusion.start import Start
from cgd_lightning.sampling.edit_images import SPLITS, EditImages
from cgd_lightning.sampling.place import Place
from cgd_lightning.sampling.processes import Devices
from cgd_lightning.sampling.request import Request

OTHERS = {"sampler", "guidance", "start", "labels", "low_res", "num_samples"}
"""Fields of a request that are written otherwise here, or say nothing of an edit."""


SWITCH: dict[str, Any] = {"type": bool, "nargs": "?", "const": True, "default": False}

RESIZE = (
    "bring images, and masks, of another size or with other channels to those of the model, as "
    "data sets of folders do."
)


def parser(words: Sequence[str], trust: Trust = NO_TRUST, sampler: str = "DDIM") -> OneLineErrors:
    """The options of `cgd edit`; `sampler` is the class whose defaults count.

    The data set is that of the model in `words` unless the user names another.
    """
    description = (
        "What images would look like as another class: brings them part of the way to noise and "
        "back under guidance, and writes both, their difference, and what classifiers say of them. "
        "--steps N is short for --sampler.steps N."
    )
    options = command_parser("edit", description)
    options.examples = (
        "cgd edit --ckpt runs/diffusion --images test --to next --scale 5 --strength 0.5",
        "cgd edit --ckpt runs/diffusion --images FOLDER --to 9 --mask mask.png",
    )
    _add_words(options)
    options.add_class_arguments(EditImages, skip={"resize"}, instantiate=False)
    (options.groups or {})["EditImages"].add_argument("--resize", **SWITCH, help=RESIZE)
    options.add_class_arguments(Start, skip={"source"}, instantiate=False)
    options.add_class_arguments(Request, skip=OTHERS, instantiate=False)
    if not add_sampler_and_guidance(options, sampler):
        return parser(words, trust)
    _add_places(options)
    if _may_want_data(words):
        add_data_option(options, list(words), "ckpt", "the diffusion model", trust)
    return options


def _add_words(options: OneLineErrors) -> None:
    add = options.add_argument
    add(
        "--again",
        metavar="edits.json",
        help="Make the edits of an earlier `cgd edit` again; further options change them.",
    )
    add(
        "--to",
        type=str | None,
        help="What images become: classes as in --labels of cgd sample, 3, 3|7, !3, in turn; next "
        "for the class after that of each image, where their classes are known.",
    )
    add(
        "--from",
        type=str | None,
        help="What they show, written likewise, or true for the class of each: the way to noise is "
        "guided by it, and without --to they become anything else.",
    )
    add(
        "--judge",
        type=str | None,
        help="Run or file of the judge. Default: the newest beside the run that fits.",
    )


def _add_places(options: OneLineErrors) -> None:
    options.add_class_arguments(
        Place, skip={"animate", "compile", "trainer", "format"}, instantiate=False
    )
    options.add_class_arguments(Devices, "trainer")
    place = (options.groups or {})["Place"]
    place.add_argument("--compile", **SWITCH, help="torch.compile the networks.")
    place.add_argument(
        "--format",
        choices=["png", "npz"],
        default="png",
        help="pictures in folders (png), or arrays in one edits.npz (npz).",
    )


def _may_want_data(words: Sequence[str]) -> bool:
    """Whether images may be of a data set; else the start is quicker without its options."""
    images = values_of("--images", words)
    elsewhere = any(is_given(option, words) for option in ("--config", "--again"))
    typed = any(word.startswith("--data") for word in words)
    return (
        not images or images[-1] in SPLITS or elsewhere or typed or "CGD_EDIT__DATA" in os.environ
    )
