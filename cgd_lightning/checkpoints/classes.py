"""Which classes a file may name, and objects from what it says of them.

A file names a class by its import path. It stands on the list below, or the user trusts it by name;
nothing else is imported. Its arguments are plain values of the types that its constructor declares.
"""

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from cgd_lightning.checkpoints import schema
from cgd_lightning.errors import InputError, one_line

OURS = {
    "networks.convnet": ("ConvNet",),
    "networks.encoder": ("EncoderUNet",),
    "networks.mlp": ("MLP", "MLPClassifier"),
    "networks.unet": ("UNet",),
    "diffusion.schedules": ("Linear", "Cosine", "Sigmoid", "VarianceExploding"),
    "diffusion.samplers.ddim": ("DDIM",),
    "diffusion.samplers.ddpm": ("DDPM",),
    "diffusion.samplers.dpm_solver": ("DPMSolver", "DPMSolverSDE"),
    "diffusion.samplers.heun": ("Euler", "Heun"),
    "diffusion.samplers.langevin": ("AnnealedLangevin", "LangevinCorrector"),
    "diffusion.guidance.attribute": ("Attribute",),
    "diffusion.guidance.classifier": ("ClassifierGuidance",),
    "diffusion.guidance.classifier_free": ("Autoguidance", "ClassifierFree"),
    "diffusion.guidance.clean": ("CleanGuidance",),
    "diffusion.guidance.image_weights": ("EntropyScale", "UnitGradient"),
    "diffusion.guidance.limiters": ("Clamp", "DynamicThreshold", "Projection", "Rescale"),
    "diffusion.guidance.rule": ("Chain",),
    "diffusion.guidance.weights": ("Constant", "Interval", "Ramp", "SqrtBeta"),
    "data.digits": ("Digits",),
    "data.folder": ("Folder",),
    "data.vision": ("CIFAR10", "FashionMNIST", "MNIST"),
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

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


@dataclass(frozen=True)
class Trust:
    """What the user trusts beyond the list.

    names: packages, modules or classes that files may name. any_size: files may ask for networks of
    any number of parameters and layers.
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


def find_class(class_path: Any, base: type, where: object, trust: Trust) -> type:
    """The class at `class_path`, derived from `base`, that the file `where` names.

    Raises InputError if it is neither listed nor trusted, without importing anything, cannot be
    imported, or is something else.
    """
    if type(class_path) is not str or len(class_path) > 300 or not _DOTTED.fullmatch(class_path):
        raise InputError(
            f"{where}: names {schema.shown(class_path)}, which is not the import path of a class"
        )
    trusted = trust.covers(class_path)
    if class_path not in LISTED and not trusted:
        raise InputError(f"{where}: {not_listed(class_path)}")
    if not trusted and not LISTED[class_path].startswith(
        _home_of(base)
    ):  # before anything is imported
        raise InputError(f"{where}: names {class_path}, which is not a {base.__name__}")
    module, _, name = (class_path if trusted else LISTED[class_path]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{where}: names the class {class_path}, which cannot be imported: {one_line(error)}"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise InputError(f"{where}: names {class_path}, which is not a {base.__name__}")
    return cls


def _home_of(base: type) -> str:
    """The package with the listed classes that are derived from `base`."""
    own = base.__module__.startswith("cgd_lightning.")
    return base.__module__.rpartition(".")[0] if own else "cgd_lightning.networks"


def not_listed(class_path: str) -> str:
    """What is said of a class that a file names and may not."""
    package = class_path.partition(".")[0]
    if package == "cgd_lightning":
        return f"names {class_path}, which is no class that a file may name; nothing of it was run"
    # Of a package as large as these, one class is enough to trust.
    name = (
        class_path
        if package in ("lightning", "pytorch_lightning", "torch", "torchmetrics", "torchvision")
        else package
    )
    return (
        f"names the class {class_path}, and {package!r} is not trusted; nothing of it was run. If "
        f"you trust it, add --trust {name}"
    )


def check_spec(
    spec: Any, base: type, where: object, trust: Trust, without: Sequence[str] = ()
) -> dict[str, Any]:
    """`spec`, {"class_path": ..., "init_args": {...}}, as a file describes an object derived from
    `base`, checked.

    The arguments of a listed class have the types that its constructor declares, those of a trusted
    one are plain values. without: arguments that are left out. Raises InputError for anything else.
    """

    def nested(inner: Any, inner_base: type) -> dict[str, Any]:
        return check_spec(inner, inner_base, where, trust)

    try:
        given = schema.mapping(spec, ("class_path", "init_args"))
    except ValueError as error:
        raise InputError(f"{where}: a {base.__name__} is described by {error}") from error
    if type(given.get("class_path")) is str:
        given = {**given, "class_path": SHORT.get(given["class_path"], given["class_path"])}
    cls = find_class(given.get("class_path"), base, where, trust)
    refused = f"{where}: {given['class_path']} does not take the arguments stored there"
    try:
        arguments = schema.mapping(given.get("init_args") or {})
    except ValueError as error:
        raise InputError(f"{refused}: {error}") from error
    listed = not trust.covers(given["class_path"])
    hints = get_type_hints(cls.__init__) if listed else {}  # type: ignore[misc]
    checked = {}
    for name, value in arguments.items():
        if name in without:
            continue
        try:
            if listed and name not in hints:
                raise ValueError("an argument that it does not have")
            checked[name] = (
                schema.typed(value, hints[name], nested) if listed else schema.plain(value)
            )
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{refused}: {ascii(name)[1:-1][:60]}: {error}") from error
    return {
        "class_path": given["class_path"] if not listed else LISTED[given["class_path"]],
        "init_args": checked,
    }


def construct(spec: Any, base: type, where: object, trust: Trust) -> Any:
    """The object that `spec` describes in the file `where`; its arguments hold no further objects.

    Raises InputError as `check_spec` does, and if the class refuses the arguments.
    """
    checked = check_spec(spec, base, where, trust)
    cls = find_class(checked["class_path"], base, where, trust)
    try:
        return cls(**checked["init_args"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (
        Exception
    ) as error:  # whatever a constructor raises for arguments that it was not written for
        raise InputError(
            f"{where}: {spec['class_path']} does not take the arguments stored there: "
            f"{one_line(error)}"
        ) from error


def describe_object(thing: Any) -> dict[str, Any]:
    """The spec of `thing`: its import path, as short as the packages above the class allow, and
    constructor arguments.
    """
    cls = type(thing)
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if getattr(importlib.import_module(module), cls.__qualname__, None) is cls:
            break
    if not hasattr(thing, "init_args"):
        raise InputError(
            f"{cls.__name__} does not remember its constructor arguments; derive it from "
            "cgd_lightning.networks.Network"
        )
    return {"class_path": f"{module}.{cls.__qualname__}", "init_args": dict(thing.init_args)}
