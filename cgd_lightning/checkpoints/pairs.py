"""What goes with what: diffusion model, classifier and judge know the same images and classes."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from cgd_lightning.checkpoints.card import Card, check_kind
from cgd_lightning.checkpoints.files import read
from cgd_lightning.checkpoints.hub import is_hub
from cgd_lightning.checkpoints.runs import beside, find_partner, newest_first, paired
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance.discriminator import GENERATED
from cgd_lightning.errors import InputError

Known = tuple[Path, Card]
"""A checkpoint file and its card."""


ANOTHER = "give a classifier trained on the same data with --classifier"


def check_pair(diffusion: Known, classifier: Known, advice: str = ANOTHER) -> None:
    """Raises InputError unless the classifier can guide the diffusion model.

    The message names both files and both values, and ends with `advice`.
    """
    check_kind(diffusion, Denoiser)
    check_kind(classifier, NoisyClassifier)
    for name in ("image_shape", "class_names", "codec"):
        clash = _clash(name, diffusion, classifier)
        if clash and name == "codec":
            raise InputError(f"these two do not pair: {_other_space(diffusion, classifier)}")
        if clash and getattr(diffusion[1], name):
            raise InputError(f"these two do not pair: {clash}; {advice}")


def check_shapes(one: Known, other: Known) -> None:
    """Raises InputError unless both know images of one shape in one space.

    A judge reads pixels in any space. The message names both files and both values.
    """
    names = ("image_shape",) if other[1].kind == "judge" else ("image_shape", "codec")
    for name in names:
        clash = _clash(name, one, other)
        if clash:
            raise InputError(f"{clash}; give one trained on such images")


def check_space(stored: Known, run: Card) -> None:
    """Raises InputError unless a run that goes on from the checkpoint `stored` lives in its space.

    The message names both.
    """
    if _compared(stored[1], "codec") != _compared(run, "codec"):
        raise InputError(
            f"{stored[0]}: lives in {_space(stored[1])}, and this run in {_space(run)}; give "
            "--data.autoencoder the one that it began with, as runs/NAME/version_0, or begin a new "
            "run without --ckpt_path"
        )


def check_judge(judge: Known, other: Known) -> None:
    """Raises InputError unless the judge knows the images and classes of the other model.

    The message names both files and both values.
    """
    check_kind(judge, CleanClassifier)
    for name in ("image_shape", "class_names"):
        clash = _clash(name, judge, other)
        if clash and getattr(other[1], name):
            raise InputError(
                f"this judge does not fit: {clash}; give a judge trained on the same data"
            )


def _clash(name: str, one: Known, other: Known) -> str:
    """Where two cards differ in the entry `name`, both values and both files; else nothing."""
    (path, card), (other_path, other_card) = one, other
    mine, yours = _compared(card, name), _compared(other_card, name)
    if mine == yours:
        return ""
    return f"{name.replace('_', ' ')} {mine} in {path}, but {yours} in {other_path}"


def _other_space(diffusion: Known, classifier: Known) -> str:
    """What is said of a classifier that lives in another space than the diffusion model."""
    spaces = [_space(card) for _, card in (diffusion, classifier)]
    wanted = diffusion[1].codec["init_args"].get("autoencoder")
    make = f" --data.autoencoder {wanted}" if wanted else ""
    config = "latent-classifier.yaml" if wanted else "classifier.yaml"
    return (
        f"{diffusion[0]} lives in {spaces[0]}, and {classifier[0]} in {spaces[1]}; train one "
        f"there on the same data: cgd fit --config {config}{make}"
    )


def _space(card: Card) -> str:
    """The space of a model, as a user would call it."""
    if card.codec["class_path"].endswith(".Pixels"):
        return "pixels"
    arguments = card.codec["init_args"]
    if "autoencoder" in arguments:
        return f"the latents of {arguments['autoencoder']} ({arguments.get('hash')})"
    return f"the space of {card.codec['class_path']}"


def _compared(card: Card, name: str) -> Any:
    """The entry `name` of a card; of latents, all but where their autoencoder lay."""
    entry = getattr(card, name)
    if name != "codec":
        return entry
    known = {
        key: list(value) if isinstance(value, tuple) else value  # JSON has no tuples
        for key, value in entry["init_args"].items()
        if key != "autoencoder"
    }
    return {**entry, "init_args": known}


def find_classifier(path: Path, card: Card) -> Path | None:
    """The classifier that goes with a diffusion checkpoint.

    That is the one in the same folder, its stored partner, or the newest compatible run beside its
    own run, but for one that tells what was generated. Raises InputError for a partner on the Hub:
    a file does not decide what is fetched.
    """
    if (other := paired(path)) is not None:
        return other
    if card.partner and is_hub(card.partner):
        raise InputError(
            f"{path}: names its classifier {card.partner}, which is not fetched because a file "
            "says so; give it with --classifier"
        )
    if card.partner:
        return find_partner(card.partner, beside(path))
    for file in newest_first(beside(path)):
        with suppress(InputError):  # of a file that cannot guide, or is none
            found = read(file)
            check_pair((path, card), (file, found))
            if GENERATED not in found.class_names or GENERATED in card.class_names:
                return file
    return None


def find_judge(path: Path, card: Card) -> Path | None:
    """The newest judge beside the run of a checkpoint that knows its images and classes."""
    for file in newest_first(beside(path)):
        with suppress(InputError):  # of a file that is none, or does not fit
            check_judge((file, read(file)), (path, card))
            return file
    return None
