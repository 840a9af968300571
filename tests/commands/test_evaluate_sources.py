"""`cgd evaluate` on samples and references of any origin, with any network."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.evaluation.kept import cache_folder
from cgd_lightning.evaluation.metrics import frechet_distance
from cgd_lightning.evaluation.networks.named import feature_network
from cgd_lightning.networks import ConvNet

Cgd = Callable[..., tuple[int, str, str]]

RANDOM = ("--features=random", "--device=cpu")
DIGITS = Digits()
CLASSES = len(DIGITS.split("train").labels[:40].unique())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: 40 digits as a folder with classes, as one without, and as an npz."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    digits = DIGITS.split("train")
    images, labels = digits.images[:40], digits.labels[:40]
    for i, (image, label) in enumerate(zip(images, labels.tolist())):
        for folder in (f"classes/{label}", "flat"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(f"{folder}/{i:02}.png")
    order = torch.tensor([int(f.stem) for f in sorted(Path("classes").rglob("*.png"))])
    arrays = images[order].permute(0, 2, 3, 1).numpy(), labels[order].numpy()
    np.savez("classes.npz", *arrays)
    torch.manual_seed(0)
    network = ConvNet(16, 1, 10, width=4).eval()
    judge = CleanClassifier(network, DIGITS.spec)
    checkpoints.save(judge, "judge.ckpt", dataset="digits")
    yield tmp_path
    sys.modules.pop("seeing", None)


def numbers(folder: str) -> dict[str, float]:
    facts = json.loads(Path(folder, "evaluation.json").read_text())
    return {name: e["value"] for name, e in facts["samples"]["estimates"].items()}


def written(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if "cache" not in f.parts}


@pytest.mark.usefixtures("place")
def test_a_folder_and_an_npz_of_the_same_images_give_the_same_numbers(cgd: Cgd) -> None:
    words = ("--judge=judge.ckpt", "--data=Digits", "--device=cpu")
    for samples in ("classes", "classes.npz"):
        code, out, err = cgd("evaluate", f"--samples={samples}", *words, f"--out=of-{samples}")
        assert code == 0, err
        assert "accuracy@40" in out
        assert "class  n" in out
    assert numbers("of-classes") == numbers("of-classes.npz")
    code, out, err = cgd("evaluate", "--samples=flat", *words)
    assert code == 0, err
    assert "nobody says what the samples were asked to show" in out
    flat = numbers("evaluation/flat")
    assert "accuracy@40" not in flat  # nobody knows what they were asked to be
    assert flat["fid_lite@40"] == pytest.approx(numbers("of-classes")["fid_lite@40"])


@pytest.mark.usefixtures("place")
def test_without_a_judge_there_is_no_accuracy_and_another_network_compares(cgd: Cgd) -> None:
    code, out, err = cgd("evaluate", "--samples=classes", *RANDOM, "--data=Digits")
    assert code == 0, err
    test = DIGITS.split("test")
    look = feature_network("random", None, torch.device("cpu"))
    own = look(DIGITS.split("train").images[:40]).features
    told = numbers("evaluation/classes")
    assert told["fid_lite@40"] == pytest.approx(
        frechet_distance(look(test.images).features, own), rel=1e-6
    )
    assert not {"accuracy@40", "inception_score_lite@40"} & told.keys()
    assert f"features: random (hash {look.hash})" in out
    assert "recognises" not in out


@pytest.mark.usefixtures("place")
def test_a_judge_tells_classes_beside_the_features_of_another_network(cgd: Cgd) -> None:
    words = ("evaluate", "--samples=classes", "--judge=judge.ckpt", "--data=Digits", "--device=cpu")
    assert cgd(*words, "--out=judged")[0] == 0
    code, out, err = cgd(*words, "--features=random", "--out=both")
    assert code == 0, err
    judged, both = numbers("judged"), numbers("both")
    assert both["accuracy@40"] == judged["accuracy@40"]
    assert both["fid_lite@40"] != judged["fid_lite@40"]
    assert "judge: judge.ckpt (hash " in out


def test_real_images_are_looked_at_once(place: Path, cgd: Cgd) -> None:
    words = ("evaluate", "--samples=flat", *RANDOM, "--data=Digits")
    assert cgd(*words, "--no_cache")[0] == 0
    first = numbers("evaluation/flat")
    assert not Path("cache").exists()
    assert cgd(*words)[0] == 0
    folder = cache_folder()
    assert folder is not None
    kept = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert len(kept) == 2  # test images, and training images
    assert cgd(*words)[0] == 0
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == kept
    assert numbers("evaluation/flat") == first
    one, other = kept
    shutil.copy(one, other)
    before = written(place)
    code, out, err = cgd(*words, "--out=refused")
    assert (code, out) == (1, "")
    assert "holds features of other data; remove it" in err
    assert written(place) == before


@pytest.mark.usefixtures("place")
def test_statistics_of_a_reference_give_its_frechet_distance_alone(cgd: Cgd) -> None:
    words = ("evaluate", "--samples=flat", *RANDOM)
    from_data = (*words, "--data=Digits", "--write_reference=ref.npz", "--out=of-images")
    assert cgd(*from_data)[0] == 0
    code, out, err = cgd(*words, "--reference=ref.npz", "--out=of-moments")
    assert code == 0, err
    told = numbers("of-moments")
    assert set(told) == {"fid_lite@40"}
    assert told["fid_lite@40"] == pytest.approx(numbers("of-images")["fid_lite@40"], rel=1e-6)
    assert not Path("of-moments/nearest.png").exists()
    assert "real training images" not in out
    code, out, err = cgd(*words, "--reference=ref.npz", "--metrics=PrecisionRecall")
    assert (code, out) == (1, "")
    assert "do for the Frechet distance and for no other --metrics" in err
    with np.load("ref.npz") as arrays:
        np.savez("narrow.npz", mu=arrays["mu"][:5], sigma=arrays["sigma"][:5, :5])
    code, out, err = cgd(*words, "--reference=narrow.npz")
    assert (code, out) == (1, "")
    assert "5 features of an image, and random makes 128" in err


@pytest.mark.usefixtures("place")
def test_statistics_that_do_not_say_of_how_many_images_they_are_do(cgd: Cgd) -> None:
    words = ("evaluate", "--samples=flat", *RANDOM)
    from_folder = (*words, "--reference=classes", "--write_reference=ref.npz", "--out=of-images")
    assert cgd(*from_folder)[0] == 0
    with np.load("ref.npz") as arrays:
        np.savez("adm.npz", mu=arrays["mu"], sigma=arrays["sigma"])
    code, _, err = cgd(*words, "--reference=adm.npz", "--out=of-adm")
    assert code == 0, err
    told = numbers("of-adm")["fid_lite@40"]
    assert told == pytest.approx(numbers("of-images")["fid_lite@40"], abs=1e-9)


@pytest.mark.usefixtures("place")
def test_a_folder_is_a_reference(cgd: Cgd) -> None:
    words = ("evaluate", "--samples=flat", "--reference=classes.npz", *RANDOM)
    code, out, err = cgd(*words)
    assert code == 0, err
    assert "reference: 40 images of classes.npz (hash " in out
    same = numbers("evaluation/flat")
    assert same["fid_lite@40"] == pytest.approx(0, abs=1e-6)
    assert (same["precision@40"], same["recall@40"]) == (1, 1)


@pytest.mark.usefixtures("place")
def test_copies_of_training_images_stand_beside_them(cgd: Cgd) -> None:
    assert cgd("evaluate", "--samples=classes", *RANDOM, "--data=Digits")[0] == 0
    told = numbers("evaluation/classes")
    assert told["copied@40"] == 1
    assert told["nearest_training@40"] == pytest.approx(0, abs=1e-4)
    with Image.open("evaluation/classes/nearest.png") as sheet:
        pairs = np.asarray(sheet)
    assert pairs.shape[0] == 10 * 50 + 2
    copies, originals = pairs[:, -100:-52], pairs[:, -50:-2]
    assert copies.std() > 0
    assert np.array_equal(copies, originals)
    with Image.open("evaluation/classes/contact.png") as sheet:
        assert sheet.height == CLASSES * 50 + 2  # a row a class
    assert (
        cgd("evaluate", "--samples=classes", *RANDOM, "--data=Digits", "--num_training=0")[0] == 0
    )
    assert "copied@40" not in numbers("evaluation/classes")
    assert not Path("evaluation/classes/nearest.png").exists()


OWN = """
import torch
from torch import nn

