"""One folder of diffusers: what lies where in it, and the model that its settings tell."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.card import build as build_card
from cgd_lightning.checkpoints.entries import MOST_SIDE, decode
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import MOST_TIMESTEPS
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.class_names import given_names
from cgd_lightning.exchange.diffusers_files import no_larger_than_read, settings
from cgd_lightning.exchange.diffusers_networks import (
    all_arguments,
    build,
    network_arguments,
    their_settings,
)
from cgd_lightning.exchange.diffusers_schedules import (
    BETAS,
    PREDICTIONS,
    Process,
    read_process,
    scheduler_settings,
)
from cgd_lightning.exchange.diffusers_write import CARD

INDEX, CONFIG, SCHEDULER = "model_index.json", "config.json", "scheduler_config.json"

WORDS = {**BETAS, "cosine": BETAS["squaredcos_cap_v2"]}
"""The schedules that can be given for a network alone: diffusers' words and ours."""

COMPONENTS = ("unet", "scheduler")
"""Of the pipelines that can be read."""


@dataclass(frozen=True)
class Folder:
    """A folder of diffusers. kind: in a word; model, scheduler: where their settings lie."""

    source: Path
    kind: str
    model: Path
    scheduler: Path | None

    @classmethod
    def at(cls, source: Path) -> "Folder":
        """The folder `source`. Raises InputError if it is none, or has other components."""
        if not source.is_dir():
            raise InputError(f"{source}: not a folder of diffusers")
        if not (source / INDEX).is_file():
            scheduler = source / SCHEDULER
            return cls(source, "UNet2DModel", source, scheduler if scheduler.is_file() else None)
        kind = _pipeline(source / INDEX)
        model, scheduler = (_component(source, name) for name in COMPONENTS)
        return cls(source, kind, model, scheduler / SCHEDULER)

    @property
    def config(self) -> tuple[dict[str, Any], Path]:
        """The settings of the network, and their file."""
        return settings(self.model / CONFIG), self.model / CONFIG

    def check_given(self, given: Mapping[str, object]) -> None:
        """Raises InputError, naming both, for an option that contradicts what is told here."""
        config, path = self.config
        size = network_arguments(config, path)["image_size"]
        told = {} if size is None else {"image_size": (size, path)}
        if self.scheduler is not None:
            process = self._read_process({})
            told |= {
                "schedule": (process.word, self.scheduler),
                "timesteps": (process.schedule.timesteps, self.scheduler),
                "prediction": (process.prediction, self.scheduler),
            }
        for name, (value, where) in told.items():
            if not _same(given.get(name), value):
                raise InputError(
                    f"--{name} {schema.shown(given[name])}: {where} tells {schema.shown(value)}; "
                    "leave the option out"
                )

    def own(
        self, given: Mapping[str, object], notes: list[str]
    ) -> tuple[Denoiser, str | None] | None:
        """The model on the card in a folder that we wrote, and the name of its data set.

        It has no weights yet. Class names that are given stand for those on the card. None if there
        is no card, or the settings beside it are not its own.
        """
        path = self.source / CARD
        if self.scheduler is None or not path.is_file():
            return None
        card = decode(settings(path), path)
        with no_larger_than_read():
            model = build_card(card, path, device="meta")
        if isinstance(model, Denoiser) and self._is_of(model):
            names = given_names(given, len(card.class_names))
            model.data = replace(model.data, class_names=names or model.data.class_names)
            return model, card.dataset
        notes.append(f"{CARD} is of another model than the settings beside it, and was not read")
        return None

    def _is_of(self, model: Denoiser) -> bool:
        """Whether the settings in this folder are those that are written for `model`."""
        network = {"_class_name": "UNet2DModel", **their_settings(model.network)}
        scheduler = {"_class_name": "DDPMScheduler", **scheduler_settings(model)}
        here, there = self._read_process({}), read_process(scheduler, self.source)
        same = ("schedule", "prediction", "variance")
        return all_arguments(network, self.source) == all_arguments(*self.config) and all(
            getattr(here, name) == getattr(there, name) for name in same
        )

    def foreign(self, given: Mapping[str, object], notes: list[str]) -> Denoiser:
        """The model that the settings tell, without weights."""
        config, path = self.config
        arguments = network_arguments(config, path)
        if arguments["image_size"] is None:
            arguments["image_size"] = given_size(given, path)
        with no_larger_than_read(), torch.device("meta"):
            network = build(arguments, path)
        channels, outputs = arguments["in_channels"], arguments["out_channels"]
        if outputs not in (channels, 2 * channels):
            raise InputError(
                f"{path}: in_channels {channels} and out_channels {outputs}: not a noise predictor "
                "of images, which has as many out as in, or twice as many with a learned variance"
            )
        process = self._read_process(given)
        learned = outputs == 2 * channels
        _check_variance(process, learned, self.scheduler or path)
        notes += process.notes
        names = _class_names(network.num_classes, given, notes, path)
        size = arguments["image_size"]
        data = DataSpec((channels, size, size), names)
        try:
            return Denoiser(network, process.schedule, process.prediction, data, learned)
        except InputError as error:
            raise InputError(f"{self.scheduler or path}: {error}") from error

    def _read_process(self, given: Mapping[str, object]) -> Process:
        if self.scheduler is not None:
            return read_process(settings(self.scheduler), self.scheduler)
        word, prediction = given.get("schedule"), given.get("prediction")
        if word not in WORDS or prediction not in PREDICTIONS.values():
            raise InputError(
                f"{self.source}: a network alone, which does not tell its schedule nor what it "
                "predicts: give the folder of the pipeline (with model_index.json), or --schedule "
                f"({', '.join(WORDS)}) and --prediction ({', '.join(PREDICTIONS.values())})"
            )
        timesteps = given.get("timesteps")
        steps: Any = 1000 if timesteps is None else timesteps
        if type(steps) is not int or not 2 <= steps <= MOST_TIMESTEPS:
            raise InputError(
                f"--timesteps {schema.shown(steps)}: wanted an integer, 2 to {MOST_TIMESTEPS:,}"
            )
        try:
            schedule = WORDS[str(word)](steps, 0.0001, 0.02, False)
        except InputError as error:
            raise InputError(f"--schedule {word} of --timesteps {steps}: {error}") from error
        asked = "it is taken as trained on 1000 timesteps, unless you give --timesteps"
        kind: Any = prediction
        return Process(schedule, kind, str(word), notes=() if timesteps else (asked,))


