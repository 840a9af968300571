"""Where checkpoints are found, and which of them go together."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import Card, Model
from cgd_lightning.checkpoints.folder_form import write_folder
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.errors import InputError
from cgd_lightning.networks import UNet
from tests.checkpoints.test_checkpoints import (
    SHAPE,
    SMALL,
    denoiser,
    judge,
    noisy_classifier,
    saved,
)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with runs/diffusion/version_{0,2,10} that hold files called after their
    place.
    """
    monkeypatch.chdir(tmp_path)
    for place in (
        "version_0/last",
        "version_2/best",
        "version_2/last",
        "version_10/best",
        "version_10/last",
        "version_11/other",
    ):
        path = Path(f"runs/diffusion/{place}.ckpt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(place)
    Path("runs/diffusion/version_x").mkdir()
    Path("runs/diffusion/version_99").touch()
    return Path("runs/diffusion")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("version_2/last.ckpt", "version_2/last.ckpt"),
        ("version_11/other.ckpt", "version_11/other.ckpt"),
        ("version_2", "version_2/best.ckpt"),
        ("version_0", "version_0/last.ckpt"),
        ("", "version_10/best.ckpt"),
    ],
)
def test_a_file_a_version_folder_and_a_run_folder_name_a_checkpoint(
    path: str, found: str, runs: Path
) -> None:
    assert checkpoints.find(runs / path) == runs / found


def test_versions_are_ordered_by_number(runs: Path) -> None:
    assert [folder.name for folder in checkpoints.versions(runs) if folder.is_dir()] == [
        "version_11",
        "version_10",
        "version_2",
        "version_0",
    ]


def test_what_is_not_there_is_answered_with_what_is(runs: Path) -> None:
    for wrong in ("runs/difusion", "diffusion", "runs/diffusion/version_3", "runs"):
        with pytest.raises(InputError, match=rf"^{wrong}: .*; runs here: runs/diffusion$"):
            checkpoints.find(wrong)
    Path("empty").mkdir()
    with pytest.raises(InputError, match=r"^empty: neither best\.ckpt nor last\.ckpt"):
        checkpoints.find("empty")


def test_where_no_run_is_the_first_step_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"runs/diffusion: no such checkpoint.*cgd fit --config diffusion\.yaml"
    ):
        checkpoints.find("runs/diffusion")


def pair(mine: Model, other: Model) -> None:
    cards = [checkpoints.Card(**checkpoints.describe(model)) for model in (mine, other)]
    checkpoints.check_pair((Path("mine.ckpt"), cards[0]), (Path("other.ckpt"), cards[1]))


def test_a_pair_of_one_shape_and_the_same_classes_fits_whatever_its_schedules() -> None:
    pair(denoiser(Linear()), noisy_classifier())
    pair(Denoiser(UNet(8, 1, 1, **SMALL), Linear(), "eps", DataSpec(SHAPE)), noisy_classifier())


def test_a_pair_that_does_not_fit_is_told_with_both_files_and_both_values() -> None:
    with pytest.raises(
        InputError, match=r"image shape \[1, 8, 8\] in mine\.ckpt, but \[1, 16, 16\] in other\.ckpt"
    ):
        pair(denoiser(), noisy_classifier(size=16))
    other = ("dog", "cat", "7")
    with pytest.raises(
        InputError,
        match=r"class names \['cat', 'dog', '7'\] in mine\.ckpt, "
        r"but \['dog', 'cat', '7'\] in other",
    ):
        pair(denoiser(), noisy_classifier(other))
    with pytest.raises(
        InputError, match=r"mine\.ckpt: a classifier, and a diffusion model was wanted"
    ):
        pair(noisy_classifier(), denoiser())
    for wrong, kind in ((judge(), "judge"), (denoiser(), "diffusion")):
        said = rf"other\.ckpt: {checkpoints.a_kind(kind)}, and a classifier of noisy images was"
        with pytest.raises(InputError, match=said):
            pair(denoiser(), wrong)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Runs of which `newest` was written last, `older` before it, and those that cannot guide after
    both.
    """
    models: dict[str, Model] = {
        "diffusion": denoiser(),
        "older": noisy_classifier(),
        "newest": noisy_classifier(),
        "large": noisy_classifier(size=16),
        "others": noisy_classifier(("a", "b", "c")),
        "judge": judge(),
        "again": denoiser(),
    }
    for seconds, (name, model) in enumerate(models.items()):
        file = saved(tmp_path / name / "version_0" / "best.ckpt", model)
        os.utime(file, (1e9 + seconds, 1e9 + seconds))
    (tmp_path / "broken" / "version_0").mkdir(parents=True)
    (tmp_path / "broken" / "version_0" / "best.ckpt").write_text("broken")
    return tmp_path


def test_the_newest_classifier_beside_the_run_that_fits_is_taken(shelf: Path) -> None:
    path = shelf / "diffusion" / "version_0" / "best.ckpt"
    assert (
        checkpoints.find_classifier(path, checkpoints.read(path))
        == shelf / "newest" / "version_0" / "best.ckpt"
    )
    for name in ("older", "newest"):
        (shelf / name).rename(shelf.with_name(f"{shelf.name}-{name}"))
    assert checkpoints.find_classifier(path, checkpoints.read(path)) is None


def test_what_a_kill_left_unfinished_is_taken_for_no_run(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, model in ((".shared.unfinished", noisy_classifier()), (".judge.tmp", judge())):
        saved(shelf / name / "version_0" / "best.ckpt", model)
        write_folder(model, shelf / name)
    path = shelf / "diffusion" / "version_0" / "best.ckpt"
    newest = shelf / "newest" / "version_0" / "best.ckpt"
    assert checkpoints.find_classifier(path, checkpoints.read(path)) == newest
    assert not [file for file in checkpoints.newest_first(shelf) if "/." in str(file)]
    monkeypatch.chdir(shelf)
    with pytest.raises(InputError, match="runs here: again, broken, diffusion") as error:
        checkpoints.find("nothing")
    assert ".judge.tmp" not in str(error.value)


def test_a_stored_partner_wins(shelf: Path) -> None:
    path = saved(
        shelf / "diffusion" / "version_0" / "best.ckpt", denoiser(), partner=str(shelf / "older")
    )
    assert (
        checkpoints.find_classifier(path, checkpoints.read(path))
        == shelf / "older" / "version_0" / "best.ckpt"
    )
    path = saved(path, denoiser(), partner="elsewhere/older")
    assert (
        checkpoints.find_classifier(path, checkpoints.read(path))
        == shelf / "older" / "version_0" / "best.ckpt"
    )
    path = saved(path, denoiser(), partner=str(shelf / "gone"))
    with pytest.raises(InputError, match="gone: no such checkpoint"):
        checkpoints.find_classifier(path, checkpoints.read(path))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose checkpoints `find_classifier` reads, in order."""
    seen: list[str] = []

    def read(path: Path) -> Card:
        seen.append(path.parts[-3])
        return checkpoints.read(path)

    monkeypatch.setattr("cgd_lightning.checkpoints.pairs.read", read)
    return seen


