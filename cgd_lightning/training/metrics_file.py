"""metrics.csv of a run, which a continued run goes on writing."""

import csv
import io
import os
from itertools import islice
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain, whole
from cgd_lightning.training.history import History, wanted

MOST_BYTES = 2**26
"""Of a metrics.csv that is gone on with, whose rows are read."""

MOST_CELLS = 10_000_000
"""Columns times rows of it."""


class RunCSVLogger(CSVLogger):
    """Writes metrics.csv into the folder of a run, and keeps the rows that stand there already.

    Lightning's logger deletes them. A new name is a new column: the file is then written anew,
    whole or not at all. `history` holds the numbers of the rows that are there and of new ones.

    Args:
        folder: folder of the version of a run.

    Raises InputError for a metrics.csv that is no table.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            save_dir=folder.parent.parent, name=folder.parent.name, version=folder.name
        )
        self.file = folder / "metrics.csv"
        self.rows: list[dict[str, Any]] = []
        first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
        self.columns: list[str] = []
        self.history = History()
        if first and os.path.lexists(self.file):
            self.columns = read_header(self.file)
            drop_half_row(self.file)
            self.remember()

    @property
    def experiment(self) -> Any:
        """Itself: Lightning's would make a writer that deletes the file."""
        return self

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        row = {name: v.item() if isinstance(v, Tensor) else v for name, v in metrics.items()}
        self.rows.append({**row, "step": len(self.rows) if step is None else step})
        self.history.add(row, self.rows[-1]["step"])

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def save(self) -> None:
        if not self.rows:
            return
        new = set().union(*self.rows) - set(self.columns)
        if new:
            before = self.stored_rows()
            self.columns = sorted({*self.columns, *new})
            with whole(self.file) as unfinished:
                self.write(unfinished, [*before, *self.rows], header=True)
        else:
            self.write(self.file, self.rows, header=not self.file.is_file())
        self.rows = []

    def finalize(self, status: str) -> None:
        self.save()

    def remember(self) -> None:
        """Put the rows that stand in the file into the history, a row at a time."""
        kept = [place for place, name in enumerate(self.columns) if wanted(name)]
        if "step" not in self.columns or not kept:
            return
        step = self.columns.index("step")
        with self.file.open(newline="", encoding="utf-8") as lines:
            for row in islice(csv.reader(lines), 1, None):
                if len(row) > step:
                    values = {self.columns[i]: row[i] for i in kept if i < len(row) and row[i]}
                    self.history.add(values, row[step])

    def stored_rows(self) -> list[dict[str, Any]]:
        """The rows that stand in the file."""
        if not self.file.is_file():
            return []
        with self.file.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    def write(self, file: Path, rows: list[dict[str, Any]], header: bool) -> None:
        """Add `rows` at the end of `file`, below a header or without one."""
        with file.open("a", newline="", encoding="utf-8") as lines:
            table = csv.DictWriter(lines, fieldnames=self.columns)
            if header:
                table.writeheader()
            table.writerows(rows)


def drop_half_row(file: Path) -> None:
    """Take a last row away that was not written to its end, as on a disk that was full."""
    with open_plain(file, MOST_BYTES) as opened:
        contents = opened.read()
    end = contents.rfind(b"\n") + 1
    if 0 < end < len(contents):
        with whole(file) as unfinished:
            unfinished.write_bytes(contents[:end])


def read_header(file: Path) -> list[str]:
    """The names of the columns in a metrics.csv.

    Raises InputError if it is not a plain table of at most `MOST_BYTES`.
    """
    try:
        with io.TextIOWrapper(open_plain(file, MOST_BYTES), encoding="utf-8", newline="") as lines:
            table = csv.reader(lines, strict=True)
            header = next(table, [])
            for count, row in enumerate(table, start=1):
                if len(row) > len(header):
                    raise ValueError("a row with more columns than the first one")
                if count * len(header) > MOST_CELLS:
                    raise ValueError(f"more than {MOST_CELLS:,} cells")
    except (csv.Error, OSError, ValueError) as error:
        raise InputError(
            f"{file}: not the metrics of a run ({one_line(error)}); remove it, or start the run "
            "without --ckpt_path"
        ) from error
    return header
