"""Calls that made a classifier in earlier versions and stand in their records.

They are read as the names that took their place, and are never made:

    torchvision.models.resnet18(weights=DEFAULT)        torchvision:resnet18
    torchvision.models.get_model(resnet18)              torchvision:resnet18.untrained
    timm.create_model(resnet18, pretrained=True)        timm:resnet18
    timm.models.resnet18(num_classes=10)                timm:resnet18.untrained:10
"""

import re
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from cgd_lightning.checkpoints.published import FORM, UNTRAINED, Published, find_published
from cgd_lightning.errors import InputError

CALL = re.compile(r"\s*[A-Za-z_]\w*(\.[A-Za-z_]\w*)+\(.*\)\s*", re.ASCII | re.DOTALL)

MOST_DEPTH = 150
"""Of lists and mappings in a record."""

LONGEST = 300
"""Letters in a call that is translated."""

_PLAIN = re.compile(r"(?:(torchvision)\.models|(timm)(?:\.models)?)\.(\w+)\(([\w.=,]*)\)", re.ASCII)

_BY_NAME = {"torchvision": "get_model", "timm": "create_model"}
"""The functions whose first argument is the name of the model."""

_WEIGHTS = {
    "torchvision": {"DEFAULT": "", "None": UNTRAINED},
    "timm": {"True": "", "False": UNTRAINED},
}
"""What an argument for the weights means; torchvision's may name a set of them, too."""

NAMED = ("classifier", "weak")
"""The settings that name a model."""


def is_call(name: str) -> bool:
    """Whether `name` has the form of a call."""
    return CALL.fullmatch(name) is not None


def translated(call: str) -> str | None:
    """The name of the published classifier that `call` made, None if there is none.

    There is none for a call of another kind, with more than plain options, or of a model that its
    library does not list.
    """
    plain = _PLAIN.fullmatch(re.sub(r"[\s'\"]", "", call[:LONGEST]))
    if plain is None or len(call) > LONGEST:
        return None
    library, maker, words = plain[1] or plain[2], plain[3], plain[4].split(",")
    model = words.pop(0).removeprefix("name=") if maker == _BY_NAME[library] else maker
    model, _, tag = model.partition(".")
    weights, classes = UNTRAINED, ""
    for option, _, value in (word.rpartition("=") for word in words if word):
        if option == "num_classes":
            classes = f":{value}"
        elif (option, library) != ("progress", "torchvision"):
            found = _weights(library, option, value, tag)
            if found is None:
                return None
            weights = found
    return _listed(f"{library}:{model}" + (f".{weights}" if weights else "") + classes)


def _weights(library: str, option: str, value: str, tag: str) -> str | None:
    """The weights that an option of a call asks for; empty for the default.

    None if the option is not one of weights.
    """
    if library == "torchvision" and option == "weights":
        name = value.rpartition(".")[2]
        return _WEIGHTS[library].get(name, name)
    if library == "timm" and option in ("", "pretrained") and value in _WEIGHTS[library]:
        return _WEIGHTS[library][value] or tag
    return None


def _listed(name: str) -> str | None:
    """`name`, if its library lists it, or is not there to be asked."""
    with suppress(InputError):
        if find_spec(Published.of(name).library) is None or find_published(name):
            return name
    return None


def refusal(call: str) -> InputError:
    """What is said of a call: what to give in its place."""
    wanted = translated(call) or f"a published classifier, {FORM}, or {{class_path: ...}}"
    return InputError(f"{call[:LONGEST]}: calls are not made any more; give {wanted}")


def without_calls(options: Any, depth: int = 0) -> Any:
    """`options` of a record, with names of published classifiers in place of calls in `NAMED`.

    `options` are plain data. depth: in how many lists and mappings they stand. Raises InputError
    for a call that has none, and for more than MOST_DEPTH lists and mappings in each other.
    """
    if depth > MOST_DEPTH:
        raise InputError(f"more than {MOST_DEPTH} lists and mappings in each other")
    if isinstance(options, list):
        return [without_calls(part, depth + 1) for part in options]
    if not isinstance(options, dict):
        return options
    return {
        name: _without_call(value, depth) if name in NAMED else without_calls(value, depth + 1)
        for name, value in options.items()
    }


def _without_call(value: Any, depth: int) -> Any:
    if not isinstance(value, str) or not is_call(value):
        return without_calls(value, depth + 1)
    name = translated(value)
    if name is None:
        raise refusal(value)
    return name
