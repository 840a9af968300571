"""Checkpoints that know what they are: enough to build the network again, and nothing that runs.

A file holds, beside the weights, plain data under "cgd": import path and constructor arguments of the network, schedule, prediction type,
image shape, class names, data set. Files are read with `weights_only=True`, so nothing is unpickled, and a class that a file names is
imported only from `TRUSTED` packages and from those that the caller trusts.
"""

import importlib
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

FORMAT = 1
TRUSTED = ("cgd_lightning", "torch", "torchvision", "torchmetrics", "lightning")

Model: TypeAlias = Denoiser | NoisyClassifier | CleanClassifier
KINDS: dict[str, type[Model]] = {"diffusion": Denoiser, "classifier": NoisyClassifier, "judge": CleanClassifier}


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself. `network` and `schedule` are {"class_path": ..., "init_args": {...}}."""

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


def describe(model: Model, dataset: str | None = None, partner: str | None = None) -> dict[str, Any]:
    """The card of `model` as plain data, to store under "cgd" in its checkpoint."""
    schedule = getattr(model, "schedule", None)
    card = Card(
        format=FORMAT,
        version=version("cgd-lightning"),
        kind=next(kind for kind, cls in KINDS.items() if isinstance(model, cls)),
        network=_spec(model.network),
        schedule=schedule and _spec(schedule),
        prediction=getattr(model, "prediction", None),
        image_shape=list(model.image_shape),
        image_range=[-1.0, 1.0],
        class_names=list(model.class_names),
        dataset=dataset,
        partner=partner,
        class_shares=list(getattr(model, "class_shares", ())),
    )
    return vars(card).copy()


def save(model: Model, path: str | Path, dataset: str | None = None, partner: str | None = None) -> None:
    """Write `model` alone, without a training state, to the file `path`, whole or not at all."""
    path = Path(path)
    weights = {f"ema.{name}": tensor for name, tensor in model.state_dict().items()}
    unfinished = path.with_name(path.name + ".tmp")
    try:
        torch.save({"cgd": describe(model, dataset, partner), "state_dict": weights}, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def find(path: str | Path, names: Sequence[str] = ("best.ckpt", "last.ckpt")) -> Path:
    """The checkpoint file that `path` means: a file, a version folder, or a run folder, of which the newest version counts.

    names: the files of a folder that count, the first of them that is there. Raises InputError if there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"{path}: no such checkpoint, version folder or run folder{_runs_near(path)}")
    for folder in (path, *versions(path)):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise InputError(f"{path}: neither best.ckpt nor last.ckpt in this folder or a version_N in it{_runs_near(path)}")


def versions(run: Path) -> list[Path]:
    """The version_N folders of a run folder, newest first."""
    numbered = [(int(match[1]), p) for p in run.glob("version_*") if (match := re.fullmatch(r"version_(\d+)", p.name))]
    return [path for _, path in sorted(numbered, reverse=True)]


def _runs_near(path: Path) -> str:
    for parent in (path, path.parent, Path("runs")):
        if runs := sorted(str(version.parent) for version in parent.glob("*/version_0")):
            return f"; runs here: {', '.join(runs)}"
    return "; train one first: cgd fit --config diffusion.yaml"


def read(path: str | Path) -> Card:
    """The card of a checkpoint. Raises InputError if the file is damaged, foreign, of a newer format or holds more than plain data."""
    return _card(path, _open(path))


def sizes(path: str | Path) -> dict[str, int]:
    """The number of trained parameters in a checkpoint, and the step that it was written at, where it tells."""
    contents = _open(path)
    count = sum(tensor.numel() for name, tensor in contents["state_dict"].items() if name.startswith("ema."))
    step = {"step": contents["global_step"]} if "global_step" in contents else {}
    return {"parameters": count, **step}


def load(
    path: str | Path,
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    trust: Sequence[str] = (),
) -> Any:
    """The `Denoiser`, `NoisyClassifier` or `CleanClassifier` in a checkpoint: in eval mode, frozen, on `device`.

    path: as for `find`. weights: the moving average, or those that the optimiser left. trust: packages beside `TRUSTED` from
    which the network's class may be imported. Raises InputError as `read` does, and for a class of any other package.
    """
    path = find(path)
    contents = _open(path)
    card = _card(path, contents)
    prefix = "ema." if weights == "ema" else "model."
    state = {k.removeprefix(prefix): v for k, v in contents["state_dict"].items() if k.startswith(prefix)}
    if not state:
        raise InputError(f"{path}: holds no {weights} weights")
    # The networks of this package hold weights and nothing else, and need not be filled twice; another may hold more.
    ours = str(card.network.get("class_path")).startswith("cgd_lightning.")
    with torch.inference_mode(False):
        model = build(card, path, trust, device="meta" if ours else "cpu")
        own = {name: tensor.clone() for name, tensor in state.items()}
        try:
            model.load_state_dict(own, assign=True)
        except RuntimeError as error:
            raise InputError(f"{path}: its weights do not fit the network that it names: {_one_line(error)}") from error
        return model.to(memory_format=torch.channels_last).to(device).eval().requires_grad_(False)


def build(card: Card, path: str | Path = "checkpoint", trust: Sequence[str] = (), device: str = "cpu") -> Model:
    """The model that a card describes, with fresh weights on `device`."""
    with torch.device(device):
        network = _construct(card.network, nn.Module, path, trust)
    shape, names = card.image_shape, card.class_names
    if card.kind == "judge":
        return CleanClassifier(network, names, shape, card.class_shares)
    assert card.schedule is not None
    schedule = _construct(card.schedule, NoiseSchedule, path, trust)
    if card.kind == "classifier":
        return NoisyClassifier(network, schedule, names, shape, card.class_shares)
    return Denoiser(network, schedule, card.prediction, shape, names)  # type: ignore[arg-type]


