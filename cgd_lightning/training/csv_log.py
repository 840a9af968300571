"""metrics.csv, which a continued run goes on writing."""

import csv
from pathlib import Path

from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import CSVLogger


class RunCSVLogger(CSVLogger):
    """A CSVLogger that keeps the rows that stand in the folder's metrics.csv already, where Lightning's deletes them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder.parent.parent, name=folder.parent.name, version=folder.name)
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self._experiment = _ContinuedWriter(str(folder))


class _ContinuedWriter(_ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.is_file():
            with file.open(newline="") as lines:
                self.metrics_keys = next(csv.reader(lines), [])

    def log_hparams(self, params: dict) -> None:
        """Config files hold the hyper-parameters."""
