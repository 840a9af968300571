"""The callback that shows guided samples while one of the two networks trains."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.data.images import ImageTensors, sample_images
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierFree, ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM, DPMSolver
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.draws import draws_like
from cgd_lightning.evaluation.features import GuideFeatures, JudgeFeatures
from cgd_lightning.evaluation.metrics import accuracy, frechet_distance
from cgd_lightning.evaluation.plots import stack
from cgd_lightning.training.guided_sampler import GuidedSampler
from tests.command_line import TINY_CLASSIFIER, TINY_DIFFUSION, status
from tests.training.test_training import (
    Greys,
    classifier,
    diffusion,
    fit,
    images_of,
    judge,
    numbers,
    same,
)

FEW = {
    "columns": 3,
    "unguided_columns": 1,
    "num_metric_samples": 9,
    "sampler": DDIM(3),
    "batch_size": 4,
}


class Browns(Greys):
    """The same images under other names."""

    class_names = ("brown", "beige", "sand")


class Large(Greys):
    image_shape = (1, 16, 16)

    def split(self, name: str) -> ImageTensors:
        small = super().split(name)
        return ImageTensors(small.images.repeat(1, 1, 2, 2), small.labels)


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each kind on Greys, and a classifier and a judge of other data.
    Tests only read it.
    """
    folder = tmp_path_factory.mktemp("partners")
    for name, module, data in (
        ("diffusion", diffusion(), Greys),
        ("classifier", classifier(), Greys),
        ("judge", judge(), Greys),
        ("brown_classifier", classifier(), Browns),
        ("large_judge", judge(), Large),
    ):
        data = data(batch_size=8)
        fit(module, data=data, max_steps=30)
        checkpoints.save(module.ema, folder / f"{name}.ckpt", data.name)
    return folder


def watched(
    module: Any,
    folder: Path,
    *callbacks: Callback,
    options: dict[str, Any] | None = None,
    **paths: Any,
) -> Trainer:
    """A training of 6 steps with a validation every 3, seen by a GuidedSampler that writes to
    `folder`.
    """
    sampler = GuidedSampler(**{**FEW, **paths}, folder=folder)
    return fit(
        module, *callbacks, sampler, **{"max_steps": 6, "val_check_interval": 3, **(options or {})}
    )


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "samples").glob("*.png"))


def cells(file: Path, rows: int, columns: int) -> torch.Tensor:
    """uint8 (rows, columns, 1, 8, 8): the images of a grid."""
    picture = Image.open(file)
    step = 50
    left, top = picture.width - columns * step, picture.height - rows * step
    found = []
    for y in range(rows):
        row = [
            picture.crop(
                (left + x * step, top + y * step, left + x * step + 48, top + y * step + 48)
            )
            for x in range(columns)
        ]
        found.append(stack([cell.resize((8, 8), 0) for cell in row]))
    return torch.stack(found)


