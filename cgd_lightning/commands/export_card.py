"""What the model card of an exported model is made of: its training, samples and their measures."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.commands.stored_data import stored_config_of, stored_data
from cgd_lightning.configuration.files import load_yaml
from cgd_lightning.data.pictures import decode_as_it_is
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.plots import to_picture
from cgd_lightning.exchange.model_card import Measured, ModelCard, Part
from cgd_lightning.sampling.preview import UNCLAMPED
from cgd_lightning.sampling.record import read_json, read_options

OF_A_TRAINING = {
    "trainer": ("max_steps", "max_epochs", "precision", "gradient_clip_val"),
    "model": (
        *("min_snr_gamma", "label_dropout", "warmup_steps", "decay", "ema_decay", "optimizer"),
    ),
}
"""Settings of a training that go with a model, as far as they are plain."""


def told_training(path: Path, trust: Trust) -> str | None:
    """The text of the training.yaml of the model `path`; None if nothing is known.

    It has the data set without what is of this machine, and plain settings of the training. Paths
    and all else that the configuration says stay here.
    """
    stored = stored_config_of(path)
    told: dict[str, Any] = {}
    data = stored_data(path, trust, named=True)
    if data is not None:
        told["data"] = data
    seed = stored.get("seed_everything")
    if type(seed) is int:
        told["seed_everything"] = seed
    for part, names in OF_A_TRAINING.items():
        settings = stored.get(part)
        if part == "model" and isinstance(settings, Mapping):
            settings = settings.get("init_args")
        if isinstance(settings, Mapping):
            kept = {name: _kept(settings.get(name)) for name in names}
            kept = {name: value for name, value in kept.items() if value is not None}
            if kept:
                told[part] = {"init_args": kept} if part == "model" else kept
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True) if told else None


def _kept(value: Any) -> Any:
    """`value`, if it is a number or a word, or an object described by numbers; None otherwise."""
    if isinstance(value, Mapping) and isinstance(value.get("class_path"), str):
        arguments = value.get("init_args")
        given = arguments.items() if isinstance(arguments, Mapping) else ()
        numbers = {name: part for name, part in given if type(part) in (bool, int, float)}
        return {"class_path": value["class_path"][:200], "init_args": numbers}
    if type(value) is str:
        return value if len(value) < 40 and "/" not in value and "\\" not in value else None
    return value if type(value) in (bool, int, float) else None


def card_of(
    settings: Namespace, folder: Path, weights: Path, picture: str | None, upsampler: bool
) -> ModelCard:
    """The model card of what was written to `folder`, whose first model is `weights`.

    picture: what its grid.png shows. upsampler: whether that model enlarges images.
    """
    other = checkpoints.paired(weights)
    files = [weights] if other is None else [weights, other]
    parts = [Part(checkpoints.read(f), checkpoints.sizes(f), _training(f)) for f in files]
    samples = None if settings.samples in (None, "none") else Path(settings.samples)
    out, latents = Path(settings.out), not parts[0].card.image_range
    name = out.absolute().name
    return ModelCard(
        name=name if settings.push is None else settings.push.partition("/")[2],
        place=_place(out) if settings.push is None else f"hf://{settings.push}",
        parts=parts,
        license=settings.license,
        grid=picture,
        scale=settings.scale if samples is None else _scale(samples),
        measured=None if samples is None else _measured(samples),
        upsampler=upsampler,
        # Of latents, which nothing clamps: that of the picture, unless the user gave one.
        sampler=UNCLAMPED if parts[0].card.kind == "diffusion" and latents else None,
    )


def _place(out: Path) -> str:
    """How the folder `out` is called in commands, which are typed where this one is."""
    return out.name if out.is_absolute() else str(out)


def _scale(samples: Path) -> float | None:
    """Of the guidance of the folder `samples`, if it was given."""
    scale: float | None = read_options(samples / "samples.json", Trust()).get("scale")
    return scale


def _training(weights: Path) -> Mapping[str, Any]:
    text = checkpoints.stored_config(weights)
    return {} if text is None else schema.mapping(load_yaml(text))


def shown(samples: Path, model: Path) -> tuple[Image.Image, str, dict[str, str]]:
    """(grid of the folder `samples`, how they were made, the same for the text of a PNG).

    Raises InputError if `cgd sample` did not write it, or wrote it with another model than `model`.
    """
    options = read_options(samples / "samples.json", Trust())
    ckpt = options.get("ckpt")
    if ckpt is not None and Path(ckpt).parts[-3:] != model.absolute().parts[-3:]:
        raise InputError(f"--samples {samples}: made with {ckpt}, and {model} is exported")
    picture = to_picture(decode_as_it_is(samples / "grid.png"))
    sampler = options.get("sampler") or {}
    arguments = ", ".join(f"{k}={v}" for k, v in (sampler.get("init_args") or {}).items())
    name = str(sampler.get("class_path")).rpartition(".")[2]
    scale = options.get("scale")
    at = "" if scale is None else f" at scale {scale:g}"
    seed = options.get("seed", 0)
    facts = {"scale": "" if scale is None else f"{scale:g}", "sampler": f"{name}({arguments})"}
    words = f"Samples of {name}({arguments}){at}, seed {seed}."
    return picture, words, {**facts, "seed": f"{seed}"}


def _measured(samples: Path) -> Measured | None:
    """What the evaluation beside `samples` tells; None if there is none."""
    file = samples / "evaluation" / "evaluation.json"
    if not file.is_file():
        return None
    try:
        facts = read_json(file)
        report = facts["samples"]
        real = facts.get("real_images") or {}
        rows = [
            (name, _number(own), _number((real.get("estimates") or {}).get(name)))
            for name, own in report["estimates"].items()
        ]
        features, code, name = (
            schema.text(report[key], 200) for key in ("features", "features_hash", "reference_name")
        )
        about = (
            f"Of {_count(report['n']):,} samples, as {features} sees them (hash {code}), against "
            f"{_count(report['reference']):,} {name}; in brackets 95% intervals."
        )
    except (KeyError, TypeError, AttributeError, ValueError, OSError, RecursionError) as error:
        raise InputError(f"{file}: not an evaluation.json written by cgd evaluate") from error
    called = "real images" if real else ""
    return Measured(rows, ("", "samples", called), about)


def _number(estimate: Any) -> str:
    """An estimate as a JSON holds it, in words; empty if there is none."""
    if estimate is None:
        return ""
    value, low, high = (
        None if estimate.get(name) is None else _finite(estimate[name])
        for name in ("value", "low", "high")
    )
    if value is None:
        raise ValueError("an interval without its number")
    return f"{value:.4g}" if low is None or high is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"


def _count(value: Any) -> int:
    return schema.integer(value, 0, schema.MOST_NUMBER)


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{schema.shown(value)}, where a finite number was wanted")
    return float(value)