def check_pair(diffusion: tuple[Path, Card], classifier: tuple[Path, Card]) -> None:
    """Raises InputError, naming both files and both values, unless the classifier can guide the diffusion model."""
    (path, card), (other_path, other) = diffusion, classifier
    if card.kind != "diffusion":
        raise InputError(f"{path}: a {card.kind}, and a diffusion model was wanted")
    if other.kind != "classifier":
        raise InputError(f"{other_path}: a {other.kind}, and a classifier of noisy images was wanted")
    for name in ("image_shape", "class_names"):
        mine, yours = getattr(card, name), getattr(other, name)
        if mine != yours and mine:
            raise InputError(
                f"these two do not pair: {name.replace('_', ' ')} {mine} in {path}, but {yours} in {other_path}; "
                "give a classifier trained on the same data with --classifier"
            )


def check_shapes(one: tuple[Path, Card], other: tuple[Path, Card]) -> None:
    """Raises InputError, naming both files and both values, unless both know images of one shape."""
    (path, card), (other_path, other_card) = one, other
    if card.image_shape != other_card.image_shape:
        raise InputError(
            f"image shape {card.image_shape} in {path}, but {other_card.image_shape} in {other_path}; give one trained on such images"
        )


def check_judge(judge: tuple[Path, Card], other: tuple[Path, Card]) -> None:
    """Raises InputError, naming both files and both values, unless the judge knows the images and classes of the other model."""
    (path, card), (other_path, other_card) = judge, other
    if card.kind != "judge":
        raise InputError(f"{path}: a {card.kind}, and a judge was wanted: cgd fit --config judge.yaml")
    for name in ("image_shape", "class_names"):
        mine, yours = getattr(card, name), getattr(other_card, name)
        if mine != yours and yours:
            raise InputError(
                f"this judge does not fit: {name.replace('_', ' ')} {mine} in {path}, but {yours} in {other_path}; "
                "give a judge trained on the same data"
            )


def find_partner(partner: str, beside: Path) -> Path:
    """The checkpoint file that `partner` means: as for `find`, or the run of that name in the folder `beside`, which holds runs."""
    try:
        return find(partner)
    except InputError:
        if (beside / Path(partner).name).is_dir():
            return find(beside / Path(partner).name)
        raise


def find_classifier(path: Path, card: Card) -> Path | None:
    """The classifier that goes with a diffusion checkpoint: its stored partner, else the newest compatible run beside its own run."""
    if card.partner:
        return find_partner(card.partner, path.absolute().parent.parent.parent)
    candidates = [c for c in path.absolute().parent.parent.parent.glob("*/version_*") if c.is_dir()]
    found = []
    for folder in candidates:
        try:
            file = find(folder)
            check_pair((path, card), (file, read(file)))
        except InputError:
            continue
        found.append(file)
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def _spec(thing: Any) -> dict[str, Any]:
    """Import path, as short as the packages above the class allow, and constructor arguments."""
    cls = type(thing)
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if getattr(importlib.import_module(module), cls.__qualname__, None) is cls:
            break
    if not hasattr(thing, "init_args"):
        raise InputError(f"{cls.__name__} does not remember its constructor arguments; derive it from cgd_lightning.networks.Network")
    return {"class_path": f"{module}.{cls.__qualname__}", "init_args": dict(thing.init_args)}


def _construct(spec: Mapping[str, Any], base: type, path: str | Path, trust: Sequence[str]) -> Any:
    class_path, init_args = str(spec.get("class_path")), spec.get("init_args") or {}
    module, _, name = class_path.rpartition(".")
    package = class_path.partition(".")[0]
    if package not in (*TRUSTED, *trust):
        raise InputError(
            f"{path}: names the class {class_path}, and {package!r} is not trusted; nothing of it was run. "
            f"If you trust it, add --trust {package}"
        )
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: names the class {class_path}, which cannot be imported: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise InputError(f"{path}: names {class_path}, which is not a {base.__name__}")
    try:
        return cls(**init_args)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: {class_path} does not take the arguments stored there: {_one_line(error)}") from error


def _open(path: str | Path) -> dict[str, Any]:
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: not a readable checkpoint, or one that holds more than plain data; nothing of it was run") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if isinstance(error, PermissionError):
            raise
        raise InputError(f"{path}: not a readable checkpoint, damaged or cut short: {_one_line(error)}") from error
    if not isinstance(contents, dict) or not all(isinstance(contents.get(part), dict) for part in ("cgd", "state_dict")):
        raise InputError(f"{path}: not a checkpoint of cgd-lightning")
    return contents


def _card(path: str | Path, contents: dict[str, Any]) -> Card:
    data = contents["cgd"]
    if isinstance(data.get("format"), int) and data["format"] > FORMAT:
        raise InputError(
            f"{path}: written by cgd-lightning {data.get('version')} in format {data['format']}, "
            f"and this version reads up to {FORMAT}; update cgd-lightning"
        )
    data = {"class_shares": [], **data}  # not in checkpoints of 0.1.0 written before mixtures of classes
    wanted = {"format": int, "kind": str, "network": dict, "image_shape": list, "class_names": list, "class_shares": list}
    if data.get("kind") != "judge":
        wanted["schedule"] = dict
    names = [field.name for field in fields(Card)]
    wrong = [name for name in names if name not in data or not isinstance(data[name], wanted.get(name, object))]
    if wrong or data["kind"] not in KINDS:
        raise InputError(f"{path}: its description is damaged: {', '.join(wrong) or data['kind']}")
    return Card(**{name: data[name] for name in names})


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
