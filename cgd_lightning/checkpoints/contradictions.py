"""What in a card does not go with what else stands there."""

from collections.abc import Callable

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.card import Card
from cgd_lightning.checkpoints.listed import LISTED
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.data_spec import DataSpec

NETWORKS = {
    "diffusion": ("UNet", "SuperRes", "MLP", "DiffusersUNet"),
    "classifier": ("EncoderUNet", "MLPClassifier", "NoisyConvNet"),
    "judge": ("ConvNet",),
    "autoencoder": ("ConvAutoencoder", "DiffusersAutoencoder"),
}
"""The networks of ours that each kind may have."""


def contradiction(card: Card, where: object) -> str | None:
    """The first contradiction in the card of the file `where`; None if there is none.

    Of a codec that is not listed nothing is known here, nor of sizes in its space.
    """
    data = card.data(where) if card.codec["class_path"] in LISTED else None
    problems = (problem(card, data) for problem in _PROBLEMS)
    return next((said for said in problems if said is not None), None)


def _range(card: Card, data: DataSpec | None) -> str | None:
    if data is None or card.image_range == (data.codec.bounds and list(data.codec.bounds)):
        return None
    if data.codec.bounds is None:
        return "image_range: wanted none"
    low, high = data.codec.bounds
    return f"image_range: wanted [{low:g}, {high:g}]"


def _codec(card: Card, data: DataSpec | None) -> str | None:
    if card.kind == "autoencoder" and (data is None or data.codec != PIXELS):
        return "codec: of an autoencoder, which reads pixels"
    return None


def _kind(card: Card, data: DataSpec | None) -> str | None:
    name = _ours(card)
    if not name or name in NETWORKS[card.kind]:
        return None
    return f"network: {name}, where one of {', '.join(NETWORKS[card.kind])} was wanted"


def _square(card: Card, data: DataSpec | None) -> str | None:
    _, height, width = _x0_shape(data)
    if not _ours(card) or height == width:
        return None
    return f"image_shape: {card.image_shape}, where a square was wanted"


def _labels(card: Card, data: DataSpec | None) -> str | None:
    labels, classes = card.network["init_args"].get("num_classes"), len(card.class_names)
    if labels is None or labels in (classes, classes + 1):
        return None
    return f"network: num_classes {schema.shown(labels)} of {classes} classes"


def _missing(card: Card, data: DataSpec | None) -> str | None:
    if card.kind not in ("judge", "autoencoder") and card.schedule is None:
        return "schedule"
    if card.kind in ("classifier", "judge") and not card.class_names:
        return "class_names: none"
    return "prediction" if card.kind == "diffusion" and card.prediction is None else None


def _shares(card: Card, data: DataSpec | None) -> str | None:
    shares, classes = len(card.class_shares), len(card.class_names)
    return f"class_shares: {shares} of {classes} classes" if shares not in (0, classes) else None


def _sizes(card: Card, data: DataSpec | None) -> str | None:
    channels, height, _ = _x0_shape(data)
    outputs: int | None = len(card.class_names)
    if card.kind == "autoencoder":
        outputs = channels
    if card.kind == "diffusion":
        outputs = channels and channels * (2 if card.learned_variance else 1)
    arguments = card.network["init_args"]
    wanted = {"in_channels": channels, "image_size": height, "out_channels": outputs}
    for name, size in wanted.items():
        if size is not None and name in arguments and arguments[name] != size:
            return (
                f"network: {name} {schema.shown(arguments[name])}, and images of shape "
                f"{card.image_shape} of {len(card.class_names)} classes"
            )
    return None


def _ours(card: Card) -> str:
    """The name of the network's class, if it is listed."""
    return LISTED.get(card.network["class_path"], "").rpartition(".")[2]


def _x0_shape(data: DataSpec | None) -> tuple[int | None, ...]:
    """(C, H, W) of what the network sees, as far as it is known."""
    return (data and data.x0_shape) or (None, None, None)


_PROBLEMS: tuple[Callable[[Card, DataSpec | None], str | None], ...] = (
    _range,
    _codec,
    _kind,
    _square,
    _labels,
    _missing,
    _shares,
    _sizes,
)
