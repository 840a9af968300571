"""Published classifiers of clean images by name, from the libraries' own registries.

    torchvision:resnet18                        torchvision's default weights
    torchvision:resnet18.IMAGENET1K_V1          a named set of weights
    timm:resnet18.a1_in1k                       as timm names model and weights
    torchvision:resnet18.untrained:10           random weights, always the same, of 10 classes

Weights, the size and normalisation of images, and the names of the classes are those of the
library. A name reaches nothing but models that the library lists, and weights are read as plain
tensors, so it may stand in a file.
"""

import os
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches

import torch

from cgd_lightning.checkpoints.foreign import clean_classifier, fixed_seed
from cgd_lightning.checkpoints.registries import REGISTRIES, Registry
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.errors import InputError, one_line

MOST_CLASSES = 10_000

UNTRAINED = "untrained"
"""The name of random weights, as timm has it."""

PUBLISHED = re.compile(
    r"(torchvision|timm):([A-Za-z0-9_]{1,100})(?:\.([A-Za-z0-9_]{1,100}))?(?::([0-9]{1,5}))?"
)

EXAMPLES = "as torchvision:resnet18 or timm:resnet18.a1_in1k"

FORM = f"LIBRARY:MODEL.WEIGHTS, {EXAMPLES}"

_SAFE, _UNSAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@dataclass(frozen=True)
class Published:
    """A model that a library publishes.

    weights: the name of a set of weights, `untrained`, or None for the library's default.
    num_classes: of an untrained model; None for the library's default.
    """

    library: str
    model: str
    weights: str | None = None
    num_classes: int | None = None

    @classmethod
    def of(cls, name: str) -> "Published":
        """What `name` means. Raises InputError if it is no such name."""
        match = PUBLISHED.fullmatch(name)
        if match is None:
            raise InputError(f"{name[:100]}: no name of a published classifier; wanted {FORM}")
        library, model, weights, classes = match.groups()
        if classes is not None and weights != UNTRAINED:
            raise InputError(
                f"{name}: trained weights have their own number of classes; leave :{classes} out, "
                f"or give {library}:{model}.{UNTRAINED}:{classes}"
            )
        if classes is not None and not 2 <= int(classes) <= MOST_CLASSES:
            raise InputError(f"{name}: {classes} classes; wanted 2 to {MOST_CLASSES}")
        return cls(library, model, weights, None if classes is None else int(classes))

    def __str__(self) -> str:
        weights = "" if self.weights is None else f".{self.weights}"
        classes = "" if self.num_classes is None else f":{self.num_classes}"
        return f"{self.library}:{self.model}{weights}{classes}"

    @property
    def trained(self) -> bool:
        """Whether it has weights of the library."""
        return self.weights != UNTRAINED


def is_published(name: object) -> bool:
    """Whether `name` is meant as that of a published classifier, well formed or not."""
    library, colon, _ = str(name).partition(":")
    return bool(colon) and library in REGISTRIES


def find_published(name: str) -> Published:
    """What `name` means, looked up in its library; nothing is made or fetched.

    Raises InputError if it is no such name, the library is not installed, or it lists no such
    classifier or weights.
    """
    wanted = Published.of(name)
    library, model = wanted.library, wanted.model
    registry = _registry(wanted)
    known = registry.models()
    if model not in known:
        if kind := registry.kind(model):
            raise InputError(f"{name}: is {kind}; wanted a classifier of images, {EXAMPLES}")
        near = get_close_matches(model.lower(), known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"it has {len(known)} others"
        raise InputError(f"{name}: {library} lists no classifier {model}; {hint}")
    sets = registry.weights(model)
    if wanted.trained and not (wanted.weights in sets or (wanted.weights is None and sets)):
        came = "weights" if wanted.weights is None else f"weights {wanted.weights}"
        raise InputError(
            f"{name}: {library} lists no {came} of {model} that classify images; wanted "
            f"{', '.join(filter(None, [*sets, UNTRAINED]))}"
        )
    return wanted


def published_classifier(
    name: str, image_shape: Sequence[int], device: torch.device
) -> CleanClassifier:
    """The classifier called `name`, frozen and on `device`.

    It takes images of `image_shape` (C, H, W) in [-1, 1]. Its classes are called as the library
    calls them, or "0" to "K-1" where it does not say. Raises InputError as `find_published` does,
    if the weights cannot be fetched, or if it does not take such images.
    """
    wanted = find_published(name)
    registry = _registry(wanted)
    try:
        with _reading_tensors(), fixed_seed(), redirect_stdout(sys.stderr):
            network, recipe = (
                registry.trained(wanted.model, wanted.weights)
                if wanted.trained
                else registry.untrained(wanted.model, wanted.num_classes)
            )
    except OSError as error:  # of urllib, sockets, the Hub, or the disk
        raise InputError(
            f"{name}: its weights could not be fetched, {type(error).__name__}: {one_line(error)}; "
            "they are needed once, and kept in the library's cache"
        ) from error
    except pickle.UnpicklingError as error:
        raise InputError(f"{name}: its file of weights holds more than tensors") from error
    except Exception as error:  # whatever another library raises for what was asked of it
        raise InputError(f"{name}: {type(error).__name__}: {one_line(error)}") from error
    return clean_classifier(network, recipe, image_shape, device, name)


def _registry(wanted: Published) -> Registry:
    try:
        return REGISTRIES[wanted.library]()
    except Exception as error:  # an installation may be broken in many ways
        raise InputError(
            f"{wanted}: {wanted.library} cannot be imported, {one_line(error)}; pip install "
            f"{wanted.library}"
        ) from error


@contextmanager
def _reading_tensors() -> Iterator[None]:
    """Within, torch.load unpickles nothing, however a library calls it."""
    before = {name: os.environ.pop(name, None) for name in (_SAFE, _UNSAFE)}
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        del os.environ[_SAFE]
        os.environ.update({name: value for name, value in before.items() if value is not None})
