"""The options of `cgd sweep`, beside those of `cgd sample`."""

import math
from collections.abc import Sequence

from cgd_lightning import checkpoints
from cgd_lightning.commands.sample import SHORT
from cgd_lightning.commands.several import Option
from cgd_lightning.commands.stored_data import add_data_option
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.edit_sweep import GOAL
from cgd_lightning.sampling.sweep import SCALES

OWN = ("scales", "judge", "features", "data", "out", "help")
"""Options of this command, beside those of `cgd sample`."""

OF_EDITS = ("images", "to", "num_images", "strength", "again", "flips")
"""Options of which each says that edits of images are wanted, and not samples."""

NOT_HERE = {
    "scale": "give --scales 0,1,2,5",
    "animate": "cgd sample does it, at the scale that you choose",
    "format": "points are written as npz",
    "trainer": "cgd sweep works in one process",
    "print_config": "cgd sample has it",
}
"""Options of `cgd sample` that make no sense here, and what to do."""

ALONE = ("config", "from", "device", "compile", "trust", "trust-size", "trust_size")
"""Options that have one value."""

SAMPLES = 1000
"""Of each point, unless the user says another number."""

KEPT = "points that are finished are kept; make room, and give the same command again"
"""What is said of a sweep whose disk is full."""


def parser(
    words: Sequence[str], trust: checkpoints.Trust, named_by: str = "judge"
) -> OneLineErrors:
    """The options that `cgd sweep` has beside those of `cgd sample`.

    The data set is that of the checkpoint in `words` that the option `named_by` names.
    """
    description = (
        "Which scale to use: the same noise and labels at several scales, and with none, measured "
        "and compared. Takes all options of cgd sample, and several values of each, separated by "
        "commas: --sampler.steps 10,20, short --steps 10,20; --labels is given several times. "
        f"Makes {SAMPLES:,} samples of each point unless --num_samples says otherwise. With "
        "--images, which scale and strength for edits: takes the options of cgd edit likewise."
    )
    options = OneLineErrors(prog="cgd sweep", description=description, allow_abbrev=False)
    options.examples = (
        "cgd sweep --ckpt runs/diffusion --scales 0,1,2,5",
        "cgd sweep --ckpt runs/diffusion --images test --to next --scales 2,5,10 "
        "--strength 0.5,0.7,0.9",
    )
    usual = ",".join(f"{scale:g}" for scale in SCALES)
    options.add_argument(
        "--scales",
        type=str,
        default=usual,
        help="Scales of the guidance; of samples 0 is always among them.",
    )
    options.add_argument(
        "--flips",
        type=float,
        default=GOAL,
        help="Share of the edited images that shall show what was asked, says the judge: the "
        "closest point that reaches it is named.",
    )
    options.add_argument(
        "--judge",
        type=str | None,
        help="Run or file of the judge. Default: the newest beside the run that fits.",
    )
    options.add_argument(
        "--features",
        type=str | None,
        help="Network whose features are compared, as for cgd evaluate. Default: the judge.",
    )
    options.add_argument(
        "--out",
        type=str | None,
        help="Folder of the points, the table and the plots. Default: sweep, or edit-sweep, beside "
        "the file of --ckpt.",
    )
    options.add_argument("--ckpt", type=str | None, help="The diffusion model, as for cgd sample.")
    add_data_option(options, list(words), named_by, "the judge", trust)
    return options


def divided(options: Sequence[Option]) -> tuple[list[Option], list[Option]]:
    """(options of this command, options of `cgd sample`), by their full names."""
    own: list[Option] = []
    rest: list[Option] = []
    for option in options:
        name = SHORT.get(option.name, option.name)
        first = name.partition(".")[0]
        if first in NOT_HERE:
            raise InputError(f"--{name}: not for cgd sweep; {NOT_HERE[first]}")
        if len(option.values) > 1 and (name in ALONE or (first in OWN and name != "scales")):
            raise InputError(f"--{name}: takes one value, and {len(option.values)} were given")
        (own if first in OWN else rest).append(Option(name, option.values))
    return own, rest


def scales_of(own: Sequence[Option]) -> tuple[float, ...]:
    """The scales that the options of this command ask for. Raises InputError for no numbers."""
    given = [option.values for option in own if option.name == "scales"]
    if not given:
        return SCALES
    return tuple(number_of("scales", text, "numbers, as --scales 0,1,2,5,10") for text in given[-1])


def number_of(option: str, text: str | None, wanted: str) -> float:
    """The finite number that `text` is, given to `option`. Raises InputError if it is none."""
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        what = "none" if text is None else repr(text)
        raise InputError(f"--{option} {what}: wanted {wanted}")
    return number
