"""`cgd sweep --images ...`: which scale and strength to edit with, the closest that does it."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cgd_lightning import checkpoints
from cgd_lightning.commands import edit, sample
from cgd_lightning.commands.several import Option, combinations, read_options
from cgd_lightning.commands.sweep_options import (
    ALONE,
    KEPT,
    NOT_HERE,
    OF_EDITS,
    number_of,
    scales_of,
)
from cgd_lightning.diffusion.start import Start
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.files import told_if_full
from cgd_lightning.sampling.edit_sweep import GOAL, EditSweep
from cgd_lightning.sampling.edit_sweep_files import told, write_edit_sweep
from cgd_lightning.sampling.edit_sweep_run import sweep_edits
from cgd_lightning.sampling.sweep import Variant

OWN_COMMAS = ("to", "from", "images", "mask")
"""Options in which commas do not separate values; --from is given several times for several."""

ONCE = {
    *({*ALONE} - {"from"} | {"images", "num_images", "mask", "keep", "resize", "to", "again"}),
    *("judge", "data", "out", "flips"),
}
"""Options that have one value, so that all points edit the same images to the same end."""

NOT_OF_EDITS = {
    **NOT_HERE,
    "print_config": "cgd edit has it",
    "num_samples": "give --num_images",
    "labels": "give --to",
    "low_res": "it is of samples",
    "features": "those of the judge are compared",
}
"""Options that make no sense here, and what to do."""


def is_asked(words: Sequence[str]) -> bool:
    """Whether `words`, options of `cgd sweep`, ask for edits of images."""
    names = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
    return not names.isdisjoint(OF_EDITS)


def run(args: list[str]) -> None:
    """Run `args`: "sweep" and its options."""
    own, rest = divided(read_options(args[1:], OWN_COMMAS))
    plan, words, asked = read(own, rest)
    path = checkpoints.find(str(asked.request.ckpt))
    out = Path(asked.place.out or checkpoints.results_folder(path) / "edit-sweep")
    split = asked.split
    files: list[Path] = []
    with edit.in_words(), told_if_full(out, KEPT):
        result = sweep_edits(
            plan,
            asked.wanted,
            split,
            asked.judge,
            out,
            device=asked.place.device,
            trust=asked.trust,
            compile=asked.place.compile,
            say=edit.say,
            known=asked.known,
            write=lambda made: files.extend(write_edit_sweep(made, out)),
        )
    place = next(i for i, v in enumerate(plan.variants) if v is result.chosen.variant)
    command = shlex.join(["cgd", "edit", *words[place], f"--scale={exact(result.chosen.scale)}"])
    made = [f"it is made by: {command}", f"it lies in {result.chosen.folder}"]
    print("\n".join([*told(result), "", *result.advice, *made, "", *map(str, files)]))


def read(
    own: Sequence[Option], rest: Sequence[Option]
) -> tuple[EditSweep, list[list[str]], edit.Asked]:
    """(the sweep, the words of each of its variants, what the first of them asks for).

    own: options of this command. rest: of `cgd edit`. Raises InputError for what cannot be met.
    """
    scales, goal = scales_of(own), _goal_of(own)
    _check_strengths(rest)
    variants, every, first = [], [], None
    for words, chosen in combinations(rest):
        asked = edit.read(words, "cgd sweep")
        first = first or asked
        # Of an earlier edit, or the environment: these scales take the place of that.
        request = replace(asked.request, scale=None)
        variants.append(Variant(request, chosen, asked.unchanged))
        every.append([word for word in words if not word.startswith("--out=")])
    assert first is not None
    with edit.in_words():
        return EditSweep(tuple(variants), scales, goal), every, first


def divided(options: Sequence[Option]) -> tuple[list[Option], list[Option]]:
    """(options of this command, options of `cgd edit`), by their full names."""
    own: list[Option] = []
    rest: list[Option] = []
    for option in options:
        name = sample.SHORT.get(option.name, option.name)
        first = name.partition(".")[0]
        if first in NOT_OF_EDITS:
            raise InputError(f"--{name}: not for cgd sweep of edits; {NOT_OF_EDITS[first]}")
        if len(option.values) > 1 and first in ONCE:
            raise InputError(f"--{name}: takes one value, and {len(option.values)} were given")
        (own if first in ("scales", "flips") else rest).append(Option(name, option.values))
    return own, rest


def _goal_of(own: Sequence[Option]) -> float:
    given = [option.values[0] for option in own if option.name == "flips"]
    if not given:
        return GOAL
    return number_of("flips", given[-1], "a share of the images, above 0 to 1, as 0.95")


def _check_strengths(rest: Sequence[Option]) -> None:
    """Raises InputError for strengths out of range, before anything is read."""
    for text in next((option.values for option in rest if option.name == "strength"), ()):
        strength = number_of("strength", text, "numbers from 0 to 1, as --strength 0.5,0.7,0.9")
        try:
            Start(strength)
        except InputError as error:
            raise InputError(f"--{error}") from error
