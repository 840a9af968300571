"""What goes with what: a diffusion model, a classifier and a judge know the same images and
classes.
"""

from pathlib import Path

from cgd_lightning.checkpoints.card import Card
from cgd_lightning.checkpoints.files import read
from cgd_lightning.checkpoints.runs import find, find_partner
from cgd_lightning.errors import InputError


def check_pair(diffusion: tuple[Path, Card], classifier: tuple[Path, Card]) -> None:
    """Raises InputError, naming both files and both values, unless the classifier can guide the
    diffusion model.
    """
    (path, card), (other_path, other) = diffusion, classifier
    if card.kind != "diffusion":
        raise InputError(f"{path}: a {card.kind}, and a diffusion model was wanted")
    if other.kind != "classifier":
        raise InputError(
            f"{other_path}: a {other.kind}, and a classifier of noisy images was wanted"
        )
    for name in ("image_shape", "class_names"):
        mine, yours = getattr(card, name), getattr(other, name)
        if mine != yours and mine:
            raise InputError(
                f"these two do not pair: {name.replace('_', ' ')} {mine} in {path}, but {yours} in {other_path}; "
                "give a classifier trained on the same data with --classifier"
            )


def check_shapes(one: tuple[Path, Card], other: tuple[Path, Card]) -> None:
    """Raises InputError, naming both files and both values, unless both know images of one shape."""
    (path, card), (other_path, other_card) = one, other
    if card.image_shape != other_card.image_shape:
        raise InputError(
            f"image shape {card.image_shape} in {path}, but {other_card.image_shape} in "
            f"{other_path}; give one trained on such images"
        )


def check_judge(judge: tuple[Path, Card], other: tuple[Path, Card]) -> None:
    """Raises InputError, naming both files and both values, unless the judge knows the images and
    classes of the other model.
    """
    (path, card), (other_path, other_card) = judge, other
    if card.kind != "judge":
        raise InputError(
            f"{path}: a {card.kind}, and a judge was wanted: cgd fit --config judge.yaml"
        )
    for name in ("image_shape", "class_names"):
        mine, yours = getattr(card, name), getattr(other_card, name)
        if mine != yours and yours:
            raise InputError(
                f"this judge does not fit: {name.replace('_', ' ')} {mine} in {path}, but {yours} in {other_path}; "
                "give a judge trained on the same data"
            )


def find_classifier(path: Path, card: Card) -> Path | None:
    """The classifier that goes with a diffusion checkpoint: its stored partner, else the newest
    compatible run beside its own run.
    """
    if card.partner:
        return find_partner(card.partner, path.absolute().parent.parent.parent)
    candidates = [c for c in path.absolute().parent.parent.parent.glob("*/version_*") if c.is_dir()]
    found = []
    for folder in candidates:
        try:
            file = find(folder)
            check_pair((path, card), (file, read(file)))
        except InputError:
            continue
        found.append(file)
    return max(found, key=lambda file: file.stat().st_mtime, default=None)
