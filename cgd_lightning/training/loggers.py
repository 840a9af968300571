"""Where a run logs: what the user chose writes into its folder too, beside metrics.csv."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from cgd_lightning.errors import InputError
from cgd_lightning.training.settings import class_of, listed


def in_folder(chosen: Any, folder: Path, trust_wandb: bool) -> list[Any]:
    """The settings of loggers that write into the folder of the run and take its name.

    Those of CSV loggers are left out, as a run has one of its own.

    chosen: the option trainer.logger, as a parser leaves it. trust_wandb: whether the user named
    Weights & Biases himself. Raises InputError if he did not, and a file in this folder would
    decide which server his key is sent to.
    """
    kept = []
    for settings in listed(chosen):
        cls = class_of(settings.class_path)
        if issubclass(cls, CSVLogger):
            continue
        options, own = settings.get("init_args") or {}, {"save_dir": str(folder)}
        if issubclass(cls, TensorBoardLogger):
            own |= {"name": "", "version": "tensorboard"}
        elif issubclass(cls, WandbLogger):
            check_wandb_settings(trust_wandb)
            own["name"] = options.get("name") or f"{folder.parent.name}/{folder.name}"
        else:
            own = {}
        for name in own:
            if name in options:
                options[name] = own[name]
        kept.append(settings)
    return kept


def check_wandb_settings(trusted: bool) -> None:
    """Raises InputError if a file here would decide where Weights & Biases sends the user's key.

    No error if the user trusts that.
    """
    settings = Path(os.environ.get("WANDB_DIR", ".")) / "wandb" / "settings"
    if os.path.lexists(settings) and not trusted:
        raise InputError(
            f"{settings}: says where Weights & Biases sends your key; remove it, or if it is yours "
            "type --trainer.logger WandbLogger"
        )


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """Raises InputError for what Lightning and its loggers refuse in ways of their own."""
    try:
        yield
    except MisconfigurationException as error:
        raise InputError(_ours(str(error).splitlines()[0])) from error
    except ModuleNotFoundError as error:
        if "tensorboard" not in str(error):
            raise
        raise InputError(
            f"{str(error).splitlines()[0]}; pip install 'cgd-lightning[tensorboard]'"
        ) from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        raise InputError(
            "Weights & Biases cannot be reached or does not know you "
            f"({str(error).splitlines()[0]}); run `wandb login`, "
            "or keep the log here: --trainer.logger.init_args.offline true"
        ) from error


def _ours(line: str) -> str:
    """What Lightning says in a `line`, and what to do where it does not say it."""
    line = line.partition(" HINT: ")[0]
    if "accelerator" in line or "backend found" in line:
        return f"{line.rstrip('.!')}; give --trainer.accelerator auto, or cpu"
    return line