def _same(given: object, told: object) -> bool:
    """Whether an option says what a file tells, or is not given."""
    if isinstance(given, str) and isinstance(told, str):
        return WORDS.get(given, given) == WORDS.get(told, told)
    return given is None or given == told


def _component(source: Path, name: str) -> Path:
    """Where a component lies: in its folder, or beside the others. InputError for a link."""
    folder = source / name
    if folder.is_symlink():
        raise InputError(f"{folder}: a link; wanted a folder, or none where all files lie together")
    return folder if folder.is_dir() else source


def _pipeline(path: Path) -> str:
    """The pipeline's class. Raises InputError for components that are not known, or missing."""
    index = settings(path)
    there = {
        name: value
        for name, value in index.items()
        if isinstance(value, list) and any(part is not None for part in value)
    }
    unknown = next((name for name in there if name not in COMPONENTS), None)
    if unknown is not None:
        alone = "; of this one, the autoencoder alone: its folder vae" if "vae" in there else ""
        raise InputError(
            f"{path}: the component {unknown[:60]!a} ({schema.shown(there[unknown][-1])}) is not "
            "known: pipelines of a unet and a scheduler on pixels can be read, not latent or "
            f"text-conditional ones{alone}"
        )
    for name in COMPONENTS:
        if name not in there:
            raise InputError(f"{path}: no component {name}; wanted {' and '.join(COMPONENTS)}")
    return schema.shown(index.get("_class_name")).strip("'")


def _check_variance(process: Process, learned: bool, path: Path) -> None:
    if process.variance == "learned":
        raise InputError(f"{path}: variance_type learned, where learned_range alone can be read")
    if process.variance is not None and (process.variance == "learned_range") != learned:
        raise InputError(
            f"{path}: variance_type {process.variance} of a network that has "
            f"{'twice as many channels out as in' if learned else 'as many channels out as in'}"
        )


def given_size(given: Mapping[str, object], path: Path) -> int:
    """The option `image_size`. Raises InputError if the user has to give it, or gave no size."""
    size = given.get("image_size")
    if size is None:
        raise InputError(f"{path}: sample_size is not told; give --image_size, in pixels")
    if type(size) is not int or not 1 <= size <= MOST_SIDE:
        raise InputError(
            f"--image_size {schema.shown(size)}: wanted a number of pixels, 1 to {MOST_SIDE:,}"
        )
    return size


def _class_names(
    labels: int | None, given: Mapping[str, object], notes: list[str], path: Path
) -> tuple[str, ...]:
    names = given_names(given, None)
    if labels is None:
        if names:
            raise InputError(f"{path}: class names of a network that is told no class")
        return ()
    if not names:
        notes.append(
            f"the names of its {labels} classes are not told: they are 0 to {labels - 1}, unless "
            "you give --class_names"
        )
        return tuple(map(str, range(labels)))
    if len(names) not in (labels, labels - 1):
        raise InputError(f"{path}: {len(names)} class names of a network with {labels} labels")
    if len(names) == labels - 1:
        notes.append(f"label {labels - 1} is taken as the one that tells no class")
    return names