def test_a_picture_and_measures_after_every_validation(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = diffusion()
    trainer = watched(
        module,
        tmp_path,
        classifier=str(partners / "classifier.ckpt"),
        judge=str(partners / "judge.ckpt"),
        scale=2.0,
    )
    assert pictures(tmp_path) == ["step_0000003.png", "step_0000006.png"]
    assert not list((tmp_path / "samples").glob("*.tmp"))
    rows = [
        json.loads(line)
        for line in (tmp_path / "samples" / "measures.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in rows] == [3, 6]
    assert (
        rows[1].items()
        >= {"n": 9, "scale": 2.0, "features": str(partners / "judge.ckpt"), "reference": 22}.items()
    )

    # The same by hand, with the weights at the end of the training.
    eyes, guide = (
        checkpoints.load(partners / "judge.ckpt"),
        checkpoints.load(partners / "classifier.ckpt"),
    )
    labels = [0, 1, 2] * 3
    rule = Chain([ClassifierGuidance(2.0), Clamp()])
    images = images_of(module.ema, labels, DDIM(3), rule, guide, batch_size=4)
    plain = images_of(module.ema, [0, 1, 2], DDIM(3), Clamp(), batch_size=4)
    shown = cells(tmp_path / "samples" / "step_0000006.png", rows=3, columns=5)
    assert torch.equal(shown[:, 0], plain)
    assert bool((shown[:, 1] == 255).all())
    assert torch.equal(shown[:, 2:].transpose(0, 1).flatten(0, 1), images)

    look = JudgeFeatures(eyes)
    seen, classes = look(images).features, look(images).classes
    data = Greys()
    reference = look(data.split("val").images).features
    train = sample_images(data.split("train"), 90)
    real = [look(train.images[part]).features for part in draws_like(train.labels, labels)]
    wanted = {
        "guided/accuracy": accuracy(classes, torch.tensor(labels)),
        "guided/fid_lite": frechet_distance(reference, seen),
        "guided/fid_lite_real": fmean(frechet_distance(reference, part) for part in real),
        "guided/n": 9,
    }
    logged = {
        name: value.item()
        for name, value in trainer.callback_metrics.items()
        if "/" in name and not name.startswith(("val", "train"))
    }
    assert logged == pytest.approx(wanted, rel=1e-5)
    said = capsys.readouterr().err
    assert said.count("9 samples at scale 2, judged by") == 1
    assert "22 held-out images of greys" in said
    assert "% of the run" in said


def test_a_training_that_is_watched_is_the_same_training(partners: Path, tmp_path: Path) -> None:
    alone, seen = diffusion(dropout=0.2), diffusion(dropout=0.2)
    fit(alone, max_steps=6, val_check_interval=3)
    watched(
        seen,
        tmp_path,
        classifier=str(partners / "classifier.ckpt"),
        judge=str(partners / "judge.ckpt"),
    )
    assert pictures(tmp_path)
    assert same(numbers(alone), numbers(seen))


def test_the_classifier_is_watched_with_the_diffusion_model_as_partner(
    partners: Path, tmp_path: Path
) -> None:
    module = classifier()
    trainer = watched(module, tmp_path, diffusion=str(partners / "diffusion.ckpt"))
    denoiser = checkpoints.load(partners / "diffusion.ckpt")
    rule = Chain([ClassifierGuidance(5.0), Clamp()])
    images = images_of(denoiser, [0, 1, 2] * 3, DDIM(3), rule, module.ema, batch_size=4)
    shown = cells(tmp_path / "samples" / "step_0000006.png", rows=3, columns=5)
    assert torch.equal(shown[:, 2:].transpose(0, 1).flatten(0, 1), images)
    look = GuideFeatures(module.ema)
    seen, classes = look(images).features, look(images).classes
    assert trainer.callback_metrics["self_judged/accuracy"].item() == pytest.approx(
        accuracy(classes, torch.tensor([0, 1, 2] * 3))
    )
    reference = look(Greys().split("val").images).features
    assert trainer.callback_metrics["self_judged/fid_lite"].item() == pytest.approx(
        frechet_distance(reference, seen), rel=1e-5
    )
    assert not any(name.startswith("guided/") for name in trainer.callback_metrics)


def test_at_scale_0_the_guided_columns_repeat_the_unguided_ones(
    partners: Path, tmp_path: Path
) -> None:
    watched(
        diffusion(),
        tmp_path,
        classifier=str(partners / "classifier.ckpt"),
        scale=0.0,
        unguided_columns=3,
    )
    shown = cells(tmp_path / "samples" / "step_0000006.png", rows=3, columns=7)
    assert torch.equal(shown[:, :3], shown[:, 4:])
    assert len({image.numpy().tobytes() for image in shown[:, :3].flatten(0, 1)}) == 9


class Appears(Callback):
    """Puts the file `source` at `place` at the end of step 4."""

    def __init__(self, source: Path, place: Path) -> None:
        self.source, self.place = source, place

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step == 4:
            self.place.parent.mkdir(parents=True)
            shutil.copy(self.source, self.place)


def test_a_partner_that_is_missing_is_one_notice_and_one_that_appears_is_taken(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "classifier"
    appears = Appears(partners / "classifier.ckpt", run / "version_0" / "best.ckpt")
    trainer = watched(diffusion(), tmp_path, appears, classifier=str(run), options={"max_steps": 9})
    said = capsys.readouterr().err
    assert said.count("unguided until one appears") == 1
    assert said.count(f"classifier {run / 'version_0' / 'best.ckpt'}") == 1
    narrow, wide = (
        Image.open(tmp_path / "samples" / f"step_000000{step}.png").width for step in (3, 6)
    )
    assert narrow == 2 + 3 * 50  # rows that nobody asked for a class have no name
    assert wide > narrow + 2 * 50
    rows = (tmp_path / "samples" / "measures.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [6, 9]
    assert "self_judged/accuracy" in trainer.callback_metrics


def test_a_newer_partner_replaces_the_one_before(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "classifier"
    (run / "version_0").mkdir(parents=True)
    shutil.copy(partners / "classifier.ckpt", run / "version_0" / "best.ckpt")
    appears = Appears(partners / "classifier.ckpt", run / "version_1" / "best.ckpt")
    watched(diffusion(), tmp_path, appears, classifier=str(run))
    said = capsys.readouterr().err
    assert [f"version_{n}/best.ckpt" in said for n in (0, 1, 2)] == [True, True, False]


def test_no_diffusion_model_means_no_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(classifier(), tmp_path)
    assert (
        capsys.readouterr().err.count(
            "guided_sampler: diffusion: none named; no samples until one appears"
        )
        == 1
    )
    assert not pictures(tmp_path)


WRONG = {
    "another data set": ({"classifier": "brown_classifier.ckpt"}, "class names"),
    "a judge of another shape": (
        {"classifier": "classifier.ckpt", "judge": "large_judge.ckpt"},
        r"image shape \[1, 16, 16\]",
    ),
    "a judge as classifier": (
        {"classifier": "judge.ckpt"},
        "a judge, and a classifier of noisy images was wanted",
    ),
    "a classifier as judge": ({"judge": "classifier.ckpt"}, "a classifier, and a judge was wanted"),
    "a damaged file": ({"classifier": "damaged.ckpt"}, r"damaged\.ckpt: not a readable checkpoint"),
}


@pytest.mark.parametrize(("paths", "says"), WRONG.values(), ids=WRONG)
def test_a_partner_that_does_not_fit_ends_the_run_before_it_begins(
    paths: dict[str, str], says: str, partners: Path, tmp_path: Path
) -> None:
    (tmp_path / "damaged.ckpt").write_bytes(b"nonsense")
    places = {
        kind: str(tmp_path / name if name == "damaged.ckpt" else partners / name)
        for kind, name in paths.items()
    }
    module = diffusion()
    with pytest.raises(InputError, match=says):
        watched(module, tmp_path, **places)
    assert module.global_step == 0


def test_a_wrong_partner_that_appears_later_is_one_notice_and_the_training_goes_on(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "classifier"
    appears = Appears(partners / "brown_classifier.ckpt", run / "version_0" / "best.ckpt")
    trainer = watched(diffusion(), tmp_path, appears, classifier=str(run), options={"max_steps": 9})
    assert trainer.global_step == 9
    assert capsys.readouterr().err.count("these two do not pair: class names") == 1
    assert len(pictures(tmp_path)) == 3


def test_a_sample_that_is_not_finite_is_a_notice_and_the_training_goes_on(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = watched(
        diffusion(), tmp_path, classifier=str(partners / "classifier.ckpt"), scale=float("nan")
    )
    assert trainer.global_step == 6
    assert capsys.readouterr().err.count("no samples: the sample is not finite") == 1
    assert not pictures(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_a_notice_and_the_training_goes_on(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "samples").write_text("in the way")
    trainer = watched(diffusion(), tmp_path, classifier=str(partners / "classifier.ckpt"))
    assert trainer.global_step == 6
    assert "no picture" in capsys.readouterr().err


@pytest.mark.parametrize(("every", "steps"), [(1, [2, 4, 6, 8]), (2, [4, 8]), (0, [])])
def test_it_runs_at_every_nth_validation(
    every: int, steps: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(
        diffusion(),
        tmp_path,
        every_n_validations=every,
        options={"max_steps": 8, "val_check_interval": 2},
    )
    assert pictures(tmp_path) == [f"step_{step:07}.png" for step in steps]
    assert ("guided_sampler" in capsys.readouterr().err) == bool(every)


def test_a_resumed_run_counts_its_validations_on() -> None:
    sampler, resumed = GuidedSampler(), GuidedSampler()
    sampler.validations = 3
    resumed.load_state_dict(sampler.state_dict())
    assert resumed.validations == 3


def test_a_sanity_check_a_trial_run_and_the_judge_are_not_watched(tmp_path: Path) -> None:
    watched(
        diffusion(),
        tmp_path,
        options={"num_sanity_val_steps": 2, "val_check_interval": 5, "max_steps": 4},
    )
    watched(diffusion(), tmp_path, options={"fast_dev_run": True, "val_check_interval": 1})
    watched(judge(), tmp_path)
    assert not pictures(tmp_path)


def test_without_metrics_no_judge_is_asked_for(partners: Path, tmp_path: Path) -> None:
    trainer = watched(
        diffusion(),
        tmp_path,
        classifier=str(partners / "classifier.ckpt"),
        judge="nowhere",
        num_metric_samples=0,
    )
    assert not (tmp_path / "samples" / "measures.jsonl").exists()
    assert not any("fid" in name for name in trainer.callback_metrics)


def test_a_network_with_label_dropout_guides_itself_from_its_own_conditional_images(
    partners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = diffusion(label_dropout=0.3, learned_variance=True)
    trainer = watched(module, tmp_path, judge=str(partners / "judge.ckpt"), scale=3.0)
    plain = images_of(module.ema, [0, 1, 2], DDIM(3), Clamp(), batch_size=4)
    rule = Chain([ClassifierFree(3.0), Clamp()])
    guided = images_of(module.ema, [0, 1, 2] * 3, DDIM(3), rule, batch_size=4)
    assert not torch.equal(plain, guided[:3])
    shown = cells(tmp_path / "samples" / "step_0000006.png", rows=3, columns=5)
    assert torch.equal(shown[:, 0], plain)
    assert torch.equal(shown[:, 2:].transpose(0, 1).flatten(0, 1), guided)
    classes = JudgeFeatures(checkpoints.load(partners / "judge.ckpt"))(guided).classes
    right = accuracy(classes, torch.tensor([0, 1, 2] * 3))
    assert trainer.callback_metrics["guided/accuracy"].item() == pytest.approx(right)
    assert "classifier: none named; the diffusion model guides itself" in capsys.readouterr().err


def test_a_named_classifier_guides_a_network_with_label_dropout(
    partners: Path, tmp_path: Path
) -> None:
    module = diffusion(label_dropout=0.3)
    watched(module, tmp_path, classifier=str(partners / "classifier.ckpt"), scale=3.0)
    guide = checkpoints.load(partners / "classifier.ckpt")
    rule = Chain([ClassifierGuidance(3.0), Clamp()])
    guided = images_of(module.ema, [0, 1, 2] * 3, DDIM(3), rule, guide, batch_size=4)
    shown = cells(tmp_path / "samples" / "step_0000006.png", rows=3, columns=5)
    assert torch.equal(shown[:, 2:].transpose(0, 1).flatten(0, 1), guided)


def test_without_a_judge_a_network_that_guides_itself_has_pictures_and_no_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = watched(diffusion(label_dropout=0.3), tmp_path, judge=str(tmp_path / "none"))
    assert pictures(tmp_path) == ["step_0000003.png", "step_0000006.png"]
    assert not any(
        name.startswith(("guided/", "self_judged/")) for name in trainer.callback_metrics
    )
    assert "judge: nothing at" in (said := capsys.readouterr().err)
    assert "no measures until one appears" in said


class Many(Greys):
    """25 classes, of which 20 have a row."""

    class_names = tuple(f"class {k}" for k in range(25))


def test_with_many_classes_the_first_have_rows_and_all_are_measured(tmp_path: Path) -> None:
    guide = classifier()
    data = Many(batch_size=8)
    fit(guide, data=data, max_steps=1)
    checkpoints.save(guide.ema, tmp_path / "classifier.ckpt")
    options = {"data": data}
    watched(
        diffusion(),
        tmp_path,
        classifier=str(tmp_path / "classifier.ckpt"),
        num_metric_samples=30,
        columns=1,
        options=options,
    )
    [first, _] = (
        json.loads(row)
        for row in (tmp_path / "samples" / "measures.jsonl").read_text().splitlines()
    )
    assert first["n"] == 30
    assert cells(tmp_path / "samples" / "step_0000006.png", rows=20, columns=3).shape[0] == 20


def test_wrong_settings_are_refused() -> None:
    for name, value in (
        ("columns", 0),
        ("every_n_validations", -1),
        ("unguided_columns", -1),
        ("num_metric_samples", 1),
        ("batch_size", 0),
    ):
        with pytest.raises(ValueError, match=rf"guided_sampler\.{name} {value}"):
            GuidedSampler(**{name: value})
    with pytest.raises(ValueError, match="2000 steps"):
        fit(diffusion(), GuidedSampler(sampler=DPMSolver(2000)))


def test_every_logger_gets_the_picture_and_the_numbers(
    partners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    loggers = [
        CSVLogger(tmp_path / "csv", name=None, version=""),
        TensorBoardLogger(tmp_path / "board", name=None, version=""),
        WandbLogger(save_dir=tmp_path, offline=True, project="test"),
    ]
    watched(
        diffusion(),
        tmp_path,
        classifier=str(partners / "classifier.ckpt"),
        options={"logger": loggers},
    )
    file = tmp_path / "samples" / "step_0000006.png"
    picture = Image.open(file).convert("RGB")

    with (tmp_path / "csv" / "metrics.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["self_judged/fid_lite"]]
    assert len(rows) == 2

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "board"), size_guidance={"images": 0}).Reload()
    (tmp_path / "from_board.png").write_bytes(
        board.Images("guided/samples")[-1].encoded_image_string
    )
    assert Image.open(tmp_path / "from_board.png").convert("RGB").tobytes() == picture.tobytes()
    assert [event.step for event in board.Images("guided/samples")] == [3, 6]
    assert len(board.Scalars("self_judged/accuracy")) == 2

    loggers[2].experiment.finish()
    kept = sorted(
        tmp_path.glob("wandb/offline-run-*/files/media/images/guided/samples_*.png"),
        key=os.path.getmtime,
    )
    assert len(kept) == 2
    assert Image.open(kept[-1]).convert("RGB").tobytes() == picture.tobytes()


UNWATCHED = ("guided_sampler", "max_steps", "val_check")


@pytest.fixture
def still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The folder of a watched one-step training, by the command line, that changes no weight."""
    monkeypatch.chdir(tmp_path)
    quiet, classifier = (
        [word for word in words if not any(part in word for part in UNWATCHED)]
        for words in (TINY_DIFFUSION, TINY_CLASSIFIER)
    )
    short = [
        "--trainer.max_steps=1",
        "--trainer.val_check_interval=1",
        "--data.image_size=8",
        "--model.optimizer.lr=0",
    ]
    assert (
        status(
            "fit",
            *classifier,
            *short[:3],
        )
        == 0
    )
    assert (
        status("fit", "--config=judge.yaml", "--model.network.width=2", *quiet[5:], *short[:3]) == 0
    )
    watch = [
        "--guided_sampler.columns=2",
        "--guided_sampler.num_metric_samples=37",
        "--guided_sampler.batch_size=8",
    ]
    watch += ["--guided_sampler.sampler=DDIM", "--guided_sampler.sampler.steps=2"]

    def run(root: str, *words: str) -> Path:
        assert (
            status("fit", *quiet, *short, *watch, f"--trainer.default_root_dir={root}", *words) == 0
        )
        return Path(root) / "diffusion" / "version_0"

    return run


@pytest.mark.slow
def test_two_processes_make_the_picture_that_one_makes(still: Callable[..., Path]) -> None:
    paths = ["--guided_sampler.classifier=runs/classifier", "--guided_sampler.judge=runs/judge"]
    one = still("one", *paths)
    two = still("two", *paths, "--trainer.devices=2", "--trainer.strategy=ddp_fork")
    assert pictures(one) == pictures(two) == ["step_0000001.png"]
    mine, theirs = (Image.open(folder / "samples" / "step_0000001.png") for folder in (one, two))
    assert mine.tobytes() == theirs.tobytes()
    logged = []
    for folder in (one, two):
        [row] = [
            json.loads(line)
            for line in (folder / "samples" / "measures.jsonl").read_text().splitlines()
        ]
        logged.append(row)
    assert logged[0] == logged[1]
    assert logged[0]["features"].startswith("runs/judge")
    assert logged[0]["n"] == 37


@pytest.mark.slow
def test_two_processes_go_on_alike_when_a_sample_fails(
    still: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    forked = ["--trainer.devices=2", "--trainer.strategy=ddp_fork"]
    folder = still(
        "runs",
        "--guided_sampler.classifier=runs/classifier",
        "--guided_sampler.scale=.nan",
        *forked,
    )
    assert capfd.readouterr().err.count("no samples: the sample is not finite") == 1
    assert (folder / "last.ckpt").is_file()


def test_a_partner_from_a_package_that_is_not_trusted_is_named(
    partners: Path, tmp_path: Path
) -> None:
    contents = torch.load(partners / "judge.ckpt", weights_only=True)
    contents["cgd"]["network"]["class_path"] = "foreign.Net"
    torch.save(contents, tmp_path / "judge.ckpt")
    with pytest.raises(InputError, match="--trust foreign"):
        watched(diffusion(), tmp_path, judge=str(tmp_path / "judge.ckpt"))
