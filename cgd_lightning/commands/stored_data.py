"""The data set that a checkpoint was trained on, as an option of commands that use its images."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import LISTED, SHORT, Trust, check_spec
from cgd_lightning.configuration.files import load_yaml
from cgd_lightning.configuration.parser import OneLineErrors, instantiate
from cgd_lightning.errors import InputError

OF_THIS_MACHINE = (
    *("root", "generated", "download", "num_workers", "autoencoder"),
    *("schedule", "predict_timestep"),
)
"""Options of a data set that never come from a checkpoint.

They say where files are, what is fetched, and how it is measured.
"""


def add_data_option(
    options: OneLineErrors, words: list[str], named_by: str, what: str, trust: Trust
) -> None:
    """Add `--data` to `options`, by default the data set of a checkpoint.

    `words` name the checkpoint by the option `named_by`. So `--data.root FOLDER` changes one
    setting of it. what: that checkpoint, in the help.
    """
    # So that the short names of data sets are known.
    import cgd_lightning.data.digits
    import cgd_lightning.data.folder
    import cgd_lightning.data.generated
    import cgd_lightning.data.lesions
    import cgd_lightning.data.vision  # noqa: F401
    from cgd_lightning.data.datamodule import NoisingDataModule

    only = ArgumentParser(add_help=False, allow_abbrev=False)
    only.add_argument(
        f"--{named_by}", default=os.environ.get(f"{options.env_prefix}_{named_by.upper()}")
    )
    only.add_argument("--data")
    given = only.parse_known_args(words)[0]
    named = getattr(given, named_by)
    stored = (
        stored_data(checkpoints.find(named), trust, named=given.data is not None) if named else None
    )
    chosen = {"default": stored} if stored else {"required": False}
    options.add_subclass_arguments(
        NoisingDataModule,
        "data",
        help=f"Data set. Default: the one {what} was trained on.",
        **chosen,
    )


def stored_data(path: Path, trust: Trust, named: bool = False) -> dict[str, Any] | None:
    """Class path and plain options of the data set in the checkpoint `path`.

    None if it does not tell. named: whether the user names a data set himself, so that one which is
    not trusted is no mistake.
    """
    from cgd_lightning.data.datamodule import NoisingDataModule

    stored = stored_config_of(path).get("data")
    if stored is None:
        return None
    try:
        class_path = schema.mapping(stored).get("class_path")
    except ValueError as error:
        raise InputError(f"{path}: its data set is {error}") from error
    ours = class_path in (*LISTED, *SHORT)
    if named and not ours and not trust.covers(str(class_path)):
        return None
    data = check_spec(
        stored, NoisingDataModule, f"{path}: its data set", trust, without=OF_THIS_MACHINE
    )
    data["init_args"] = {name: _portable(value) for name, value in data["init_args"].items()}
    if not ours:  # what the texts of another class mean is not known: they may be paths
        data["init_args"] = {
            name: value
            for name, value in data["init_args"].items()
            if not isinstance(value, str | dict | list)
        }
    return data


def _portable(value: Any) -> Any:
    """An argument of a data set; one that is a data set itself without `OF_THIS_MACHINE`."""
    if not isinstance(value, dict) or "init_args" not in value:
        return value
    kept = {
        name: _portable(part)
        for name, part in value["init_args"].items()
        if name not in OF_THIS_MACHINE
    }
    return {**value, "init_args": kept}


def stored_weighting(path: Path) -> float | None:
    """The min_snr_gamma of the training in the checkpoint `path`, if it tells."""
    model = stored_config_of(path).get("model")
    arguments = model.get("init_args") if isinstance(model, dict) else None
    gamma: Any = arguments.get("min_snr_gamma") if isinstance(arguments, dict) else None
    return float(gamma) if type(gamma) in (int, float) and 0 < gamma < schema.MOST_NUMBER else None


def stored_config_of(path: Path) -> dict[str, Any]:
    """The configuration in the checkpoint `path`, plain data unchecked; empty if there is none."""
    text = checkpoints.stored_config(path)
    if text is None:
        return {}
    try:
        return schema.mapping(load_yaml(text))
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(
            f"{path}: its configuration is damaged ({' '.join(str(error).split())[:200]})"
        ) from error


def with_data(options: OneLineErrors, settings: Namespace, path: Path) -> Any:
    """The objects that `settings` describe, `data` among them.

    Raises InputError if they name no data set, and the checkpoint at `path` did not tell.
    """
    if settings.data is None:
        raise InputError(f"{path}: does not tell its data set; give it with --data")
    return instantiate(options, settings)
