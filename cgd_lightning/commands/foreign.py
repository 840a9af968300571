"""`--classifier 'torchvision.models.resnet18(weights=DEFAULT)'`: a classifier of clean images from
another library.

What stands in the brackets are plain values; a bare word is a string. Where the library says how
its images are to be resized and normalised, and what its classes are called, as torchvision and
timm do, that is taken from there.

Calls are trusted like names of classes: one typed on the command line as it stands, one in a file
or in the environment only if it makes a model that torchvision or timm list as theirs, with plain
options and their own weights, or if its package is trusted by `--trust`.
"""

import ast
import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.diffusion.classifier import CleanClassifier, Preprocessed
from cgd_lightning.errors import InputError

CALL = re.compile(r"(?P<path>[A-Za-z_]\w*(\.[A-Za-z_]\w*)+)\((?P<arguments>.*)\)")

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Of the normalisation that nearly all published classifiers want; taken where a library does not
say.
"""

LIBRARIES = ("cgd_lightning", "torch", "torchvision", "timm")
"""Packages beside its own whose functions a typed call may reach."""

PUBLISHED = {
    "torchvision": ("weights", "num_classes", "progress"),
    "timm": ("pretrained", "num_classes", "in_chans"),
}
"""The options that a file may give to a model which the library lists as its own."""

MOST_CLASSES = 10_000


def foreign_classifier(
    call: str,
    image_shape: Sequence[int],
    device: torch.device,
    *,
    typed: bool = False,
    trust: Trust = NO_TRUST,
) -> CleanClassifier:
    """The classifier that `call`, an import path with arguments in brackets, makes, for images of
    `image_shape` (C, H, W) in [-1, 1].

    typed: whether it was typed on the command line, not read from a file. trust: packages that a
    file may name. Raises InputError if it is not trusted, cannot be imported or made, is no module,
    or does not give logits (B, K).
    """
    match = CALL.fullmatch(call.strip())
    assert match is not None
    path, (positional, named) = match["path"], _arguments(match["arguments"])
    module, _, name = path.rpartition(".")
    if not typed and not trust.covers(path):
        check_published(call, path, positional, named)
    try:
        function = getattr(import_module(module), name)
        _check_maker(function, call, trust)
        network = function(*positional, **named)
        if not isinstance(network, nn.Module):
            raise InputError(
                f"--classifier {call}: makes a {type(network).__name__}, and a torch.nn.Module "
                "that gives logits was wanted"
            )
        recipe, names = _published(function, positional, named, network)
        ready, logits = _tried(network, recipe, image_shape, device)
    except InputError:
        raise
    except Exception as error:  # whatever another library raises for what the user asked of it
        raise InputError(
            f"--classifier {call}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        shape = (
            tuple(logits.shape[1:]) if isinstance(logits, torch.Tensor) else type(logits).__name__
        )
        raise InputError(
            f"--classifier {call}: gives {shape} for an image, and logits (K,) were wanted"
        )
    classes = logits.shape[1]
    return CleanClassifier(
        ready, names if len(names) == classes else [str(k) for k in range(classes)]
    )


def check_published(call: str, path: str, positional: Sequence[Any], named: dict[str, Any]) -> None:
    """Raises InputError unless the call makes a model that its library lists, with options of
    `PUBLISHED` and weights of its own.
    """
    named = dict(named)
    package, name = path.partition(".")[0], path.rpartition(".")[2]
    if package not in PUBLISHED:
        raise _untrusted(call, package)
    try:
        makers = {"torchvision": ("torchvision.models.get_model",), "timm": ("timm.create_model",)}[
            package
        ]
        if path in makers:
            words = [*positional, *([named.pop("name")] if "name" in named else [])]
            if not words:
                raise _untrusted(call, package)
            name, *positional = words
        elif path not in (f"torchvision.models.{name}", f"timm.models.{name}", f"timm.{name}"):
            raise _untrusted(call, package)
        plain = {**dict(zip(PUBLISHED[package], positional)), **named}
        own = all(
            option in PUBLISHED[package] and _is_plain(value) for option, value in plain.items()
        )
        if len(positional) > 1 or not own or not _is_listed(package, name, plain):
            raise _untrusted(call, package)
    except InputError:
        raise
    except (ImportError, ValueError) as error:
        raise InputError(f"--classifier {call}: {' '.join(str(error).split())[:200]}") from error


def _is_plain(value: Any) -> bool:
    word = type(value) is str and re.fullmatch(r"[A-Za-z0-9_.]{1,60}", value)
    return (
        bool(word)
        or value is None
        or type(value) is bool
        or (type(value) is int and 0 <= value <= MOST_CLASSES)
    )


def _is_listed(package: str, name: Any, options: dict[str, Any]) -> bool:
    """Whether the library lists a model called `name`, and weights of it as `options` ask for."""
    if package == "torchvision":
        from torchvision.models import get_model_weights, list_models

        weights = options.get("weights")
        return name in list_models() and (
            weights is None
            or str(weights).rpartition(".")[2] in get_model_weights(name).__members__
        )
    from timm import is_model

    return (
        isinstance(name, str)
        and re.fullmatch(r"[A-Za-z0-9_.]+", name) is not None
        and is_model(name)
    )


def _untrusted(call: str, package: str, *, typed: bool = False) -> InputError:
    where = (
        "calls a function of another package" if typed else "stands in a file or the environment"
    )
    return InputError(
        f"--classifier {call}: {where}, and {package!r} is not trusted to be called from there; it was not. "
        f"If you trust it, {'' if typed else 'type it on the command line, or '}add --trust {package}"
    )


def _check_maker(function: Any, call: str, trust: Trust) -> None:
    """Raises InputError unless `function` is a class of modules, or a function of the package that
    the call names or of one that it may.

    Where it is defined counts, not through which module it was reached: modules hold what they
    import, and that may be anything.
    """
    home = str(getattr(function, "__module__", ""))
    package = home.partition(".")[0]
    if isinstance(function, type) and issubclass(function, nn.Module):
        return
    if not inspect.isfunction(function):
        raise InputError(
            f"--classifier {call}: wanted a class derived from torch.nn.Module, or a function that "
            "makes one; it was not called"
        )
    own = call.strip().partition(".")[0]
    if not (trust.covers(f"{home}.{function.__name__}") or package in (own, *LIBRARIES)):
        raise _untrusted(call, package, typed=True)


def _tried(
    network: nn.Module, recipe: dict[str, Any], image_shape: Sequence[int], device: torch.device
) -> tuple[Preprocessed, Any]:
    """`network` ready for images of `image_shape`, and what it gives for one, with as many channels
    as it takes.

    Those that its library tells, else 3, else the images' own. Raises what the first try raised if
    none of them goes.
    """
    own = image_shape[0]
    tries = [n for n in dict.fromkeys((recipe["channels"], 3, own)) if own in (1, n)]
    first: Exception | None = None
    for channels in tries:
        mean, std = (_sized(recipe[name], channels) for name in ("mean", "std"))
        ready = (
            Preprocessed(network, recipe["size"], mean, std, channels)
            .to(device)
            .eval()
            .requires_grad_(False)
        )
        try:
            with torch.no_grad():
                return ready, ready(torch.zeros(1, *image_shape, device=device))
        except Exception as error:  # of a network that wants another number of channels, or another kind of input altogether
            first = first or error
    assert first is not None
    raise first


def _sized(values: Sequence[float], channels: int) -> list[float]:
    """`values` of a normalisation, one a channel; their mean for each where they are of another
    number of channels.
    """
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments, plain values all."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError(text)
        return [_value(node) for node in call.args], {
            str(word.arg): _value(word.value) for word in call.keywords
        }
    except (SyntaxError, TypeError, ValueError) as error:
        raise InputError(
            f"--classifier ...({text}): wanted plain values in the brackets, as (weights=DEFAULT, "
            "num_classes=10)"
        ) from error


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _published(
    function: Any, positional: Sequence[Any], named: dict[str, Any], network: nn.Module
) -> tuple[dict[str, Any], list[str]]:
    """Size, mean, std and channels that `network` wants, and the classes' names, as far as the
    library tells.
    """
    plain = {"size": None, "channels": 3, **IMAGENET}
    weights = named.get("weights")
    if (
        str(getattr(function, "__module__", "")).startswith("torchvision.models")
        and weights is not None
    ):
        from torchvision.models import get_model_weights

        builder = (
            [*positional, named.get("name")][0] if function.__name__ == "get_model" else function
        )
        chosen = get_model_weights(builder)[str(weights).rpartition(".")[2]]
        recipe = vars(chosen.transforms())
        size = {"size": recipe["crop_size"][0]} if recipe.get("crop_size") else {}
        told = {name: tuple(recipe[name]) for name in ("mean", "std") if recipe.get(name)}
        return {**plain, **size, **told}, list(chosen.meta.get("categories", ()))
    recipe = getattr(network, "pretrained_cfg", None)
    if isinstance(recipe, dict) and "input_size" in recipe:
        channels, *_, size = recipe["input_size"]
        told = {name: recipe[name] for name in ("mean", "std")}
        return {"size": size, "channels": channels, **told}, list(recipe.get("label_names") or [])
    return plain, []
