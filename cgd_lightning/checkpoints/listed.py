"""Which classes a file may name: those on the list below, and those that the user trusts by name.

Nothing else is imported. A listed class is imported from the module that defines it, under whatever
path of this package a file names it.
"""

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cgd_lightning.checkpoints import schema
from cgd_lightning.errors import InputError, one_line

OURS = {
    "networks.autoencoder": ("ConvAutoencoder",),
    "networks.convnet": ("ConvNet",),
    "networks.diffusers_autoencoder": ("DiffusersAutoencoder",),
    "networks.diffusers_unet": ("DiffusersUNet",),
    "networks.encoder": ("EncoderUNet",),
    "networks.mlp": ("MLP", "MLPClassifier"),
    "networks.noisy_convnet": ("NoisyConvNet",),
    "networks.super_res": ("SuperRes",),
    "networks.unet": ("UNet",),
    "diffusion.codec": ("Pixels",),
    "diffusion.latents": ("Latents",),
    "diffusion.schedules": (
        "Linear",
        "ScaledLinear",
        "Cosine",
        "Sigmoid",
        "VarianceExploding",
    ),
    "diffusion.tabulated": ("Tabulated",),
    "diffusion.samplers.ddim": ("DDIM",),
    "diffusion.samplers.ddpm": ("DDPM",),
    "diffusion.samplers.dpm_solver": ("DPMSolver", "DPMSolverSDE"),
    "diffusion.samplers.heun": ("Euler", "Heun"),
    "diffusion.samplers.langevin": ("AnnealedLangevin", "LangevinCorrector"),
    "diffusion.guidance.attribute": ("Attribute",),
    "diffusion.guidance.classifier": ("ClassifierGuidance",),
    "diffusion.guidance.classifier_free": ("Autoguidance", "ClassifierFree"),
    "diffusion.guidance.clean": ("CleanGuidance",),
    "diffusion.guidance.discriminator": ("DiscriminatorGuidance",),
    "diffusion.guidance.image_weights": ("EntropyScale", "UnitGradient"),
    "diffusion.guidance.limiters": ("Clamp", "DynamicThreshold", "Projection", "Rescale"),
    "diffusion.guidance.rule": ("Chain",),
    "diffusion.guidance.weights": ("Constant", "Interval", "Ramp", "SqrtBeta"),
    "evaluation.frechet": ("FrechetDistance",),
    "evaluation.manifold": ("PrecisionRecall",),
    "data.digits": ("Digits",),
    "data.folder": ("Folder",),
    "data.generated": ("WithGenerated",),
    "data.lesions": ("Lesions",),
    "data.vision": ("CIFAR10", "FashionMNIST", "MNIST"),
    "training.autoencoder": ("AutoencoderModule",),
    "training.modules": ("ClassifierModule", "DiffusionModule", "JudgeModule"),
}
"""The classes of this package that a file may name, by the module that defines them."""


def _paths(module: str, name: str) -> list[str]:
    """The class as it is called in its module and in every package above, `cgd_lightning` last."""
    parts = ["cgd_lightning", *module.split(".")]
    return [".".join([*parts[:end], name]) for end in range(len(parts), 0, -1)]


LISTED = {
    path: _paths(module, name)[0]
    for module, names in OURS.items()
    for name in names
    for path in _paths(module, name)
}
"""Every import path of the classes in `OURS`, and the one under which each is defined."""

SHORT = {name: _paths(module, name)[0] for module, names in OURS.items() for name in names}
"""The classes in `OURS` by their bare names, as older files have them."""

MOST_LETTERS = 300
"""In the import path of a class."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


@dataclass(frozen=True)
class Trust:
    """What the user trusts beyond the list.

    Args:
        names: packages, modules or classes that files may name.
        any_size: whether files may ask for networks of any number of parameters and layers.
    """

    names: tuple[str, ...] = ()
    any_size: bool = False

    def __post_init__(self) -> None:
        for name in self.names:
            if (
                not re.fullmatch(r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?", name)
                or name.partition(".")[0] == "jsonargparse"
            ):
                raise InputError(f"--trust {name}: wanted the name of a package, as it is imported")

    @classmethod
    def of(cls, given: "Trust | str | Sequence[str]") -> "Trust":
        """`given` itself, or trust in these names."""
        if isinstance(given, Trust):
            return given
        return cls((given,) if isinstance(given, str) else tuple(given))

    def covers(self, class_path: str) -> bool:
        """Whether the class at `class_path` is one of `names`, or in one of them."""
        return any(
            class_path == name or class_path.startswith(f"{name}.") for name in self.names if name
        )


NO_TRUST = Trust()

LARGE_PACKAGES = ("lightning", "pytorch_lightning", "torch", "torchmetrics", "torchvision")
"""Packages of which one class is enough to trust."""


def find_class(class_path: Any, base: type, where: object, trust: Trust) -> type:
    """The class at `class_path`, derived from `base`, that the file `where` names.

    Raises InputError if it is neither listed nor trusted, without importing anything, cannot be
    imported, or is something else.
    """
    path = _allowed(class_path, base, where, trust)
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{where}: names the class {class_path}, which cannot be imported: {one_line(error)}"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise _another_kind(class_path, base, where)
    return cls


def _allowed(class_path: Any, base: type, where: object, trust: Trust) -> str:
    """The path from which the class is imported; what may not be is refused unimported."""
    if (
        type(class_path) is not str
        or len(class_path) > MOST_LETTERS
        or not _DOTTED.fullmatch(class_path)
    ):
        raise InputError(
            f"{where}: names {schema.shown(class_path)}, which is not the import path of a class"
        )
    if trust.covers(class_path):
        return class_path
    if class_path not in LISTED:
        raise InputError(f"{where}: {not_listed(class_path)}")
    if not LISTED[class_path].startswith(_home_of(base)):
        raise _another_kind(class_path, base, where)
    return LISTED[class_path]


def _another_kind(class_path: str, base: type, where: object) -> InputError:
    return InputError(f"{where}: names {class_path}, which is not a {base.__name__}")


def _home_of(base: type) -> str:
    """The package with the listed classes that are derived from `base`."""
    own = base.__module__.startswith("cgd_lightning.")
    return base.__module__.rpartition(".")[0] if own else "cgd_lightning.networks"


def not_listed(class_path: str) -> str:
    """What is said of a class that a file names and may not."""
    name = _to_trust(class_path)
    if not name:
        return f"names {class_path}, which is no class that a file may name; nothing of it was run"
    return (
        f"names the class {class_path}, and {class_path.partition('.')[0]!r} is not trusted; "
        f"nothing of it was run. If you trust it, add --trust {name}"
    )


def _to_trust(class_path: str) -> str:
    """What the user may trust, so that a file may name the class: its package; nothing of ours."""
    package = class_path.partition(".")[0]
    if package == "cgd_lightning":
        return ""
    return class_path if package in LARGE_PACKAGES else package
