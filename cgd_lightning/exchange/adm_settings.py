"""What the keys of a file of guided-diffusion do not tell, and has to be said.

It comes from the options of the user or from the table of published files; a setting that changes
the output is never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.adm_keys import Told

MOST_SIDE = 4096
"""Height and width of images."""

USUAL = {
    "diffusion": "--num_heads 4 --attention_order legacy --schedule linear --timesteps 1000 "
    "--prediction eps",
    "classifier": "--num_head_channels 64 --attention_order legacy --schedule linear "
    "--timesteps 1000",
}
"""What guided-diffusion trains with where its flags say nothing (script_util.py)."""

_HOW = {
    "image_size": "--image_size PIXELS",
    "small_size": "--small_size PIXELS, of the images that it enlarges",
    "heads": "--num_heads N or --num_head_channels N",
    "attention_order": "--attention_order legacy or new",
    "schedule": "--schedule linear or cosine",
    "timesteps": "--timesteps T",
    "rescale_timesteps": "--rescale_timesteps true or false",
    "prediction": "--prediction eps or x0",
}
"""How the user gives each setting."""

_SCHEDULES: dict[str, type[Linear | Cosine]] = {"linear": Linear, "cosine": Cosine}


@dataclass(frozen=True)
class Settings:
    """What the keys do not tell.

    attention: arguments of the network that concern heads. small_size: of an upsampler.
    """

    image_size: int
    small_size: int | None
    attention: Mapping[str, Any]
    schedule: NoiseSchedule
    prediction: Any
    timestep_scale: float
    dropout: float

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the network among them."""
        return {
            "image_size": self.image_size,
            **({} if self.small_size is None else {"small_size": self.small_size}),
            "dropout": self.dropout,
            "timestep_scale": self.timestep_scale,
            **self.attention,
        }


def needed(told: Told, known: Mapping[str, Any]) -> list[str]:
    """How to give each setting that `known` leaves open and that changes the output."""
    missing = [name for name in ("schedule", "timesteps") if name not in known]
    if told.image_size is None and "image_size" not in known:
        missing.append("image_size")
    if told.upsampler and "small_size" not in known:
        missing.append("small_size")
    if not {"num_heads", "num_head_channels"} & known.keys():
        missing.append("heads")
    if "attention_order" not in known and not _single_head(told, known):
        missing.append("attention_order")
    if known.get("timesteps", 1000) != 1000 and "rescale_timesteps" not in known:
        missing.append("rescale_timesteps")
    if told.kind == "diffusion" and "prediction" not in known:
        missing.append("prediction")
    return [how for name, how in _HOW.items() if name in missing]


def settle(told: Told, known: Mapping[str, Any], what: str) -> Settings:
    """The settings that `known` gives by the names of the options.

    what: names the file, for messages. Raises InputError if it leaves one open that changes the
    output, naming all that have to be given, or gives one that the keys deny.
    """
    missing = needed(told, known)
    if missing:
        raise InputError(
            f"{what}: its keys do not tell all; give {', '.join(missing)}, as it was trained; "
            f"guided-diffusion's defaults are {USUAL[told.kind]}"
        )
    if "small_size" in known and not told.upsampler:
        raise InputError(f"--small_size {known['small_size']}: {what} enlarges no images")
    if told.kind == "classifier":
        denied = [name for name in ("prediction", "num_heads_upsample") if name in known]
        if denied:
            raise InputError(f"--{denied[0]}: {what} is a classifier, which has none")
    for name, words in (("schedule", tuple(_SCHEDULES)), ("prediction", ("eps", "x0"))):
        if name in known and known[name] not in words:
            raise InputError(
                f"--{name} {known[name]}: guided-diffusion has {' and '.join(words)} alone"
            )
    timesteps = known["timesteps"]
    rescaled = known.get("rescale_timesteps", False)
    return Settings(
        _image_size(told, known, what),
        known.get("small_size"),
        _attention(told, known),
        _SCHEDULES[known["schedule"]](timesteps),
        known.get("prediction"),
        1000 / timesteps if rescaled else 1.0,
        _dropout(known),
    )


def _single_head(told: Told, known: Mapping[str, Any]) -> bool:
    """Whether no attention has several heads, so that their order is no question."""
    if "num_head_channels" in known:
        return all(channels == known["num_head_channels"] for channels in told.attention_channels)
    return known.get("num_heads") == 1 and known.get("num_heads_upsample", -1) in (-1, 1)


def _image_size(told: Told, known: Mapping[str, Any], what: str) -> int:
    size = known.get("image_size", told.image_size)
    if told.image_size not in (None, size):
        raise InputError(
            f"--image_size {size}: the attention pool of {what} is of images of {told.image_size} "
            "pixels"
        )
    if not 1 <= size <= MOST_SIDE or size % told.unit:
        raise InputError(
            f"--image_size {size}: {what} has {len(told.network['channel_mult'])} levels; wanted "
            f"a multiple of {told.unit}, at most {MOST_SIDE}"
        )
    return size


def _dropout(known: Mapping[str, Any]) -> float:
    dropout = known.get("dropout", 0.0)
    if not 0 <= dropout < 1:
        raise InputError(f"--dropout {dropout}: wanted a probability from 0 to below 1")
    return dropout


def _attention(told: Told, known: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the network; `num_head_channels` decides where both are given, as in ADM."""
    names = ["num_heads", "num_head_channels"]
    names += ["num_heads_upsample"] if told.kind == "diffusion" else []
    chosen = {name: known[name] for name in names if name in known}
    return {**chosen, "use_new_attention_order": known.get("attention_order") == "new"}
