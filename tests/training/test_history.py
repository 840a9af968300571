"""What a run remembers of its log, however long it is."""

from pathlib import Path

import pytest

from cgd_lightning.training import history
from cgd_lightning.training.history import MOST_NAMES, MOST_POINTS, History, Series
from cgd_lightning.training.metrics_file import RunCSVLogger


def test_a_short_series_is_every_value() -> None:
    series, points = Series(), [(10.0 * i, 1.0 / (1 + i)) for i in range(MOST_POINTS - 1)]
    for step, value in points:
        series.add(step, value)
    assert series.points == points


@pytest.mark.parametrize("n", [MOST_POINTS, 12_345, 100_001])
def test_a_long_series_is_means_of_equally_many_values_in_turn(n: int) -> None:
    series = Series()
    for i in range(n):
        series.add(float(i), float(i * i))
    points, each = series.points, series.each
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS + 1
    for k, (step, value) in enumerate(points):
        members = range(k * each, min(n, (k + 1) * each))
        assert step == pytest.approx(sum(members) / len(members))
        assert value == pytest.approx(sum(i * i for i in members) / len(members))


def test_what_is_logged_again_after_a_kill_takes_the_place_of_what_was_logged_before() -> None:
    series = Series()
    for step, value in [(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0), (20, 20.0), (30, 30.0)]:
        series.add(step, value)
    assert series.points == [(10, 1.0), (20, 20.0), (30, 30.0)]


def test_only_numbers_of_the_trainings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = History()
    kept.add({"train/loss": "0.5", "epoch": 1, "lr-Adam": 0.1, "val/loss": None}, "7")
    for value in ("", "x", "nan", "-inf", "1e31", 10**400, [1]):
        kept.add({"train/loss": value}, 8)
        kept.add({"train/loss": 1.0}, value)
    assert {name: series.points for name, series in kept.series.items()} == {
        "train/loss": [(7.0, 0.5)]
    }
    for i in range(2 * MOST_NAMES):
        kept.add({f"val/{i}": 1.0}, i)
    assert len(kept.series) == MOST_NAMES


@pytest.mark.parametrize("first", [0, 1, 70, 100])
def test_a_log_that_goes_on_remembers_what_one_that_was_not_stopped_does(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_POINTS", 20)
    rows = [
        ({"train/loss": 1 / (3 + i), "val/loss": 0.1 * i if i % 3 else None}, i) for i in range(100)
    ]
    logs = []
    for name, parts in (("whole", [rows]), ("stopped", [rows[:first], rows[first:]])):
        folder = tmp_path / name / "version_0"
        folder.mkdir(parents=True)
        for part in parts:
            logger = RunCSVLogger(folder)
            for values, step in part:
                logger.log_metrics(values, step)
                logger.save()
        logs.append(logger.history)
        logs.append(RunCSVLogger(folder).history)
    for name in ("train/loss", "val/loss"):
        assert len(logs[0].points(name)) <= 21
        assert all(log.points(name) == logs[0].points(name) for log in logs)


def test_a_half_row_and_a_table_of_something_else_are_not_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_bytes(b"step,train/loss\r\n1,1.5\r\n2,2.5\r\n3,3.")
    assert RunCSVLogger(folder).history.points("train/loss") == [(1.0, 1.5), (2.0, 2.5)]
    for table in (b"", b"a,b\n1,2\n", b"train/loss\n1\n", b"step\n1\n"):
        (folder / "metrics.csv").write_bytes(table)
        assert RunCSVLogger(folder).history.series == {}