def test_runs_are_read_newest_first_up_to_the_first_that_fits(
    shelf: Path, reads: list[str]
) -> None:
    path = shelf / "diffusion" / "version_0" / "best.ckpt"
    card = checkpoints.read(path)
    os.utime(shelf / "broken" / "version_0" / "best.ckpt", (2e9, 2e9))
    found = checkpoints.find_classifier(path, card)
    assert found == shelf / "newest" / "version_0" / "best.ckpt"
    assert reads == ["broken", "again", "judge", "others", "large", "newest"]


def test_a_stored_partner_is_found_without_reading_any_other(shelf: Path, reads: list[str]) -> None:
    path = shelf / "diffusion" / "version_0" / "best.ckpt"
    card = replace(checkpoints.read(path), partner="runs/older")
    assert checkpoints.find_classifier(path, card) == shelf / "older" / "version_0" / "best.ckpt"
    assert not reads


def test_of_runs_written_at_once_the_first_that_is_listed_counts_as_the_newest(
    shelf: Path,
) -> None:
    files = [shelf / name / "version_0" / "best.ckpt" for name in ("older", "newest")]
    for file in files:
        os.utime(file, (3e9, 3e9))
    listed = [file for file in checkpoints.newest_first(shelf) if file in files]
    wanted = [run / "best.ckpt" for run in shelf.glob("*/version_*") if run / "best.ckpt" in files]
    assert listed == wanted


def test_the_runs_beside_a_checkpoint_are_those_of_the_folder_that_holds_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkpoints.beside(tmp_path / "a" / "version_3" / "best.ckpt") == tmp_path
    monkeypatch.chdir(tmp_path)
    assert checkpoints.beside(Path("a/version_3/best.ckpt")) == tmp_path
    assert checkpoints.beside(Path("/model.ckpt")) == Path("/")


def test_models_of_different_codecs_do_not_pair() -> None:
    mine, other = (Card(**checkpoints.describe(model())) for model in (denoiser, noisy_classifier))
    latents = {"class_path": "mine.Latents", "init_args": {"scale": 2.0}}
    for check, said in (
        (checkpoints.check_pair, r"a lives in pixels, and b in the space of mine\.Latents; train"),
        (checkpoints.check_shapes, r"codec .*Pixels.* in a, but .*mine\.Latents.* in b"),
    ):
        check((Path("a"), mine), (Path("b"), other))
        with pytest.raises(InputError, match=said):
            check((Path("a"), mine), (Path("b"), replace(other, codec=latents)))


WANTED = {
    Denoiser: "a diffusion model was wanted",
    NoisyClassifier: "a classifier of noisy images was wanted",
    CleanClassifier: "a judge was wanted: cgd fit --config judge.yaml",
}


@pytest.mark.parametrize(
    "make", [denoiser, noisy_classifier, judge], ids=lambda make: make.__name__
)
def test_a_checkpoint_is_loaded_as_the_kind_that_it_is_and_as_no_other(
    make: Callable[[], Model], tmp_path: Path
) -> None:
    model = make()
    path = saved(tmp_path / "model.ckpt", model)
    kind = checkpoints.read(path).kind
    assert type(checkpoints.load(path)) is type(model)
    for wanted, words in WANTED.items():
        if isinstance(model, wanted):
            assert type(checkpoints.load(path, wanted)) is type(model)
            continue
        with pytest.raises(InputError) as error:
            checkpoints.load(path, wanted)
        assert str(error.value) == f"{path}: {checkpoints.a_kind(kind)}, and {words}"


def test_another_kind_is_refused_before_its_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "model.ckpt", judge())
    monkeypatch.setattr("cgd_lightning.checkpoints.archive.Archive.tensor", None)
    with pytest.raises(InputError, match="a judge, and a diffusion model was wanted"):
        checkpoints.load(path, Denoiser)
