"""Which files a request means, and whether they go together; nothing is loaded yet."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.calls import is_call, refusal
from cgd_lightning.checkpoints.published import find_published, is_published
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.sampling.checks import SEVERAL
from cgd_lightning.sampling.request import Request, RequestError

Say = Callable[[str], None]
"""Tells the user something in one line."""

Source: TypeAlias = Path | str | Mapping[str, Any]
"""Of a classifier: a file, the name of a published one, or class_path and init_args."""


HINTS = {
    "classifier": "; the classifier goes to `classifier`",
    "autoencoder": ": cgd fit --config latent-diffusion.yaml",
}
"""What to do with a checkpoint that is no diffusion model."""


def silent(text: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Pair:
    """A diffusion checkpoint, its card, and the classifier that the guidance needs, if it does.

    rule: the whole guidance, its models still names.
    """

    path: Path
    card: checkpoints.Card
    rule: Rule
    classifier: Source | None


def find_pair(request: Request, lenient: Collection[str] = (), say: Say = silent) -> Pair:
    """The files that `request` means.

    lenient: fields that nobody asked for now, so that their going unused is no mistake. Raises
    InputError for a file that is not there or does not fit, naming both files and both values.
    """
    if request.ckpt is None:
        raise RequestError("which diffusion model? give ckpt=runs/NAME, a version folder or a file")
    path = checkpoints.find(request.ckpt)
    card = checkpoints.read(path)
    if card.kind != "diffusion":
        hint = HINTS.get(card.kind, "")
        raise RequestError(
            f" {path}: {checkpoints.a_kind(card.kind)}, and a diffusion model was wanted{hint}",
            "ckpt",
        )
    say(f"diffusion model: {path}")
    rule = request.rule()
    if rule.guides:
        classifier = _find_classifier(request, rule, path, card)
        say(f"classifier: {_shown(classifier)}")
        return Pair(path, card, rule, classifier)
    if request.classifier is not None and "classifier" not in lenient:
        _check_unused(request, rule)
    return Pair(path, card, rule, None)


def _check_unused(request: Request, rule: Rule) -> None:
    """Of a classifier that was asked for and that no rule takes.

    It is no mistake where the guidance is off, if the classifier is there.
    """
    if rule.strength != 0:
        raise RequestError(
            f" {_shown(request.classifier)}: no rule of this guidance takes it; leave it out, or "
            f"add one that does, as in {SEVERAL}",
            "classifier",
        )
    if isinstance(request.classifier, str | Path) and not is_published(str(request.classifier)):
        checkpoints.read(checkpoints.find(request.classifier))


def _find_classifier(request: Request, rule: Rule, path: Path, card: checkpoints.Card) -> Source:
    """The classifier for `rule`, which wants one."""
    if len(rule.guides) > 1:
        raise RequestError(
            ": rules of noisy and of clean images want different classifiers; give all but one "
            "their own, by Attribute",
            "guidance",
        )
    clean, given = CleanClassifier in rule.guides, request.classifier
    if given is None:
        return _need_clean() if clean else _newest(path, card)
    if isinstance(given, Mapping):
        return given
    if is_call(str(given)):
        raise refusal(str(given))
    if is_published(str(given)):
        if not clean:
            raise RequestError(
                f" {given}: has never seen noise; guide with it by guidance=CleanGuidance",
                "classifier",
            )
        find_published(str(given))  # said before anything is loaded
        return str(given)
    return _check_kind(checkpoints.find(given), clean, path, card)


def _need_clean() -> Source:
    raise RequestError(
        "CleanGuidance needs a classifier of clean images: classifier=runs/judge, or "
        "torchvision:resnet18"
    )


def _newest(path: Path, card: checkpoints.Card) -> Path:
    found = checkpoints.find_classifier(path, card)
    if found is None:
        raise RequestError(
            f"guidance needs a classifier of noisy images, and no run beside {path} fits; train "
            "one (cgd fit --config classifier.yaml), name one (classifier=RUN), or give scale=0"
        )
    checkpoints.check_pair((path, card), (found, checkpoints.read(found)))
    return found


def _check_kind(file: Path, clean: bool, path: Path, card: checkpoints.Card) -> Path:
    theirs = checkpoints.read(file)
    if clean and theirs.kind == "classifier":
        raise RequestError(
            f" {file}: knows noisy images; guide with it by ClassifierGuidance, which is the "
            "default",
            "classifier",
        )
    if not clean and theirs.kind == "judge":
        raise RequestError(
            f" {file}: a judge, which has never seen noise; guide with it by "
            "guidance=CleanGuidance",
            "classifier",
        )
    if clean:
        checkpoints.check_judge((file, theirs), (path, card))
    else:
        checkpoints.check_pair((path, card), (file, theirs))
    return file


def _shown(classifier: Any) -> str:
    return str(classifier["class_path"] if isinstance(classifier, Mapping) else classifier)
