"""metrics.csv, beside the one that Lightning's own logger writes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cgd_lightning.errors import InputError
from cgd_lightning.training import metrics_file
from cgd_lightning.training.metrics_file import RunCSVLogger

ROWS: list[tuple[dict[str, Any], int]] = [
    ({"train/loss": 0.1 + 0.2, "epoch": 0}, 9),
    ({"train/loss": torch.tensor(1 / 3), "epoch": 0}, 19),
    ({"val/loss": 1e-12, "val/accuracy": 1.0, "epoch": 1}, 19),
    ({"guided/n": float("nan"), "a, b": 2.0, "epoch": 1}, 19),
    ({"train/loss": 7.0, "epoch": 2}, 129),
]


def run_folder(root: Path) -> Path:
    folder = root / "runs" / "name" / "version_0"
    folder.mkdir(parents=True)
    return folder


def write(logger: Any, rows: list[tuple[dict[str, Any], int]]) -> None:
    for values, step in rows:
        logger.log_metrics(values, step)
        logger.save()
    logger.finalize("success")


def test_the_file_is_that_of_lightnings_logger_byte_for_byte(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    write(RunCSVLogger(folder), ROWS)
    write(CSVLogger(tmp_path, name="theirs", version=""), ROWS)
    ours = (folder / "metrics.csv").read_bytes()
    assert ours == (tmp_path / "theirs" / "metrics.csv").read_bytes()
    assert [path.name for path in folder.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize("first", range(1, len(ROWS)))
def test_a_run_that_goes_on_writes_the_file_of_one_that_was_not_stopped(
    first: int, tmp_path: Path
) -> None:
    folder, whole = run_folder(tmp_path), run_folder(tmp_path / "whole")
    write(RunCSVLogger(whole), ROWS)
    write(RunCSVLogger(folder), ROWS[:first])
    write(RunCSVLogger(folder), ROWS[first:])
    assert (folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


def test_a_new_column_that_cannot_be_written_leaves_the_rows_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(tmp_path)
    logger = RunCSVLogger(folder)
    write(logger, ROWS[:2])
    before = (folder / "metrics.csv").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(RunCSVLogger, "write", full)
    with pytest.raises(OSError, match="no space left"):
        write(logger, ROWS[2:3])
    assert (folder / "metrics.csv").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["metrics.csv"]


def test_other_processes_than_the_first_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(tmp_path)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    write(RunCSVLogger(folder), ROWS)
    assert not list(folder.iterdir())


def test_it_tells_the_same_places_as_lightnings_logger(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    ours = RunCSVLogger(folder)
    theirs = CSVLogger(tmp_path / "runs", name="name", version="version_0")
    for name in ("save_dir", "root_dir", "log_dir", "name", "version"):
        assert str(getattr(ours, name)) == str(getattr(theirs, name))
    assert Path(ours.log_dir) == folder


def test_what_is_no_table_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(tmp_path)
    file = folder / "metrics.csv"
    for damage in (b"a,b\n1,2,3\n", b"\xff\xfe", b'"a'):
        file.write_bytes(damage)
        with pytest.raises(InputError, match="not the metrics of a run"):
            RunCSVLogger(folder)
        assert file.read_bytes() == damage
    monkeypatch.setattr(metrics_file, "MOST_BYTES", 10)
    file.write_text("step\n" + "1\n" * 10)
    with pytest.raises(InputError, match="at most 10 are read"):
        RunCSVLogger(folder)


def test_a_last_row_that_was_cut_off_is_taken_away_and_the_table_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_bytes(b"loss,step\r\n1.5,0\r\n2.3064")
    logger = RunCSVLogger(folder)
    logger.log_metrics({"loss": 3.5}, step=1)
    logger.save()
    assert (folder / "metrics.csv").read_bytes() == b"loss,step\r\n1.5,0\r\n3.5,1\r\n"


def test_a_small_file_of_very_many_cells_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "version_0"
    folder.mkdir(parents=True)
    names = ",".join(f"n{i}" for i in range(3000))
    (folder / "metrics.csv").write_text(f"{names}\n" + "1\n" * 100_000)
    with pytest.raises(InputError, match="more than 10,000,000 cells"):
        RunCSVLogger(folder)
