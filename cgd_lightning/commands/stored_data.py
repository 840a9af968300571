"""The data set that a checkpoint was trained on, as an option of commands that look at its images."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace

from cgd_lightning import checkpoint as checkpoints
from cgd_lightning.commands.parser import OneLineErrors, instantiate
from cgd_lightning.errors import InputError


def add_data_option(options: OneLineErrors, words: list[str], named_by: str, what: str) -> None:
    """Add `--data` to `options`, with the data set of the checkpoint that `words` name by the option `named_by` for a default.

    So `--data.root FOLDER` changes one setting of it. what: that checkpoint, in the help.
    """
    from cgd_lightning.commands import lightning_cli  # noqa: F401  (so that the short names of data sets are known)
    from cgd_lightning.data.datamodule import NoisingDataModule

    only = ArgumentParser(add_help=False, allow_abbrev=False)
    only.add_argument(f"--{named_by}", default=os.environ.get(f"{options.env_prefix}_{named_by.upper()}"))
    named = getattr(only.parse_known_args(words)[0], named_by)
    stored = stored_data(checkpoints.find(named)) if named else None
    chosen = {"default": stored} if stored else {"required": False}
    options.add_subclass_arguments(NoisingDataModule, "data", help=f"Data set. Default: the one {what} was trained on.", **chosen)


def stored_data(path: Path) -> dict[str, Any] | None:
    """Class path and arguments of the data set in the checkpoint `path`, if it tells."""
    checkpoints.read(path)  # says in one line what is no checkpoint
    text = torch.load(path, weights_only=True, map_location="cpu", mmap=True).get("cgd_config")
    return None if text is None else yaml.safe_load(text)["data"]


def data_of(options: OneLineErrors, settings: Namespace, path: Path) -> Any:
    """The data module that `settings` ask for. Raises InputError if they do not, and the checkpoint at `path` did not tell."""
    if settings.data is None:
        raise InputError(f"{path}: does not tell its data set; give it with --data")
    return instantiate(options, settings).data