class Mean(nn.Module):
    def forward(self, x0):
        return x0.flatten(2).mT.reshape(len(x0), -1)[:, ::16]

class Nowhere(Mean):
    def forward(self, x0):
        return super().forward(x0) * torch.nan
"""


def test_an_own_network_is_taken_where_it_is_typed_and_not_from_a_file(
    place: Path, cgd: Cgd
) -> None:
    Path("seeing.py").write_text(OWN)
    words = ("evaluate", "--samples=flat", "--reference=classes", "--device=cpu")
    Path("own.yaml").write_text("features: seeing.Mean\n")
    code, out, err = cgd(*words, "--config=own.yaml")
    assert (code, out) == (1, "")
    assert "'seeing' is not trusted; nothing of it was run" in err
    assert "seeing" not in sys.modules
    code, out, err = cgd(*words, "--features=seeing.Mean")
    assert code == 0, err
    assert "features: seeing.Mean (hash " in out
    assert not Path("cache").exists()  # its code may change with the same weights
    assert cgd(*words, "--config=own.yaml", "--trust=seeing")[0] == 0
    before = written(place)
    code, out, err = cgd(*words, "--features=seeing.Nowhere", "--out=refused")
    assert (code, out) == (1, "")
    assert "the features of 40 of 40 images of classes are not finite" in err
    assert written(place) == before


def test_what_cannot_be_measured_is_told_in_one_line_and_nothing_is_written(
    place: Path, cgd: Cgd
) -> None:
    Path("few").mkdir()
    shutil.copy("flat/00.png", "few")
    np.savez("pickled.npz", arr_0=np.full((4, 16, 16, 1), None))
    np.savez("wide.npz", arr_0=np.zeros((9, 18, 16, 1), np.uint8))
    np.savez("colour.npz", arr_0=np.zeros((9, 16, 16, 3), np.uint8))
    shutil.copytree("few", "one")
    Image.new("RGB", (16, 16)).save("few/1.png")
    before = written(place)
    real = ("--data=Digits",)
    for words, says in (
        (["--samples=pickled.npz", *real], "arr_0 holds pickled objects, which are never read"),
        (["--samples=wide.npz", *real], "images of shape [1, 18, 16]; wanted shape [1, 16, 16]"),
        (["--samples=colour.npz", *real], "images of shape [3, 16, 16]; wanted shape [1, 16, 16]"),
        (["--samples=few", *real], "wanted [1, 16, 16], or --resize to bring images to it"),
        (["--samples=one", *real], "1 generated images: a Frechet distance needs at least 2"),
        (["--samples=flat", "--reference=wide.npz"], "images of shape [1, 18, 16]; wanted shape"),
        (["--samples=flat", "--reference=one"], "1 real and 40 generated images"),
        (["--samples=flat", *real, "--num_training=-1"], "--num_training -1: wanted at least 0"),
    ):
        code, out, err = cgd("evaluate", *words, *RANDOM, "--out=refused")
        assert (code, out) == (1, ""), words
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert says in errors[0]
        assert written(place) == before


@pytest.mark.usefixtures("place")
def test_efficientnet_measures_photographs_of_any_size(cgd: Cgd) -> None:
    generator = np.random.default_rng(0)
    for name in ("real", "made"):
        noise = generator.integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
        np.savez(f"{name}.npz", arr_0=noise)
    words = ("--samples=made.npz", "--reference=real.npz", "--device=cpu")
    code, out, err = cgd("evaluate", *words, "--features=efficientnet-lite0")
    assert code == 0, err
    told = numbers("evaluation/made")
    assert told["fid_lite@6"] > 0
    assert 1 <= told["inception_score_lite@6"] <= 6
    assert "features: efficientnet-lite0 (hash 85368ec86f6b70ff)" in out


@pytest.mark.usefixtures("place")
def test_an_evaluation_of_other_things_stays(cgd: Cgd) -> None:
    words = ("evaluate", "--samples=flat", *RANDOM)
    for extra, where in (
        ("--data=Digits", "evaluation/flat"),
        ("--reference=classes", "evaluation/flat-2"),
        ("--data=Digits", "evaluation/flat"),
    ):
        code, out, err = cgd(*words, extra)
        assert code == 0, err
        assert out.splitlines()[-1] == where
    assert sorted(file.name for file in Path("evaluation").iterdir()) == ["flat", "flat-2"]


@pytest.mark.usefixtures("place")
def test_half_of_a_reference_is_held_against_the_other(cgd: Cgd) -> None:
    pixels = Digits().split("train").images[:100].permute(0, 2, 3, 1).numpy()
    np.savez("real.npz", arr_0=pixels)
    for count, held in ((40, 40), (60, None)):
        np.savez("own.npz", arr_0=pixels[:count])
        words = ("evaluate", "--samples=own.npz", *RANDOM, "--reference=real.npz", f"--out={count}")
        code, out, err = cgd(*words)
        assert code == 0, err
        real = json.loads(Path(str(count), "evaluation.json").read_text())["real_images"]
        if held is None:
            assert real is None
            continue
        assert (real["n"], real["reference"]) == (40, 60)
        assert "against 60 of the images of real.npz alone" in out
        beside = json.loads(Path(str(count), "evaluation.json").read_text())["samples_beside_them"]
        assert (beside["n"], beside["reference"]) == (40, 60)
        assert f"{count} of the samples are images of the reference" in out


def test_of_a_few_samples_it_is_told_what_so_few_can_tell(place: Path, cgd: Cgd) -> None:
    Path("few").mkdir()
    for number in range(5):
        shutil.copy(f"flat/{number:02}.png", "few")
    words = ("--samples=few", "--data=Digits", *RANDOM, "--num_training=0", "--out=told")
    code, out, err = cgd("evaluate", *words)
    assert code == 0, err
    said = json.loads((place / "told" / "evaluation.json").read_text())["samples"]
    assert {"fid_lite@5", "kid@5", "mind@5", "precision@5"} <= said["estimates"].keys()
    assert not {"density@5", "coverage@5"} & said["estimates"].keys()
    assert any(
        note.startswith("density, coverage: 250 real and 5 generated images: ")
        for note in said["notes"]
    )
    assert "note: n = 5: fid_lite is larger than with more samples" in out
    assert "note: for published numbers make at least 2,000 samples" in out
