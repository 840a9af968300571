"""Our networks as files of openai/guided-diffusion (MIT): a state_dict, and the flags that fit it.

The names of our parameters are its own. What its networks do not have is refused; what they have,
but its scripts cannot be told by a flag, is said (guided_diffusion/script_util.py,
gaussian_diffusion.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints import Model
from cgd_lightning.checkpoints.files import write as write_contents
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.adm_published import MULT
from cgd_lightning.networks import EncoderUNet, SuperRes, UNet
from cgd_lightning.values import arguments

GROUPS, CHANNELS, CLASSES, HEAD_CHANNELS = 32, 3, 1000, 64
"""What stands in its scripts as numbers: groups of a norm, channels and classes of ImageNet, and
channels of a head in its classifiers."""

MULTIPLES = {size: tuple(mult) for size, mult in MULT.items()}
"""The channel_mult that its scripts take for an image size."""


@dataclass(frozen=True)
class Written:
    """What guided-diffusion needs to read a file. flags: of its scripts. notes: beyond flags."""

    flags: str
    notes: tuple[str, ...] = ()


def write(model: Model, file: Path) -> Written:
    """Write the weights of `model` to `file`, as `torch.save` does, whole or not at all.

    Raises InputError, before anything is written, for what guided-diffusion does not have: another
    network, patches, norms in other than 32 groups, a prediction of v, other schedules, latents.
    """
    if not isinstance(model, Denoiser | NoisyClassifier):
        came = "an autoencoder" if isinstance(model, Autoencoder) else "a judge"
        raise _refused(came, "diffusion models and classifiers of noisy images")
    _check(model)
    written = _of_a_denoiser(model) if isinstance(model, Denoiser) else _of_a_classifier(model)
    weights: dict[str, Tensor] = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.network.state_dict().items()
    }
    write_contents(weights, file)
    return written


def _refused(came: str, wanted: str) -> InputError:
    return InputError(f"--to adm: {came}; guided-diffusion has {wanted}")


def _check(model: Denoiser | NoisyClassifier) -> None:
    network = model.network
    wanted = (UNet, SuperRes) if isinstance(model, Denoiser) else (EncoderUNet,)
    if type(network) not in wanted:
        known = " and ".join(cls.__name__ for cls in wanted)
        raise _refused(f"network {type(network).__name__}", f"{known} alone")
    given = arguments(network)
    if given.get("patch_size", 1) != 1:
        raise _refused(
            f"patch_size {given['patch_size']}",
            "networks of single pixels; train one with --model.network.patch_size 1",
        )
    rescaled = 1000 / model.schedule.timesteps
    if given["timestep_scale"] not in (1, rescaled):
        raise _refused(
            f"timestep_scale {given['timestep_scale']}", f"1 and, rescale_timesteps, {rescaled:g}"
        )
    for name, part in network.named_modules():
        if isinstance(part, nn.GroupNorm) and part.num_groups != GROUPS:
            raise _refused(
                f"{name} normalises {part.num_channels} channels in {part.num_groups} groups",
                f"norms of {GROUPS} groups, so widths are multiples of {GROUPS}",
            )
    if model.data.codec != PIXELS:
        raise _refused(f"codec {type(model.data.codec).__name__}", "models of pixels")
    _schedule(model.schedule)
    if isinstance(model, Denoiser) and model.prediction not in ("eps", "x0"):
        raise _refused(f"prediction {model.prediction}", "eps and x0")


def _schedule(schedule: NoiseSchedule) -> str:
    """The word for `schedule`. Raises InputError if there is none."""
    steps = schedule.timesteps
    for word, known in (("linear", Linear(steps)), ("cosine", Cosine(steps))):
        if schedule == known:
            return word
    raise _refused(f"schedule {schedule}", f"{Linear(steps)} and {Cosine(steps)}")


def _of_a_denoiser(model: Denoiser) -> Written:
    given = arguments(model.network)
    enlarges = isinstance(model.network, SuperRes)
    sizes = (
        {"large_size": given["image_size"], "small_size": _small_size(given)}
        if enlarges
        else {"image_size": given["image_size"]}
    )
    flags = {
        **sizes,
        "num_channels": given["model_channels"],
        "num_res_blocks": given["num_res_blocks"],
        "channel_mult": ",".join(f"{mult:g}" for mult in given["channel_mult"]),
        "attention_resolutions": _pixels(given),
        "num_heads": given["num_heads"],
        "num_head_channels": given["num_head_channels"],
        "num_heads_upsample": given["num_heads_upsample"],
        "use_scale_shift_norm": given["use_scale_shift_norm"],
        "resblock_updown": given["resblock_updown"],
        "use_new_attention_order": given["use_new_attention_order"],
        "dropout": given["dropout"],
        "class_cond": given["num_classes"] is not None,
        "learn_sigma": model.learned_variance,
        "predict_xstart": model.prediction == "x0",
        **_process(model),
    }
    if tuple(given["channel_mult"]) == MULTIPLES.get(given["image_size"]):
        del flags["channel_mult"]
    beyond = dict(_unusual(given, {"conv_resample": True, "in_channels": CHANNELS}))
    if enlarges:  # its script of upsamplers has neither flag, and multiples of its own
        del flags["use_new_attention_order"]
        flags.pop("channel_mult", None)
        usual = {64: MULTIPLES[64], 256: MULTIPLES[256], 512: MULTIPLES[256]}
        own = {"channel_mult": usual.get(given["image_size"]), "use_new_attention_order": False}
        beyond |= dict(_unusual(given, own))
    if given["num_classes"] not in (None, CLASSES):
        beyond["num_classes"] = given["num_classes"]
    if "channel_mult" in flags and any(mult != int(mult) for mult in given["channel_mult"]):
        beyond["channel_mult"] = tuple(given["channel_mult"])
    return Written(_words(flags), _notes("SuperResModel" if enlarges else "UNetModel", beyond))


def _small_size(given: Mapping[str, Any]) -> int:
    """Of the images that an upsampler enlarges."""
    small: int | None = given["small_size"]
    return given["image_size"] // 4 if small is None else small


def _process(model: Denoiser | NoisyClassifier) -> dict[str, Any]:
    """The flags of the schedule."""
    rescaled = arguments(model.network)["timestep_scale"] != 1
    return {
        "diffusion_steps": model.schedule.timesteps,
        "noise_schedule": _schedule(model.schedule),
        **({"rescale_timesteps": True} if rescaled else {}),
    }


def _of_a_classifier(model: NoisyClassifier) -> Written:
    given = arguments(model.network)
    flags = {
        "image_size": given["image_size"],
        "classifier_width": given["model_channels"],
        "classifier_depth": given["num_res_blocks"],
        "classifier_attention_resolutions": _pixels(given),
        "classifier_use_scale_shift_norm": given["use_scale_shift_norm"],
        "classifier_resblock_updown": given["resblock_updown"],
        "classifier_pool": given["pool"],
        **_process(model),
    }
    usual = {
        "in_channels": CHANNELS,
        "out_channels": CLASSES,
        "channel_mult": MULTIPLES.get(given["image_size"], ()),
        "num_head_channels": HEAD_CHANNELS,
        "use_new_attention_order": False,
        "conv_resample": True,
    }
    beyond = dict(_unusual(given, usual))
    if given["num_head_channels"] == -1:
        beyond.pop("num_head_channels")
        beyond |= _heads(given)
    return Written(_words(flags), _notes("EncoderUNetModel", beyond))


def _heads(given: Mapping[str, Any]) -> dict[str, int]:
    """What stands for `num_heads`: an attention pool of guided-diffusion wants channels of a head.

    Raises InputError where attention at several widths would want several.
    """
    if given["pool"] != "attention":
        return {"num_heads": given["num_heads"]}
    widths = [int(mult * given["model_channels"]) for mult in given["channel_mult"]]
    attending = {
        width
        for width, rate in zip(widths, _rates(given))
        if rate in given["attention_resolutions"]
    }
    channels = {width // given["num_heads"] for width in attending | {widths[-1]}}
    if len(channels) > 1:
        raise _refused(
            f"num_heads {given['num_heads']} of widths {sorted(attending | {widths[-1]})}",
            "heads of one width beside an attention pool, num_head_channels",
        )
    return {} if channels == {HEAD_CHANNELS} else {"num_head_channels": channels.pop()}


def _unusual(given: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in usual.items():
        own = tuple(given[name]) if isinstance(given[name], list | tuple) else given[name]
        if own != value:
            yield name, own


def _pixels(given: Mapping[str, Any]) -> str:
    """The sizes of images with attention, for which its flags ask in place of rates.

    Where no level has any, 1, which is the size of no level: its scripts want a number.
    """
    rates = [r for r in given["attention_resolutions"] if r in _rates(given)]
    return ",".join(str(given["image_size"] // rate) for rate in sorted(rates)) or "1"


def _rates(given: Mapping[str, Any]) -> list[int]:
    return [2**level for level in range(len(given["channel_mult"]))]


def _words(flags: Mapping[str, Any]) -> str:
    return " ".join(f"--{name} {value}" for name, value in flags.items())


def _notes(cls: str, beyond: Mapping[str, Any]) -> tuple[str, ...]:
    if not beyond:
        return ()
    told = ", ".join(f"{name}={value}" for name, value in beyond.items())
    return (
        f"no flag of guided-diffusion says {told}: change these numbers in its script_util.py, or "
        f"build {cls} yourself",
    )
