"""`--classifier 'torchvision.models.resnet18(weights=DEFAULT)'`: a classifier of clean images from another library.

What stands in the brackets are plain values; a bare word is a string. Where the library says how its images are to be resized and
normalised, and what its classes are called, as torchvision and timm do, that is taken from there.
"""

import ast
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from cgd_lightning.diffusion.classifier import CleanClassifier, Preprocessed
from cgd_lightning.errors import InputError

CALL = re.compile(r"(?P<path>[A-Za-z_]\w*(\.[A-Za-z_]\w*)+)\((?P<arguments>.*)\)")

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Of the normalisation that nearly all published classifiers want; taken where a library does not say."""


def foreign_classifier(call: str, image_shape: Sequence[int], device: torch.device) -> CleanClassifier:
    """The classifier that `call`, an import path with arguments in brackets, makes, for images of `image_shape` (C, H, W) in [-1, 1].

    Raises InputError if it cannot be imported or made, is no module, or does not give logits (B, K).
    """
    match = CALL.fullmatch(call.strip())
    assert match is not None
    module, _, name = match["path"].rpartition(".")
    try:
        function = getattr(import_module(module), name)
        positional, named = _arguments(match["arguments"])
        network = function(*positional, **named)
    except InputError:
        raise
    except Exception as error:  # whatever another library raises for what the user asked of it
        raise InputError(f"--classifier {call}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"--classifier {call}: makes a {type(network).__name__}, and a torch.nn.Module that gives logits was wanted")
    wants, names = _published(function, named.get("weights"), network)
    ready = Preprocessed(network, **wants).to(device).eval().requires_grad_(False)
    with torch.no_grad():
        logits = ready(torch.zeros(1, *image_shape, device=device))
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape[1:]) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"--classifier {call}: gives {shape} for an image, and logits (K,) were wanted")
    classes = logits.shape[1]
    return CleanClassifier(ready, names if len(names) == classes else [str(k) for k in range(classes)])


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments, plain values all."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        return [_value(node) for node in call.args], {str(word.arg): _value(word.value) for word in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise InputError(f"--classifier ...({text}): wanted plain values in the brackets, as (weights=DEFAULT, num_classes=10)") from error


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _published(function: Any, weights: Any, network: nn.Module) -> tuple[dict[str, Any], list[str]]:
    """What `Preprocessed` takes, and the classes' names, as far as the library tells."""
    if str(getattr(function, "__module__", "")).startswith("torchvision.models") and weights is not None:
        from torchvision.models import get_model_weights

        chosen = get_model_weights(function)[str(weights).rpartition(".")[2]]
        recipe = chosen.transforms()
        return {"size": recipe.crop_size[0], "mean": recipe.mean, "std": recipe.std}, list(chosen.meta["categories"])
    recipe = getattr(network, "pretrained_cfg", None)
    if isinstance(recipe, dict) and "input_size" in recipe:
        return {"size": recipe["input_size"][-1], "mean": recipe["mean"], "std": recipe["std"]}, list(recipe.get("label_names") or [])
    return {"size": None, **IMAGENET}, []
