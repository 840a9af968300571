"""What may stand in a card: entries of their own type, within bounds, none against another."""

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.card import FORMAT, KINDS, Card
from cgd_lightning.checkpoints.classes import describe_object
from cgd_lightning.checkpoints.contradictions import contradiction
from cgd_lightning.checkpoints.listed import SHORT
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.errors import InputError
from cgd_lightning.limits import MOST_CLASSES, MOST_PIXELS

MOST_LETTERS = 1_000
MOST_SIDE = 16_384

LATER = {
    "class_shares": [],
    "codec": describe_object(PIXELS),
    "learned_variance": False,
    "source": None,
}
"""Entries that checkpoints of 0.1.0 may lack, and what they are then.

A learned variance shows in their networks.
"""


def decode(data: Any, path: str | Path) -> Card:
    """The card in plain `data` of the file `path`, each entry of its own type and within bounds.

    Raises InputError, naming the file and the entry, for anything else and for a newer format.
    """
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a checkpoint of cgd-lightning")
    if type(data.get("format")) is int and data["format"] > FORMAT:
        told = schema.shown(data.get("version"))
        raise InputError(
            f"{path}: written by cgd-lightning {told} in format {schema.shown(data['format'])}, "
            f"and this version reads up to {FORMAT}; update cgd-lightning"
        )
    values, wrong = _checked({**LATER, **data})
    if wrong:
        raise _damaged(path, ", ".join(wrong)[:300])
    if "learned_variance" not in data:
        values["learned_variance"] = _has_twice_the_channels(values)
    card = Card(**values)
    if problem := contradiction(card, path):
        raise _damaged(path, problem)
    return card


def _damaged(path: str | Path, why: str) -> InputError:
    return InputError(f"{path}: its description is damaged: {why}")


def _checked(data: dict[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """The entries of a card, and what is wrong with those that are missing or refused."""
    values, wrong = {}, []
    for name in (entry.name for entry in fields(Card)):
        try:
            values[name] = _CHECKS[name](data[name])
        except KeyError:
            wrong.append(name)
        except (ValueError, TypeError) as error:
            wrong.append(f"{name}: {error}")
    return values, wrong


def _has_twice_the_channels(values: dict[str, Any]) -> bool:
    if values["kind"] != "diffusion" or not values["image_shape"]:
        return False
    return values["network"]["init_args"].get("out_channels") == 2 * values["image_shape"][0]


def _spec(value: Any) -> dict[str, Any]:
    spec = schema.mapping(value, ("class_path", "init_args"))
    class_path = schema.text(spec.get("class_path"), 300)
    return {
        "class_path": SHORT.get(class_path, class_path),
        "init_args": schema.plain(schema.mapping(spec.get("init_args") or {})),
    }


def _kind(value: Any) -> str:
    if type(value) is not str or value not in KINDS:
        raise ValueError(schema.shown(value))
    return value


def _shape(value: Any) -> list[int]:
    if not isinstance(value, list) or len(value) not in (0, 3):
        raise ValueError("wanted channels, height and width")
    sizes = [schema.integer(size, 1, MOST_SIDE) for size in value]
    if math.prod(sizes) > MOST_PIXELS:
        raise ValueError(f"more than {MOST_PIXELS:,} numbers in an image")
    return sizes


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_CLASSES:
        raise ValueError(f"wanted at most {MOST_CLASSES} names")
    names = [schema.text(name, MOST_LETTERS) for name in value]
    if not all(names) or len(set(names)) != len(names):
        raise ValueError("a name that is empty or there twice")
    return names


def _shares(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) > MOST_CLASSES:
        raise ValueError(f"wanted at most {MOST_CLASSES} shares")
    if not all(type(share) in (int, float) and 0 <= share <= 1 for share in value):
        raise ValueError("a share that is not between 0 and 1")
    return value


def _range(value: Any) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("wanted the lowest and the highest value")
    return [float(schema.typed(end, float, _no_object)) for end in value]


def _no_object(value: Any, base: type) -> Any:
    raise ValueError("an object, where a number was wanted")


def _optional(value: Any) -> str | None:
    """None, or a text of one line, which is printed as it is."""
    if value is not None and "\n" in schema.text(value, 4 * MOST_LETTERS):
        raise ValueError(f"the string {value[:40]!a}, which has more than one line")
    return value


def _prediction(value: Any) -> str | None:
    if value not in (None, "eps", "x0", "v"):
        raise ValueError(schema.shown(value))
    return value


def _switch(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{schema.shown(value)}, where true or false was wanted")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "format": lambda value: schema.integer(value, 1, FORMAT),
    "version": lambda value: schema.text(value, 100),
    "kind": _kind,
    "network": _spec,
    "schedule": lambda value: None if value is None else _spec(value),
    "prediction": _prediction,
    "image_shape": _shape,
    "image_range": _range,
    "class_names": _names,
    "dataset": _optional,
    "partner": _optional,
    "class_shares": _shares,
    "codec": _spec,
    "learned_variance": _switch,
    "source": _optional,
}
