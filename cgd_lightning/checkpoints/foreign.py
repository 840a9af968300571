"""Networks that were made elsewhere, as classifiers: of another library, or the user's own class.

Each is tried on one image before it guides, so that one which does not fit is told at the door.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints.classes import construct
from cgd_lightning.checkpoints.listed import NO_TRUST, Trust, not_listed
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier, Preprocessed
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.errors import InputError, one_line


@dataclass(frozen=True)
class Recipe:
    """How a network wants its images, and what its classes are called.

    size: height and width that they are resized to; as they come where it is None. mean, std: of
    its normalisation, of images in [0, 1]; ImageNet's, which nearly all published classifiers want.
    channels: how many it takes; those of the images where it is None.
    """

    size: int | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    channels: int | None = 3
    class_names: tuple[str, ...] = ()


AS_THEY_COME = Recipe(mean=(0.5,), std=(0.5,), channels=None)
"""Images in [-1, 1], as a network of the user's own takes them."""


def own_classifier(
    spec: Mapping[str, Any],
    image_shape: Sequence[int],
    device: torch.device,
    trust: Trust = NO_TRUST,
    where: str = "classifier",
) -> CleanClassifier | NoisyClassifier:
    """The classifier of the user's own class that `spec` describes, frozen and on `device`.

    `spec` is {"class_path": ..., "init_args": {...}}; the images are of `image_shape` (C, H, W), in
    [-1, 1]. where: what names it, for messages. Raises InputError, before anything is imported, if
    `trust` does not cover the class; if it is no torch.nn.Module or cannot be made; and as
    `as_classifier` does.
    """
    path = str(spec.get("class_path"))
    if not trust.covers(path):  # listed ones, too: they are networks without weights
        raise InputError(f"{where}: {not_listed(path)}")
    network = construct(spec, nn.Module, where, trust)
    return as_classifier(network, image_shape, device, path)


def as_classifier(
    network: nn.Module, image_shape: Sequence[int], device: torch.device, where: str
) -> CleanClassifier | NoisyClassifier:
    """`network` as a classifier, frozen and on `device`; itself if it is one.

    Any other is taken for a classifier of clean images, with logits (B, K) for images (B, C, H, W)
    in [-1, 1]. Its classes are called as its attribute `class_names` says, or "0" to "K-1". Raises
    InputError, which begins with `where`, if it does not take images of `image_shape` or gives no
    such logits.
    """
    if not isinstance(network, CleanClassifier | NoisyClassifier):
        given = getattr(network, "class_names", ())
        words = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
        names = tuple(given) if words else ()
        recipe = replace(AS_THEY_COME, class_names=names)
        return clean_classifier(network, recipe, image_shape, device, where)
    trained_on = network.image_shape or tuple(image_shape)
    if trained_on != tuple(image_shape):
        raise InputError(
            f"{where}: was trained on images of shape {trained_on}, and these are "
            f"{tuple(image_shape)}"
        )
    network.to(device).eval().requires_grad_(False)
    image = torch.zeros(1, *image_shape, device=device)
    t = torch.zeros(1, device=device)
    with torch.no_grad():
        try:
            logits = (
                network.logits(image, t)
                if isinstance(network, NoisyClassifier)
                else network.logits(image)
            )
        except Exception as error:  # whatever the user's own code raises
            raise _failed(where, error) from error
    classes = _count_classes(logits, where)
    if len(network.class_names) != classes:
        raise InputError(f"{where}: {len(network.class_names)} class names for {classes} classes")
    return network


def clean_classifier(
    network: nn.Module,
    recipe: Recipe,
    image_shape: Sequence[int],
    device: torch.device,
    where: str,
) -> CleanClassifier:
    """`network`, frozen and on `device`, as a classifier of clean images in [-1, 1].

    The images are of `image_shape` (C, H, W) and get the size, normalisation and channels of
    `recipe`. Grey images are repeated in as many channels as the network takes: those of the
    recipe, else 3, else the images' own. Raises InputError, which begins with `where`, if none of
    them goes, or if the network does not give logits (B, K).
    """
    try:
        network.to(device).eval().requires_grad_(False)
    except Exception as error:  # of lazy modules, whose weights are not there yet
        raise _failed(where, error) from error
    first: Exception | None = None
    for ready in _prepared(network, recipe, image_shape[0]):
        try:
            with torch.no_grad():
                logits = ready.to(device)(torch.zeros(1, *image_shape, device=device))
        except Exception as error:  # of a network that wants other channels, or no images at all
            first = first or error
            continue
        classes = _count_classes(logits, where)
        named = len(recipe.class_names) == classes
        names = recipe.class_names if named else tuple(map(str, range(classes)))
        return CleanClassifier(ready.eval(), DataSpec(class_names=names))
    if first is None:
        raise InputError(
            f"{where}: takes {recipe.channels or 3} channels, and the images have {image_shape[0]}"
        )
    raise _failed(where, first) from first


def _prepared(network: nn.Module, recipe: Recipe, own: int) -> Iterator[nn.Module]:
    """`network` with what makes its images of those with `own` channels, one for each try."""
    plain = replace(recipe, class_names=()) == AS_THEY_COME
    for channels in dict.fromkeys((recipe.channels or own, 3, own)):
        if plain and channels == own:
            yield network
        elif own in (1, channels):
            mean, std = (_sized(values, channels) for values in (recipe.mean, recipe.std))
            yield Preprocessed(network, recipe.size, mean, std, channels)


def _sized(values: Sequence[float], channels: int) -> list[float]:
    """`values` of a normalisation, one a channel.

    For another number of channels, their mean for each.
    """
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _count_classes(logits: Any, where: str) -> int:
    """K of logits (1, K) of one image."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        came = tuple(logits.shape[1:]) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{where}: gives {came} for an image, and logits (K,) were wanted")
    if logits.shape[1] < 2 or not logits.is_floating_point():
        raise InputError(
            f"{where}: gives {logits.shape[1]} {str(logits.dtype).removeprefix('torch.')} for an "
            "image, and a logit for each of 2 classes or more was wanted"
        )
    return logits.shape[1]


def _failed(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: {type(error).__name__}: {one_line(error)}")


@contextmanager
def fixed_seed() -> Iterator[None]:
    """Within, random weights are the same each time, in every process.

    The random stream outside goes on as if nothing was drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
