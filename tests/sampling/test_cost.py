"""What a sampling job says of its cost, with a clock that the tests turn."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgd_lightning.amounts import size
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.cost import Cost, Finished


class Job:
    """A job of 1000 images of 100 kB in batches of 100, and what is said of it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.now, self.said = 0.0, []  # type: ignore[var-annotated]  # of str
        settings = {"kind": "png", "image_bytes": 100_000, "total": 1000, "left": 1000}
        settings |= {"batches": 10, "processes": 1, **changes}
        self.cost = Cost(folder, say=self.said.append, clock=lambda: self.now, **settings)  # type: ignore[arg-type]  # of several types

    def batch(self, seconds: float, written: int = 5_000_000) -> list[str]:
        """What is said after a batch that took so long."""
        self.now += seconds
        self.said.clear()
        self.cost.add(100, written)
        return list(self.said)


def test_time_and_disk_are_told_once_as_soon_as_batches_took_two_seconds(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert job.batch(90.0)[0].startswith("cost: 90 s a batch: the 9 left take about 14 min, and 45")
    assert job.batch(60.0) == []
    quick = Job(tmp_path)
    assert quick.batch(1.5) == []  # warms up, and does not count
    assert quick.batch(0.4) == []
    [told] = quick.batch(0.4)
    assert told.startswith("cost: 0.4 s a batch: the 7 left take about 2.8 s, and 35 MB of the ")
    assert told.endswith(f" that are free in {tmp_path}")


def test_a_job_that_is_done_before_says_nothing(tmp_path: Path) -> None:
    job = Job(tmp_path, batches=3, total=300, left=300)
    assert [job.batch(0.5) for _ in range(3)] == [[], [], []]
    job = Job(tmp_path, batches=5, total=500, left=500)
    assert [job.batch(0.8) for _ in range(5)] == [[]] * 5  # less is left than was timed


def test_an_npz_needs_the_room_of_its_batches_and_its_own(tmp_path: Path) -> None:
    job = Job(tmp_path, kind="npz", left=600, batches=3, processes=2)
    assert job.cost.needed == (600 + 1000) * 100_000
    [told] = job.batch(10.0, 10_000_000)
    assert job.cost.needed == (400 + 1000) * 100_000
    shared = "cost: 10 s a batch: the 2 left on each of 2 processes take about 20 s, and 140 MB of "
    assert told.startswith(shared)


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_edits_need_the_room_of_their_batches_and_of_what_they_become(
    kind: str, tmp_path: Path
) -> None:
    job = Job(tmp_path, kind=kind, left=600, batches=6, finished=Finished(400_000, 4))
    assert job.cost.needed == 600 * 100_000 + 1000 * 400_000
    job.batch(1.0, 10_000_000)
    assert job.cost.needed == 500 * 100_000 + 1000 * 400_000


def test_a_disk_that_surely_is_too_small_is_refused_and_one_that_may_be_is_told(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=r"--out .*need .* TB of the disk.*--format png"):
        Job(tmp_path, kind="npz", image_bytes=10**15).cost.check()
    job = Job(tmp_path)
    job.cost.check()
    _, told = job.batch(3.0, 10**17)
    assert "will be full before all is made: that needs about 900,000 TB, and " in told
    assert job.batch(3.0, 10**17) == []


def test_pictures_for_which_the_disk_has_no_names_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = SimpleNamespace(f_files=10**6, f_favail=999)
    monkeypatch.setattr(os, "statvfs", lambda _: names)
    monkeypatch.setattr(Cost, "free", 10**12)
    with pytest.raises(InputError, match=r"--out .*: 1000 files, and the disk takes 999 more; "):
        Job(tmp_path).cost.check()
    Job(tmp_path, left=999).cost.check()
    Job(tmp_path, kind="npz").cost.check()
    edits = {"finished": Finished(0, 4), "total": 250}
    Job(tmp_path, left=0, **{**edits, "total": 249}).cost.check()
    with pytest.raises(InputError, match=r"--out .*: 1000 files, and the disk takes 999 more; "):
        Job(tmp_path, left=0, **edits).cost.check()
    names.f_files = 0  # of a file system that does not count them
    Job(tmp_path).cost.check()


@pytest.mark.parametrize("keep", [True, False])
def test_a_full_disk_says_what_is_missing_and_what_is_kept(
    keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cost, "free", 40_000_000)
    cost = Job(tmp_path).cost
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="about 60 MB are missing; ") as told, cost.told_if_full(keep):
        raise full
    assert ("what is finished is kept" in str(told.value)) is keep
    assert ("none of it is kept" in str(told.value)) is not keep
    assert told.value.filename == str(tmp_path)
    other = OSError(errno.EACCES, "no")
    with pytest.raises(OSError, match="no") as told, cost.told_if_full(keep):
        raise other
    assert told.value is other


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 kB"), (520, "0.52 kB"), (31e6, "31 MB"), (9.83e9, "9.8 GB"), (999e6, "1 GB")],
)
def test_a_size_is_told_in_two_digits(count: float, words: str) -> None:
    assert size(count) == words
