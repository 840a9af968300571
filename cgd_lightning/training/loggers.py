"""Where a run logs: metrics.csv always, which a continued run goes on writing, and what else the
user chose, in the run's folder too.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain

MOST_BYTES = 2**26
"""Of metrics.csv, which Lightning reads whole."""


class RunCSVLogger(CSVLogger):
    """A CSVLogger that keeps the rows that stand in the folder's metrics.csv already, where
    Lightning's deletes them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            save_dir=folder.parent.parent, name=folder.parent.name, version=folder.name
        )
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self._experiment = _ContinuedWriter(str(folder))


class _ContinuedWriter(_ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if os.path.lexists(file):
            self.metrics_keys = read_header(file)

    def log_hparams(self, params: dict) -> None:
        """Config files hold the hyper-parameters."""


def read_header(file: Path) -> list[str]:
    """The names of the columns in a metrics.csv. Raises InputError if it is not a plain table of at
    most `MOST_BYTES`.
    """
    try:
        with io.TextIOWrapper(open_plain(file, MOST_BYTES), encoding="utf-8", newline="") as lines:
            table = csv.reader(lines, strict=True)
            header = next(table, [])
            if not all(len(row) <= len(header) for row in table):
                raise ValueError("a row with more columns than the first one")
    except (csv.Error, OSError, ValueError) as error:
        raise InputError(
            f"{file}: not the metrics of a run ({one_line(error)}); remove it, or start the run "
            "without --ckpt_path"
        ) from error
    return header


def log_to(folder: Path, chosen: Sequence[Logger]) -> list[Logger]:
    """The loggers of a run: its metrics.csv, and those that the user chose, which write into the
    run's folder and take its name.
    """
    name = f"{folder.parent.name}/{folder.name}"
    for logger in chosen:
        if isinstance(logger, TensorBoardLogger):
            logger._root_dir, logger._name, logger._version = str(folder), "", "tensorboard"
        elif isinstance(logger, WandbLogger):
            own = logger._wandb_init
            own["dir"] = logger._save_dir = str(folder)
            own["name"] = logger._name = own.get("name") or name
    return [
        RunCSVLogger(folder),
        *(logger for logger in chosen if not isinstance(logger, CSVLogger)),
    ]
