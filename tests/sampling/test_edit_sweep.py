"""A sweep of edits makes each point once, from the same images, and names the closest that does."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cgd_lightning import DDIM, CleanGuidance, Request, Start, checkpoints, edit
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.edit_measure import EditReport
from cgd_lightning.evaluation.estimate import share
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.sampling.edit_images import EditImages
from cgd_lightning.sampling.edit_sweep import EditSweep, settings_of
from cgd_lightning.sampling.edit_sweep_files import told
from cgd_lightning.sampling.edit_sweep_points import EditPointFolder
from cgd_lightning.sampling.edit_sweep_result import EditPoint, EditSweepResult
from cgd_lightning.sampling.edit_sweep_run import sweep_edits
from cgd_lightning.sampling.files import write_piece
from cgd_lightning.sampling.request import RequestError
from cgd_lightning.sampling.sweep import Variant
from cgd_lightning.sampling.sweep_kind import check_kind
from tests.command_line import untrained_judge

FEW = Request(
    "runs/diffusion", labels="9,1", sampler=DDIM(2), precision="fp32", batch_size=3, start=Start()
)
PLAN = EditSweep.of(FEW, (2, 5), (0.3, 0.6))


@pytest.fixture
def judge(workplace: Path) -> Path:
    """A judge beside the pair, which nobody trained, and images.npz, five of them."""
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)
    np.savez("images.npz", arr_0=images, arr_1=np.array([0, 9, 1, 1, 2]))
    return untrained_judge(workplace / "runs")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """How many networks were loaded and how many points made so far."""
    found = {"loaded": 0, "made": 0}
    load, make = checkpoints.load, EditPointFolder.make

    def counted_load(path: Any, *args: Any, **options: Any) -> Any:
        found["loaded"] += 1
        return load(path, *args, **options)

    def counted_make(self: EditPointFolder, *args: Any) -> None:
        make(self, *args)
        found["made"] += 1

    monkeypatch.setattr(checkpoints, "load", counted_load)
    monkeypatch.setattr(EditPointFolder, "make", counted_make)
    return lambda: dict(found)


def swept(plan: EditSweep = PLAN, **options: Any) -> EditSweepResult:
    return sweep_edits(plan, EditImages("images.npz"), out="out", device="cpu", **options)


def test_points_are_the_edits_of_the_same_requests_and_all_is_loaded_once(
    judge: Path, counted: Callable[[], dict[str, int]]
) -> None:
    result = swept()
    assert counted() == {"loaded": 3, "made": 4}
    assert [(p.settings["strength"], p.scale) for p in result.points] == [
        ("0.3", 2),
        ("0.3", 5),
        ("0.6", 2),
        ("0.6", 5),
    ]
    images = torch.from_numpy(np.load("images.npz")["arr_0"]).permute(0, 3, 1, 2).contiguous()
    network = checkpoints.load(judge, CleanClassifier)
    for point in result.points:
        start = Start(float(point.settings["strength"]))
        wanted = edit(replace(FEW, scale=point.scale, start=start), images, device="cpu")
        found = np.load(point.folder / "edits.npz")
        assert np.array_equal(found["edited"].transpose(0, 3, 1, 2), wanted.edited.numpy())
        said = wanted.judged(network)
        assert said.judge is not None
        assert said.guide is not None
        assert (point.flips, point.report.guide_flips) == (
            said.judge.flips.rate,
            said.guide.flips.rate,
        )
        assert point.report.l1_median == pytest.approx(said.distance.quantile(0.5).item())
        assert point.report.changed == pytest.approx(said.changed().mean().item())
    assert torch.equal(result.shown, images)
    assert result.called == ("0 to 9", "9 to 1", "1 to 9", "1 to 1", "2 to 9")
    assert result.apart is not None


def test_what_is_finished_is_not_made_again(
    judge: Path, counted: Callable[[], dict[str, int]]
) -> None:
    one = EditSweep.of(FEW, (2, 5))
    first, again = swept(one), swept(one)
    assert counted()["made"] == 2
    assert [p.plain for p in again.points] == [p.plain for p in first.points]
    more = swept(replace(one, scales=(5, 3)))
    assert counted()["made"] == 3
    assert [p.scale for p in more.points] == [3, 5]
    with np.load("images.npz") as arrays:
        np.savez("images.npz", arr_0=255 - arrays["arr_0"], arr_1=arrays["arr_1"])
    swept(one)
    assert counted()["made"] == 5
    assert not list(Path("out").glob(".*"))


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("where", ["chunk", "name"])
def test_a_killed_sweep_goes_on(
    where: str, judge: Path, monkeypatch: pytest.MonkeyPatch, counted: Callable[[], dict[str, int]]
) -> None:
    """Killed in the second point: while edits are made, or while they get their names."""
    rename = os.rename

    def killed_chunk(folder: Path, start: int, images: torch.Tensor) -> None:
        if start == 3 and "scale-5" in str(folder):
            raise KilledError
        write_piece(folder, start, images)

    def killed_rename(source: Path, target: Path) -> None:
        if "scale-5" in str(target) and str(target).endswith("edits.json"):
            raise KilledError
        rename(source, target)

    plan = EditSweep.of(FEW, (2, 5))
    with monkeypatch.context() as patch:
        if where == "chunk":
            patch.setattr("cgd_lightning.sampling.edit_files.write_piece", killed_chunk)
        else:
            patch.setattr(os, "rename", killed_rename)
        with pytest.raises(KilledError):
            swept(plan)
    assert counted()["made"] == 1
    assert len(swept(plan).points) == 2
    assert counted()["made"] == 2


def test_a_point_of_which_a_kill_left_half_its_names_is_made_again(
    judge: Path, counted: Callable[[], dict[str, int]]
) -> None:
    plan = EditSweep.of(FEW, (2, 5))
    first = swept(plan)
    folder = first.points[0].folder
    made = len(list(folder.iterdir()))
    (folder / ".unfinished/whole").mkdir(parents=True)
    (folder / ".unfinished/request.json").write_text("{}")
    swept(plan)
    assert len(list(folder.iterdir())) == made  # nothing was left to do but this
    (folder / ".unfinished/whole").mkdir(parents=True)
    (folder / ".unfinished/request.json").write_text("{}")
    for name in ("grid.png", "edits.json"):
        os.rename(folder / name, folder / ".unfinished/whole" / name)
    again = swept(plan)
    assert counted()["made"] == 3
    assert [p.plain for p in again.points] == [p.plain for p in first.points]


def test_damaged_exchanged_and_foreign_points_are_named(judge: Path) -> None:
    plan = EditSweep.of(FEW, (2, 5))
    one, other = (point.folder for point in swept(plan).points)
    first, second = ((folder / "edits.npz").read_bytes() for folder in (one, other))
    for contents, said in ((second, "its edited images are of hash"), (first[:-90], "")):
        (one / "edits.npz").write_bytes(contents)
        with pytest.raises(InputError, match=rf"{one.name}: damaged \(.*{said}.*made again"):
            swept(plan)
    (one / "edits.npz").write_bytes(first)
    record = (one / "edits.json").read_text()
    for there, said in (
        (record.replace('"seed": 0', '"seed": 5'), "holds edits of another request"),
        (record.replace('"seed": 0', '"colour": 0'), "records the option 'colour'"),
        (record.replace('"edited_hash"', '"hash_of"'), "damaged"),
    ):
        (one / "edits.json").write_text(there)
        with pytest.raises(InputError, match=said):
            swept(plan)
    (one / "edits.json").write_text(record)
    swept(plan)


def test_what_is_wrong_is_said_before_anything_is_made(judge: Path) -> None:
    for scales in ((), (-1,), (float("nan"),)):
        with pytest.raises(RequestError, match="scales"):
            EditSweep.of(FEW, scales)
    for goal in (0, 1.5, float("nan")):
        with pytest.raises(RequestError, match=r"^flips .*wanted a share"):
            EditSweep.of(FEW, goal=goal)
    with pytest.raises(RequestError, match="what shall the images become"):
        EditSweep.of(replace(FEW, labels=None))
    with pytest.raises(RequestError, match="scale is given beside scales"):
        EditSweep.of(replace(FEW, scale=3))
    with pytest.raises(RequestError, match="these are samples"):
        EditSweep((Variant(replace(FEW, start=None)),))
    others = [replace(FEW, labels=None, start=Start(source=source)) for source in "34"]
    with pytest.raises(InputError, match="ask for different classes"):
        swept(EditSweep(tuple(map(Variant, others)), (1,)))
    with pytest.raises(InputError, match="guides these edits itself"):
        swept(EditSweep.of(replace(FEW, classifier=judge, guidance=CleanGuidance())), judge=judge)
    seen = JudgeFeatures(checkpoints.load(judge, CleanClassifier))
    arrays = torch.from_numpy(np.load("images.npz")["arr_0"]).permute(0, 3, 1, 2)
    shown = ",".join(str(k) for k in seen(arrays.contiguous()).classes.tolist())
    with pytest.raises(InputError, match="all images show what is asked already"):
        swept(EditSweep.of(replace(FEW, labels=shown), (1,)))
    judge.unlink()
    with pytest.raises(InputError, match=r"no judge beside .* the guide alone would say"):
        swept()
    assert not Path("out").exists()


def test_a_folder_of_another_kind_of_sweep_is_refused(judge: Path) -> None:
    Path("out").mkdir()
    for contents, kind, other in (
        ({"kind": "samples"}, "edits", "samples"),
        ({"points": []}, "edits", "samples"),
        ({"kind": "edits"}, "samples", "edits"),
    ):
        Path("out/sweep.json").write_text(json.dumps(contents))
        with pytest.raises(InputError, match=f"--out out: holds a sweep of {other}"):
            check_kind(Path("out"), kind)  # type: ignore[arg-type]  # one of the two, in a tuple
    Path("out/sweep.json").write_text("{")
    check_kind(Path("out"), "edits")


def test_numbers_that_six_digits_do_not_tell_apart_are_written_in_full() -> None:
    plan = EditSweep.of(FEW, (2.0000001, 2), (0.3, 0.3000001))
    assert [settings_of(variant) for variant in plan.variants] == [
        {"strength": "0.3"},
        {"strength": "0.3000001"},
    ]
    points = [
        EditPoint(plan.variants[0], scale, FEW, Path("p"), said.report, said.flips, torch.empty(0))
        for scale, said in zip(plan.scales, named(0.9, (50, 5.0), (97, 21.0)).points, strict=True)
    ]
    result = EditSweepResult(
        tuple(points), 0.9, None, torch.empty(0), (), {"judge": "j", "judge_hash": "h"}
    )
    assert [row.split()[1] for row in told(result)[1:3]] == ["2", "2.0000001"]
    assert result.advice[0].startswith("choose strength 0.3, scale 2.0000001: ")


def named(goal: float, *pairs: tuple[int, float]) -> EditSweepResult:
    """A result of points with these flips of 100 and median L1."""
    points = []
    for place, (hits, l1) in enumerate(pairs):
        flips = share(hits, 100)
        report = EditReport(100, "judge", flips, share(0, 100), None, l1, l1, 0, 0, 8)
        points.append(
            EditPoint(Variant(FEW), place, FEW, Path(str(place)), report, flips, torch.empty(0))
        )
    return EditSweepResult(tuple(points), goal, 40.0, torch.empty(0))


def test_the_closest_point_that_reaches_the_goal_is_named_else_that_with_most_flips() -> None:
    result = named(0.9, (50, 5.0), (97, 21.0), (91, 12.0), (99, 30.0))
    assert (result.reached, result.chosen.scale) == (True, 2)
    assert result.advice[0].startswith("choose strength 0.5, scale 2: 91.0% [")
    assert "the closest that reaches 90%" in result.advice[0]
    assert "within half the median L1" in result.advice[1]
    result = named(0.95, (60, 5.0), (60, 4.0), (20, 1.0))
    assert (result.reached, result.chosen.scale) == (False, 1)
    assert result.advice[0].startswith("none reaches 95% flips; most has strength 0.5, scale 1")
    assert "beyond" in named(0.95, (60, 25.0)).advice[-1]
