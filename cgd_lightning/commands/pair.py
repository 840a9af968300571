"""Which diffusion model `cgd sample` takes, and which classifier goes with it."""

import os
import sys
from pathlib import Path

from jsonargparse import Namespace

from cgd_lightning import checkpoints
from cgd_lightning.commands.foreign import CALL
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.errors import InputError, printable


def find_pair(
    settings: Namespace, rule: Rule, *, explicit: bool, off: bool
) -> tuple[Path, checkpoints.Card, Path | str | None]:
    """The diffusion checkpoint, its card, and the classifier that `rule` needs: its path, or the
    call that makes it. Says which.

    explicit: whether the user named the classifier himself. off: whether the scale is 0, where one
    that nothing needs is no mistake.
    """
    path = checkpoints.find(settings.ckpt)
    card = checkpoints.read(path)
    if card.kind != "diffusion":
        raise InputError(
            f"--ckpt {path}: a {card.kind}, and a diffusion model was wanted"
            + _swap_hint(card.kind)
        )
    say(f"diffusion model: {path}")
    if not rule.guides:
        if explicit and not off:
            raise InputError(
                f"--classifier {settings.classifier}: no rule of this guidance takes it; leave it out, or add one that does, as in "
                "'[{class_path: ClassifierGuidance}, ...]'"
            )
        if explicit and not CALL.fullmatch(settings.classifier):
            checkpoints.read(checkpoints.find(settings.classifier))
        return path, card, None
    if len(rule.guides) > 1:
        raise InputError(
            "--guidance: rules of noisy and of clean images want different classifiers; give all "
            "but one their own, by Attribute"
        )
    clean = CleanClassifier in rule.guides
    if settings.classifier and CALL.fullmatch(settings.classifier):
        if not clean:
            raise InputError(
                f"--classifier {settings.classifier}: has never seen noise; guide with it by "
                "--guidance CleanGuidance"
            )
        say(f"classifier: {settings.classifier}")
        return path, card, settings.classifier
    if clean and not settings.classifier:
        raise InputError(
            "CleanGuidance needs a classifier of clean images: --classifier runs/judge, or "
            "'torchvision.models.resnet18(weights=DEFAULT)'"
        )
    classifier = (
        checkpoints.find(settings.classifier)
        if settings.classifier
        else checkpoints.find_classifier(path, card)
    )
    if classifier is None:
        raise InputError(
            f"guidance needs a classifier of noisy images, and no run beside {path} fits; "
            "train one (cgd fit --config classifier.yaml), name one (--classifier RUN), or give --scale 0"
        )
    theirs = checkpoints.read(classifier)
    if clean and theirs.kind == "classifier":
        raise InputError(
            f"--classifier {classifier}: knows noisy images; guide with it by ClassifierGuidance, "
            "which is the default"
        )
    if not clean and theirs.kind == "judge":
        raise InputError(
            f"--classifier {classifier}: a judge, which has never seen noise; guide with it by "
            "--guidance CleanGuidance"
        )
    if clean:
        checkpoints.check_judge((classifier, theirs), (path, card))
    else:
        checkpoints.check_pair((path, card), (classifier, theirs))
    say(f"classifier: {classifier}")
    return path, card, classifier


def _swap_hint(kind: str) -> str:
    return "; the classifier goes to --classifier" if kind == "classifier" else ""


def say(text: str) -> None:
    """Tell the user, on standard error, once for all processes."""
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        print(printable(text), file=sys.stderr)
