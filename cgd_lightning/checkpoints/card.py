"""What a checkpoint says of itself: its card, plain data under "cgd", and the model that it
describes.
"""

import math
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import LISTED, NO_TRUST, Trust, construct, describe_object
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

FORMAT = 1
MOST_CLASSES = 100_000
MOST_LETTERS = 1_000
LARGEST_SIDE = 16_384
MOST_PIXELS = 2**26

Model: TypeAlias = Denoiser | NoisyClassifier | CleanClassifier
KINDS: dict[str, type[Model]] = {
    "diffusion": Denoiser,
    "classifier": NoisyClassifier,
    "judge": CleanClassifier,
}

NETWORKS = {
    "diffusion": ("UNet", "MLP"),
    "classifier": ("EncoderUNet", "MLPClassifier"),
    "judge": ("ConvNet",),
}
"""The networks of ours that each kind may have."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself. `network` and `schedule` are {"class_path": ...,
    "init_args": {...}}.
    """

    format: int
    version: str
    kind: str
    network: dict[str, Any]
    schedule: dict[str, Any] | None
    prediction: str | None
    image_shape: list[int]
    image_range: list[float]
    class_names: list[str]
    dataset: str | None
    partner: str | None
    class_shares: list[float] = field(default_factory=list)


def describe(
    model: Model, dataset: str | None = None, partner: str | None = None
) -> dict[str, Any]:
    """The card of `model` as plain data, to store under "cgd" in its checkpoint."""
    schedule = getattr(model, "schedule", None)
    card = Card(
        format=FORMAT,
        version=version("cgd-lightning"),
        kind=next(kind for kind, cls in KINDS.items() if isinstance(model, cls)),
        network=describe_object(model.network),
        schedule=schedule and describe_object(schedule),
        prediction=getattr(model, "prediction", None),
        image_shape=list(model.image_shape),
        image_range=[-1.0, 1.0],
        class_names=list(model.class_names),
        dataset=dataset,
        partner=partner,
        class_shares=list(getattr(model, "class_shares", ())),
    )
    return vars(card).copy()


def decode(data: Any, path: str | Path) -> Card:
    """The card in plain `data` of the file `path`, each entry of its own type and within bounds.

    Raises InputError, naming the file and the entry, for anything else and for a newer format.
    """
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a checkpoint of cgd-lightning")
    if type(data.get("format")) is int and data["format"] > FORMAT:
        raise InputError(
            f"{path}: written by cgd-lightning {schema.shown(data.get('version'))} in format {schema.shown(data['format'])}, "
            f"and this version reads up to {FORMAT}; update cgd-lightning"
        )
    data = {
        "class_shares": [],
        **data,
    }  # not in checkpoints of 0.1.0 written before mixtures of classes
    values, wrong = {}, []
    for name in (entry.name for entry in fields(Card)):
        try:
            values[name] = _CHECKS[name](data[name])
        except KeyError:
            wrong.append(name)
        except (ValueError, TypeError) as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise InputError(f"{path}: its description is damaged: {', '.join(wrong)[:300]}")
    card = Card(**values)
    if problem := _contradiction(card):
        raise InputError(f"{path}: its description is damaged: {problem}")
    return card


def _contradiction(card: Card) -> str | None:
    """What in a card does not go with what else stands there."""
    classes, arguments = len(card.class_names), card.network["init_args"]
    home = LISTED.get(card.network["class_path"], "")
    if home and home.rpartition(".")[2] not in NETWORKS[card.kind]:
        return (
            f"network: {home.rpartition('.')[2]}, where one of {', '.join(NETWORKS[card.kind])} "
            "was wanted"
        )
    if home and card.image_shape and card.image_shape[1] != card.image_shape[2]:
        return f"image_shape: {card.image_shape}, where a square was wanted"
    if arguments.get("num_classes") is not None and arguments["num_classes"] not in (
        classes,
        classes + 1,
    ):
        return f"network: num_classes {schema.shown(arguments['num_classes'])} of {classes} classes"
    if card.kind != "judge" and card.schedule is None:
        return "schedule"
    if card.kind != "diffusion" and not classes:
        return "class_names: none"
    if card.kind == "diffusion" and card.prediction is None:
        return "prediction"
    if card.class_shares and len(card.class_shares) != classes:
        return f"class_shares: {len(card.class_shares)} of {classes} classes"
    channels, height = card.image_shape[:2] or (None, None)
    outputs = (channels, channels and 2 * channels) if card.kind == "diffusion" else (classes,)
    for name, wanted in (
        ("in_channels", (channels,)),
        ("image_size", (height,)),
        ("out_channels", outputs),
    ):
        if None not in wanted and name in arguments and arguments[name] not in wanted:
            return (
                f"network: {name} {schema.shown(arguments[name])}, and images of shape "
                f"{card.image_shape} of {classes} classes"
            )
    return None


def _spec(value: Any) -> dict[str, Any]:
    spec = schema.mapping(value, ("class_path", "init_args"))
    return {
        "class_path": schema.text(spec.get("class_path"), 300),
        "init_args": schema.plain(schema.mapping(spec.get("init_args") or {})),
    }


def _kind(value: Any) -> str:
    if type(value) is not str or value not in KINDS:
        raise ValueError(schema.shown(value))
    return value


def _shape(value: Any) -> list[int]:
    if not isinstance(value, list) or len(value) not in (0, 3):
        raise ValueError("wanted channels, height and width")
    sizes = [schema.integer(size, 1, LARGEST_SIDE) for size in value]
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
    if not all(
        type(share) in (int, float) and math.isfinite(share) and 0 <= share <= 1 for share in value
    ):
        raise ValueError("a share that is not between 0 and 1")
    return value


def _range(value: Any) -> list[float]:
    if value != [-1.0, 1.0]:
        raise ValueError("wanted [-1, 1]")
    return [-1.0, 1.0]


def _optional(value: Any) -> str | None:
    return None if value is None else schema.text(value, 4 * MOST_LETTERS)


def _prediction(value: Any) -> str | None:
    if value not in (None, "eps", "x0", "v"):
        raise ValueError(schema.shown(value))
    return value


_CHECKS: dict[str, Any] = {
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
}


def build(
    card: Card, path: str | Path = "checkpoint", trust: Trust = NO_TRUST, device: str = "cpu"
) -> Model:
    """The model that a card describes, with fresh weights on `device`."""
    with torch.device(device):
        network = construct(card.network, nn.Module, path, trust)
    shape, names = card.image_shape, card.class_names
    try:
        if card.kind == "judge":
            return CleanClassifier(network, names, shape, card.class_shares)
        schedule = construct(card.schedule, NoiseSchedule, path, trust)
        if card.kind == "classifier":
            return NoisyClassifier(network, schedule, names, shape, card.class_shares)
        return Denoiser(network, schedule, card.prediction, shape, names)  # type: ignore[arg-type]
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from error
