"""What the trainings refuse of their arguments, before anything is built."""

import math
from collections.abc import Callable, Mapping

from torch import nn

from cgd_lightning.checkpoints.contradictions import NETWORKS
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError


def check_diffusion(
    network: Callable[..., nn.Module], min_snr_gamma: float | None, label_dropout: float | None
) -> None:
    """Raises InputError for arguments of `DiffusionModule` that make no sense."""
    if min_snr_gamma is not None and min_snr_gamma <= 0:
        raise InputError(f"min_snr_gamma {min_snr_gamma}: wanted more than 0")
    if label_dropout is not None and not 0 <= label_dropout < 1:
        raise InputError(f"label_dropout {label_dropout}: wanted at least 0 and less than 1")
    by_hand = getattr(network, "keywords", {}).get("num_classes")
    if label_dropout is not None and by_hand is not None:
        raise InputError(
            f"label_dropout {label_dropout} and network.num_classes {by_hand}: give one; "
            "label_dropout knows the classes of the data"
        )


def check_network(kind: str, network: nn.Module) -> None:
    """Raises InputError for a network of ours that is for models of another kind than `kind`."""
    name = type(network).__name__
    ours = type(network).__module__.startswith("cgd_lightning.")
    if ours and kind in NETWORKS and name not in NETWORKS[kind]:
        known = ", ".join(one for one in NETWORKS[kind] if one != "SuperRes")
        raise InputError(f"model.network {name}: not for a {kind} model; give {known}, or your own")


def check_no_upsampler(network: nn.Module) -> None:
    """Raises InputError for a network that enlarges images."""
    if getattr(network, "low_res_shape", None) is not None:
        raise InputError(
            f"network {type(network).__name__}: an upsampler, which is converted and not trained: "
            "cgd convert; give another network"
        )


def check_variance(learned: bool, codec: Codec) -> None:
    """Raises InputError for a learned variance where x0 is not made of bytes."""
    if learned and codec != PIXELS:
        raise InputError(
            f"learned_variance and {type(codec).__name__}: the bound that trains it is of bytes, "
            "which are pixels; leave learned_variance out"
        )


def check_levels(min_snr_gamma: float | None, schedule: NoiseSchedule) -> None:
    """Raises InputError for a schedule at whose last level min-SNR weights are 0."""
    if min_snr_gamma is not None and schedule.level(schedule.timesteps - 1).alpha == 0:
        raise InputError(
            f"min_snr_gamma {min_snr_gamma} on {schedule}: the last level has SNR 0 and would "
            "never be trained; leave min_snr_gamma out"
        )


def check_classifier(
    weights: Mapping[str, float],
    diffusion: str | None,
    gradient_images: int | None,
    label_smoothing: float,
    compile: bool,
) -> None:
    """Raises InputError for arguments of `ClassifierModule` that make no sense."""
    names = {"gradient": "gradient_penalty", "certainty": "entropy_weight", "score": "score_weight"}
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"{names[name]} {weight}: wanted a finite number from 0")
    if (weights["score"] > 0) != (diffusion is not None):
        raise InputError(
            f"score_weight {weights['score']} and diffusion {diffusion}: give both or neither; the "
            "diffusion model tells what the gradient should be"
        )
    for name in ("score", "gradient"):
        if compile and weights[name]:
            raise InputError(
                f"compile and {names[name]} {weights[name]}: a compiled network cannot be "
                "differentiated twice; leave one out"
            )
    if gradient_images is not None:
        if gradient_images < 1:
            raise InputError(f"gradient_images {gradient_images}: wanted 1 or more")
        if not weights["score"] and not weights["gradient"]:
            raise InputError(
                f"gradient_images {gradient_images}: no loss looks at a gradient; give "
                "score_weight or gradient_penalty with it, or leave it out"
            )
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing {label_smoothing}: wanted 0 or more, less than 1")


def check_autoencoder(
    kl_weight: float, edge_weight: float, judge: str | None, feature_weight: float
) -> None:
    """Raises InputError for arguments of `AutoencoderModule` that make no sense."""
    weights = {
        "kl_weight": kl_weight,
        "edge_weight": edge_weight,
        "feature_weight": feature_weight,
    }
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"{name} {weight}: wanted a finite number from 0")
    if (feature_weight > 0) != (judge is not None):
        raise InputError(
            f"feature_weight {feature_weight} and judge {judge}: give both or neither; the judge "
            "tells which features count"
        )
