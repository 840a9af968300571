"""A sweep makes each point once, from the same noise, and goes on wherever it was interrupted."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cgd_lightning import DDIM, Autoguidance, Heun, Request, checkpoints, read_request, sample
from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation import kept
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.sampling.files import SampleFolder
from cgd_lightning.sampling.request import RequestError
from cgd_lightning.sampling.stored import read_samples
from cgd_lightning.sampling.sweep import Sweep
from cgd_lightning.sampling.sweep_points import Folder
from cgd_lightning.sampling.sweep_run import SweepResult, sweep

FEW = Request(ckpt="runs/diffusion", num_samples=40, sampler=DDIM(steps=2), precision="fp32")


class Downsampled(FeatureNetwork):
    """Features: the image in 7 x 7. The classes are no good."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        features = nn.functional.adaptive_avg_pool2d(x0, 7).flatten(1)
        return features, features[:, :10]


class Looks(Measure):
    """Counts how often it looks at samples."""

    count = 0

    def of_seen(self, *args, **options):
        self.count += 1
        return super().of_seen(*args, **options)


@pytest.fixture
def look(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    monkeypatch.setattr(kept, "LASTING", {*kept.LASTING, "tests"})  # this code stays the same
    data = Digits()
    data.prepare_data()
    data.setup("test")
    test = data.split("test")
    batch = test.__getitems__(list(range(len(test))))
    return Looks(Downsampled(nn.Identity(), "7 x 7 pixels"), batch.images, batch.labels)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """How many networks were loaded and how many samples folders were made so far."""
    found = {"loaded": 0, "made": 0}
    load, make = checkpoints.load, Folder.make

    def counted_load(path, *args, **options):
        found["loaded"] += 1
        return load(path, *args, **options)

    def counted_make(self, job, progress):
        make(self, job, progress)
        found["made"] += 1

    monkeypatch.setattr(checkpoints, "load", counted_load)
    monkeypatch.setattr(Folder, "make", counted_make)
    return lambda: dict(found)


def test_points_are_the_samples_of_the_same_requests_and_networks_are_loaded_once(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    result = sweep(FEW, (5, 1), look, out="out", device="cpu")
    assert [point.scale for point in result.points] == [0, 1, 5]
    assert counted() == {"loaded": 2, "made": 3}
    for point in result.points:
        images, targets = read_samples(point.folder)
        assert torch.equal(images, sample(replace(FEW, scale=point.scale), device="cpu"))
        assert targets == [i % 10 for i in range(40)]
        again = read_request(point.folder / "samples.json")
        assert torch.equal(sample(again, device="cpu"), images)
        assert again == point.request
    assert [row["scale"] for row in result.table] == [0, 1, 5]
    names = ("accuracy", "fid_lite", "recall", "energy_by_class", "energy_by_class_low")
    assert {f"{name}@40" for name in names} <= set(result.table[0])
    assert result.chosen is not None
    assert result.advice[0].startswith(f"choose scale {result.chosen.scale:g} ")


def test_what_is_finished_is_not_made_again(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    first = sweep(FEW, (1, 5), look, out="out", device="cpu")
    assert (counted()["made"], look.count) == (3, 3)
    again = sweep(FEW, (1, 5), look, out="out", device="cpu")
    assert (counted()["made"], look.count) == (3, 3)
    assert again.table == first.table
    assert again.advice == first.advice
    more = sweep(FEW, (1, 3, 5), look, out="out", device="cpu")
    assert (counted()["made"], look.count) == (4, 4)
    assert [p.scale for p in more.points] == [0, 1, 3, 5]
    assert not list(Path("out").glob(".*"))


def test_features_of_own_code_are_seen_anew_each_time(
    look: Looks, counted: Callable[[], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LASTING", kept.LASTING - {"tests"})
    for times in (1, 2):
        sweep(FEW, (1,), look, out="out", device="cpu")
        assert look.count == 2 * times


def test_other_eyes_measure_again_and_make_nothing_again(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    sweep(FEW, (1,), look, out="out", device="cpu")
    images = torch.randint(256, (60, 1, 28, 28), dtype=torch.uint8)
    fewer = Looks(look.features, images, torch.arange(60) % 10)
    sweep(FEW, (1,), fewer, out="out", device="cpu")
    assert counted()["made"] == 2
    assert fewer.count == 2
    report = next(Path("out/points").glob("scale-1-*")) / "report.json"
    report.write_text("{")
    sweep(FEW, (1,), fewer, out="out", device="cpu")
    assert (counted()["made"], fewer.count) == (2, 3)


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("where", ["chunk", "name", "report"])
def test_a_killed_sweep_goes_on(
    where: str, look: Looks, monkeypatch: pytest.MonkeyPatch, counted: Callable[[], dict[str, int]]
) -> None:
    """Killed at scale 1: while samples are made, while they get their names, or when measured."""
    home, name = {
        "chunk": (SampleFolder, "add"),
        "name": (os, "rename"),
        "report": (Folder, "write_report"),
    }[where]
    original = getattr(home, name)

    def killed(*args, **options):
        begun = bool(list(Path("out/points").glob("scale-1-*")))
        if begun and (where != "name" or str(args[1]).endswith("samples.json")):
            raise KilledError
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(home, name, killed)
        with pytest.raises(KilledError):
            sweep(FEW, (1, 5), look, out="out", device="cpu")
    assert counted()["made"] == (2 if where == "report" else 1)
    result = sweep(FEW, (1, 5), look, out="out", device="cpu")
    assert counted()["made"] == 3
    for point in result.points:
        images, _ = read_samples(point.folder)
        assert torch.equal(images, sample(replace(FEW, scale=point.scale), device="cpu"))


def test_a_point_of_which_a_kill_left_half_its_names_is_made_again(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    first = sweep(FEW, (1, 5), look, out="out", device="cpu")
    folder = first.points[0].folder
    made = len(list(folder.iterdir()))
    (folder / ".unfinished/whole").mkdir(parents=True)
    (folder / ".unfinished/request.json").write_text("{}")
    sweep(FEW, (1, 5), look, out="out", device="cpu")
    assert len(list(folder.iterdir())) == made  # nothing was left to do but this
    (folder / ".unfinished/whole").mkdir(parents=True)
    (folder / ".unfinished/request.json").write_text("{}")
    (folder / "report.json").unlink()
    for name in ("grid.png", "samples.json"):
        os.rename(folder / name, folder / ".unfinished/whole" / name)
    again = sweep(FEW, (1, 5), look, out="out", device="cpu")
    assert counted()["made"] == 4
    assert [p.measured.estimates for p in again.points] == [
        p.measured.estimates for p in first.points
    ]


def test_further_axes_make_lines_that_are_compared(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    axes = {"sampler.steps": (1, 2), "weights": ("ema", "raw")}
    result = sweep(FEW, (3,), look, axes, "out", device="cpu")
    assert counted() == {"loaded": 4, "made": 8}
    assert [p.variant.name for p in result.points[::2]] == [
        "sampler.steps=1 weights=ema",
        "sampler.steps=1 weights=raw",
        "sampler.steps=2 weights=ema",
        "sampler.steps=2 weights=raw",
    ]
    for point in result.points:
        assert torch.equal(read_samples(point.folder)[0], sample(point.request, device="cpu"))
    assert result.chosen is not None
    assert result.chosen in result.points
    assert result.advice[0].startswith(f"choose {result.chosen.variant.name} scale ")
    samplers = sweep(FEW, (3,), look, {"sampler": (DDIM(2), Heun(2))}, "two", device="cpu")
    assert [p.variant.name for p in samplers.points[::2]] == ["sampler=DDIM", "sampler=Heun"]


def test_models_in_the_guidance_are_loaded_once(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    request = replace(FEW, guidance=[ClassifierGuidance(2.0), Autoguidance("runs/diffusion")])
    result = sweep(request, (1, 3), look, {"sampler.steps": (1, 2)}, "out", device="cpu")
    assert counted() == {"loaded": 3, "made": 6}
    last = result.points[-1]
    theirs = sample(replace(request, scale=3), device="cpu")
    assert torch.equal(read_samples(last.folder)[0], theirs)


def test_other_weights_in_the_same_file_are_other_points(
    look: Looks, counted: Callable[[], dict[str, int]]
) -> None:
    sweep(FEW, (1,), look, out="out", device="cpu")
    file = checkpoints.find("runs/classifier")
    contents = torch.load(file, weights_only=True)

    def shifted(value):
        if isinstance(value, dict):
            return {k: shifted(v) for k, v in value.items()}
        return value + 0.01 if isinstance(value, Tensor) and value.is_floating_point() else value

    torch.save(contents | {"state_dict": shifted(contents["state_dict"])}, file)
    sweep(FEW, (1,), look, out="out", device="cpu")
    assert counted()["made"] == 4


def test_what_is_wrong_is_said_before_anything_is_made(look: Looks) -> None:
    for scales in ((), (-1,), (float("inf"),), ("five",), (float("nan"),)):
        with pytest.raises(RequestError, match="scales"):
            Sweep.of(FEW, scales)
    with pytest.raises(RequestError, match=r"^axes colour: not a field of a request"):
        Sweep.of(FEW, (1,), {"colour": ("red",)})
    with pytest.raises(RequestError, match=r"^axes sampler.stepps: a DDIM has steps"):
        Sweep.of(FEW, (1,), {"sampler.stepps": (1,)})
    with pytest.raises(RequestError, match="scale is given beside scales"):
        Sweep.of(replace(FEW, scale=3), (1,))
    with pytest.raises(InputError, match=r"39 of 10 labels: too few .* at least 40"):
        sweep(replace(FEW, num_samples=39), (1,), look, out="out", device="cpu")
    assert not list(Path("out").rglob("samples.npz"))


def test_samples_of_another_request_are_refused_and_left_alone(look: Looks) -> None:
    result = sweep(FEW, (1,), look, out="out", device="cpu")
    record = result.points[1].folder / "samples.json"
    contents = json.loads(record.read_text())
    contents["options"]["seed"] = 5
    record.write_text(json.dumps(contents))
    with pytest.raises(InputError, match="holds samples of another request than this point's"):
        sweep(FEW, (1,), look, out="out", device="cpu")
    assert json.loads(record.read_text()) == contents


def test_lines_of_other_labels_are_not_compared_with_each_other(look: Looks) -> None:
    result = sweep(FEW, (1,), look, {"labels": ("3", "3|7,!0")}, "out", device="cpu")
    assert not result.comparable
    assert [line.partition(":")[0] for line in result.advice if ": scale" in line] == [
        "labels=3",
        "labels=3|7,!0",
    ]


def test_a_folder_with_a_sweep_of_edits_is_refused(look: Looks) -> None:
    Path("out").mkdir()
    Path("out/sweep.json").write_text('{"kind": "edits"}')
    with pytest.raises(InputError, match="--out out: holds a sweep of edits"):
        sweep(FEW, (1,), look, out="out", device="cpu")


def points(result: SweepResult) -> list[Path]:
    return [point.folder for point in result.points]


def test_a_report_is_of_the_samples_beside_it(look: Looks) -> None:
    first = sweep(FEW, (5,), look, out="out", device="cpu")
    unguided, guided = points(first)
    right = (unguided / "report.json").read_bytes()
    damaged = [
        (guided / "report.json").read_bytes(),
        right.replace(b'"value": ', b'"value": 1e999, "x": ', 1),
        right.replace(b'"single": [', b'"single": ["nan", ', 1),
        right.replace(b'"value": 0.', b'"value": 0.9', 1),
        right.replace(b'"estimates": {', b'"estimates": null, "x": {', 1),
        b"[1]",
    ]
    for contents in damaged:
        assert contents != right
        (unguided / "report.json").write_bytes(contents)
        again = sweep(FEW, (5,), look, out="out", device="cpu")
        assert again.table == first.table
        assert (unguided / "report.json").read_bytes() == right


def test_samples_that_are_not_those_that_were_measured_are_refused(look: Looks) -> None:
    one, other = points(sweep(FEW, (5,), look, out="out", device="cpu"))
    first, second = ((folder / "samples.npz").read_bytes() for folder in (one, other))
    (one / "samples.npz").write_bytes(second)
    (other / "samples.npz").write_bytes(first)
    with pytest.raises(InputError, match=f"{one.name}: damaged .*not those that were measured"):
        sweep(FEW, (5,), look, out="out", device="cpu")


def test_damaged_or_exchanged_points_are_named_and_nothing_is_concluded(look: Looks) -> None:
    folder = points(sweep(FEW, (5,), look, out="out", device="cpu"))[0]
    whole = (folder / "samples.npz").read_bytes()
    (folder / "samples.npz").write_bytes(whole[:-100])
    with pytest.raises(InputError, match=f"{folder.name}: damaged .*remove it, and it is made"):
        sweep(FEW, (5,), look, out="out", device="cpu")
    (folder / "samples.npz").write_bytes(whole)
    record = json.loads((folder / "samples.json").read_text())
    record["images"]["labels"] = record["images"]["labels"][::-1]
    (folder / "samples.json").write_text(json.dumps(record))
    arrays = np.load(folder / "samples.npz")
    np.savez(folder / "samples.npz", arr_0=arrays["arr_0"], arr_1=arrays["arr_1"][::-1])
    with pytest.raises(InputError, match="samples of other targets"):
        sweep(FEW, (5,), look, out="out", device="cpu")


def test_a_link_in_the_place_of_a_point_is_not_followed(look: Looks) -> None:
    folder = points(sweep(FEW, (5,), look, out="out", device="cpu"))[1]
    folder.rename("mine")
    (Path("mine") / "samples.json").unlink()
    before = {file.name: file.read_bytes() for file in Path("mine").iterdir()}
    folder.symlink_to(Path("mine").absolute())
    with pytest.raises(InputError, match="a link or a file in the place of a point"):
        sweep(FEW, (5,), look, out="out", device="cpu")
    assert {file.name: file.read_bytes() for file in Path("mine").iterdir()} == before
