"""What a checkpoint says of itself, its card, and the model that the card describes.

A card is plain data under the key "cgd".
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust, construct, describe_object
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError, printable

FORMAT = 1

Model: TypeAlias = Denoiser | NoisyClassifier | CleanClassifier | Autoencoder
KINDS: dict[str, type[Model]] = {
    "diffusion": Denoiser,
    "classifier": NoisyClassifier,
    "judge": CleanClassifier,
    "autoencoder": Autoencoder,
}
WANTED = {
    "diffusion": "a diffusion model was wanted",
    "classifier": "a classifier of noisy images was wanted",
    "judge": "a judge was wanted: cgd fit --config judge.yaml",
    "autoencoder": "an autoencoder was wanted: cgd fit --config autoencoder.yaml",
}


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself.

    `network`, `schedule` and `codec` are {"class_path": ..., "init_args": {...}}. image_shape is
    that of the data; image_range is that of x0, None where it has no bounds, and follows from the
    codec. source: what it was converted from, if it was. The entries with defaults are not in every
    checkpoint of 0.1.0.
    """

    format: int
    version: str
    kind: str
    network: dict[str, Any]
    schedule: dict[str, Any] | None
    prediction: str | None
    image_shape: list[int]
    image_range: list[float] | None
    class_names: list[str]
    dataset: str | None
    partner: str | None
    class_shares: list[float] = field(default_factory=list)
    codec: dict[str, Any] = field(default_factory=lambda: describe_object(PIXELS))
    learned_variance: bool = False
    source: str | None = None

    def data(self, where: object = "checkpoint", trust: Trust = NO_TRUST) -> DataSpec:
        """What the model was trained on.

        Raises InputError for a codec that the file `where` may not name.
        """
        return DataSpec(
            tuple(self.image_shape),
            tuple(self.class_names),
            tuple(self.class_shares),
            construct(self.codec, Codec, where, trust),
        )


def a_kind(kind: str) -> str:
    """What a checkpoint of `kind` is called, with the article."""
    named = {"diffusion": "a diffusion model", "autoencoder": "an autoencoder"}
    return named.get(kind, f"a {kind}")


def describe(
    model: Model,
    dataset: str | None = None,
    partner: str | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """The card of `model` as plain data, to store under "cgd" in its checkpoint.

    dataset, source: become one line that can be printed.
    """
    data, schedule = model.data, getattr(model, "schedule", None)
    bounds = data.codec.bounds
    card = Card(
        format=FORMAT,
        version=version("cgd-lightning"),
        kind=next(kind for kind, cls in KINDS.items() if isinstance(model, cls)),
        network=describe_object(model.network),
        schedule=schedule and describe_object(schedule),
        prediction=getattr(model, "prediction", None),
        image_shape=list(data.shape),
        image_range=None if bounds is None else list(bounds),
        class_names=list(data.class_names),
        dataset=dataset and printable(dataset),
        partner=partner,
        class_shares=list(data.class_shares),
        codec=describe_object(data.codec),
        learned_variance=getattr(model, "learned_variance", False),
        source=source and printable(source),
    )
    return vars(card).copy()


def check_kind(known: tuple[Path, Card], kind: type[Model]) -> None:
    """Raises InputError, naming the file, unless the model in it is of `kind`.

    known: file and card.
    """
    path, card = known
    if not issubclass(KINDS[card.kind], kind):
        wanted = next((name for name, cls in KINDS.items() if issubclass(cls, kind)), None)
        if wanted is None:
            raise InputError(f"{path}: {a_kind(card.kind)}, and a {kind.__name__} was wanted")
        raise InputError(f"{path}: {a_kind(card.kind)}, and {WANTED[wanted]}")


def build(
    card: Card, path: str | Path = "checkpoint", trust: Trust = NO_TRUST, device: str = "cpu"
) -> Model:
    """The model that a card describes, with fresh weights on `device`."""
    with torch.device(device):
        network = construct(card.network, nn.Module, path, trust)
    data = card.data(path, trust)
    if card.kind == "judge":
        return CleanClassifier(network, data)
    if card.kind == "autoencoder":
        return Autoencoder(network, data)
    schedule = construct(card.schedule, NoiseSchedule, path, trust)
    if card.kind == "classifier":
        return NoisyClassifier(network, schedule, data)
    prediction: Any = card.prediction
    try:
        return Denoiser(network, schedule, prediction, data, card.learned_variance)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
