"""Samples of any origin, and references of any origin, whoever may have made the files."""

import json
import os
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.networks.named import feature_network
from cgd_lightning.evaluation.reference import Reference, reference_of
from cgd_lightning.sampling.references import read_reference, write_reference
from tests.sampling.whole_source import read_source

NAMES = ("cat", "dog")
RANDOM = feature_network("random", None, torch.device("cpu"))


def pixels(n: int, shape: tuple[int, ...] = (4, 4, 3), seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, *shape), dtype=np.uint8)


def picture(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def test_a_folder_of_images_is_read_with_all_its_sub_folders(tmp_path: Path) -> None:
    some = pixels(3)
    for name, array in zip(("b.png", "a/x.bmp", "a/deep/y.PNG"), some):
        picture(tmp_path / name, array)
    picture(tmp_path / ".hidden/z.png", some[0])
    (tmp_path / "notes.txt").write_text("no image")
    samples = read_source(tmp_path)
    assert samples.targets is None
    assert not samples.ours
    wanted = torch.from_numpy(some).permute(0, 3, 1, 2)
    assert torch.equal(samples.images, wanted[[2, 1, 0]])
    (tmp_path / "b.png").unlink()
    assert read_source(tmp_path, class_names=["a", "b"]).targets == [0, 0]


def test_sub_folders_that_are_called_as_the_classes_are_classes(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/2.png", "dog/3.png"):
        picture(tmp_path / name, pixels(1)[0])
    assert read_source(tmp_path, class_names=NAMES).targets == [0, 1, 1]
    assert read_source(tmp_path).targets is None
    picture(tmp_path / "bird/4.png", pixels(1)[0])
    assert read_source(tmp_path, class_names=NAMES).targets is None


def test_images_of_another_shape_are_told_or_resized(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", pixels(1)[0])
    picture(tmp_path / "2.png", pixels(1, (4, 4))[0])
    picture(tmp_path / "3.png", pixels(1, (8, 9, 3))[0])
    with pytest.raises(InputError, match=r"'2\.png' has shape \[1, 4, 4\]; wanted \[3, 4, 4\], or"):
        read_source(tmp_path)
    with pytest.raises(InputError, match=r"'1\.png' has shape \[3, 4, 4\].*--resize"):
        read_source(tmp_path, (1, 4, 4))
    resized = read_source(tmp_path, (3, 4, 4), resize=True).images
    assert resized.shape == (3, 3, 4, 4)
    assert torch.equal(resized[0], torch.from_numpy(pixels(1)[0]).permute(2, 0, 1))
    assert read_source(tmp_path, (1, 5, 7), resize=True).images.shape == (3, 1, 5, 7)


def test_an_npz_of_adm_holds_images_and_maybe_classes(tmp_path: Path) -> None:
    file, some = tmp_path / "samples.npz", pixels(3)
    np.savez(file, some)
    samples = read_source(file, class_names=NAMES)
    assert torch.equal(samples.images, torch.from_numpy(some).permute(0, 3, 1, 2))
    assert samples.targets is None
    np.savez(file, some, np.array([1, 0, 1]))
    assert read_source(file, class_names=NAMES).targets == [1, 0, 1]
    np.savez(file, some, np.array([-1, -1, -1]))
    assert read_source(file, class_names=NAMES).targets is None
    for labels in ([1, -1, 1], np.array([2**64 - 1] * 3, np.uint64)):
        np.savez(file, some, np.array(labels))
        with pytest.raises(InputError, match="arr_1 has the label"):
            read_source(file, class_names=NAMES)


def savez(**arrays: object) -> Callable[[Path], object]:
    return lambda folder: np.savez(folder / "x.npz", **arrays)  # type: ignore[arg-type]


def open_bracket(file: Path, name: str) -> None:
    """An array whose header is a bracket that is never closed."""
    header = b"{'shape': ("
    with zipfile.ZipFile(file, "w") as archive:
        npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr(f"{name}.npy", npy)


PICKLED = np.full((3, 4, 4, 3), None)

HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: None, "not there; wanted a folder"),
    "an empty folder": (lambda f: (f / "x.npz").mkdir(), "no images in it; wanted files that end"),
    "pickled images": (savez(arr_0=PICKLED), "arr_0 holds pickled objects, which are never read"),
    "pickled classes": (savez(arr_0=pixels(3), arr_1=PICKLED), "arr_1 holds pickled objects"),
    "floats": (savez(arr_0=np.zeros((3, 4, 4, 3))), "arr_0 is float64 of shape [3, 4, 4, 3]"),
    "statistics": (savez(mu=np.zeros(3)), "statistics of features, not images; they are for"),
    "no images": (savez(x=np.zeros(3)), "arr_0.npy"),
    "other channels": (savez(arr_0=pixels(3, (4, 4, 2))), "wanted shape [3, 4, 4]"),
    "another size": (savez(arr_0=pixels(3, (5, 4, 3))), "images of shape [3, 5, 4]; wanted shape"),
    "fewer classes": (savez(arr_0=pixels(3), arr_1=np.arange(2)), "wanted 3 classes"),
    "classes with points": (savez(arr_0=pixels(3), arr_1=np.zeros(3)), "arr_1 is float64"),
    "an unknown class": (savez(arr_0=pixels(3), arr_1=np.arange(3)), "label 2: the classes are"),
    "other bytes": (lambda f: (f / "x.npz").write_bytes(b"PK"), "not a zip file"),
    "a pipe": (lambda f: os.mkfifo(f / "x.npz"), "not a regular file"),
    "a link to a device": (lambda f: (f / "x.npz").symlink_to("/dev/zero"), "not a regular file"),
    "an open bracket": (lambda f: open_bracket(f / "x.npz", "arr_0"), "no header that can be read"),
    "pressed arrays": (
        lambda f: np.savez_compressed(f / "x.npz", arr_0=pixels(3)),
        "is compressed",
    ),
}


@pytest.mark.parametrize(("make", "says"), HOSTILE.values(), ids=HOSTILE)
def test_what_are_no_samples_is_told_in_one_line(
    make: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    make(tmp_path)
    tracemalloc.start()
    with pytest.raises(InputError, match=re.escape(says)) as refused:
        read_source(tmp_path / "x.npz", (3, 4, 4), NAMES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    assert str(refused.value).startswith(f"--samples {tmp_path}/x.npz: ")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", pixels(1)[0])
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    with pytest.raises(InputError, match=r"b\.png: not an image that can be read"):
        read_source(tmp_path, (3, 4, 4))
    (tmp_path / "b.png").write_text("%!PS-Adobe-3.0 EPSF-3.0")  # Pillow would run Ghostscript
    with pytest.raises(InputError, match=r"b\.png: not an image that can be read"):
        read_source(tmp_path, (3, 4, 4), resize=True)


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    np.savez(tmp_path / "far.npz", arr_0=pixels(3))
    (tmp_path / "near.npz").symlink_to("far.npz")
    assert read_source(tmp_path / "near.npz", (3, 4, 4)).images.shape == (3, 3, 4, 4)


def test_a_folder_of_ours_is_known_by_its_record(tmp_path: Path) -> None:
    record = {"images": {"count": 3, "labels": [0, 1, 0]}}
    (tmp_path / "samples.json").write_text(json.dumps(record))
    np.savez(tmp_path / "samples.npz", arr_0=pixels(3), arr_1=np.array([0, 1, 0]))
    samples = read_source(tmp_path, (3, 4, 4), NAMES)
    assert (samples.targets, samples.ours) == ([0, 1, 0], True)
    with pytest.raises(InputError, match="images of shape"):
        read_source(tmp_path, (3, 8, 8))


def test_a_reference_is_a_folder_or_an_npz_of_images(tmp_path: Path) -> None:
    some = pixels(4)
    for i, array in enumerate(some):
        picture(tmp_path / "real" / NAMES[i % 2] / f"{i}.png", array)
    np.savez(tmp_path / "real.npz", some[[0, 2, 1, 3]], np.array([0, 0, 1, 1]))
    folder, npz = (
        read_reference(tmp_path / name, RANDOM, (3, 4, 4), NAMES) for name in ("real", "real.npz")
    )
    images = torch.from_numpy(some[[0, 2, 1, 3]]).permute(0, 3, 1, 2).contiguous()
    fresh = reference_of(RANDOM, images, torch.tensor([0, 0, 1, 1]))
    for reference in (folder, npz):
        assert reference.hash == fresh.hash
        assert torch.equal(reference.features, fresh.features)
        assert reference.labels.tolist() == [0, 0, 1, 1]
    assert folder.name == f"images of {tmp_path / 'real'}"
    assert npz.name == f"images of {tmp_path / 'real.npz'}"
    with pytest.raises(InputError, match=r"--reference .*nowhere: not there"):
        read_reference(tmp_path / "nowhere", RANDOM)


def test_statistics_are_written_and_read_as_adm_has_them(tmp_path: Path) -> None:
    file, features = tmp_path / "ref.npz", torch.randn(9, 3)
    reference = Reference("real", "0" * 16, 9, features)
    write_reference(file, reference, RANDOM)
    with np.load(file) as arrays:
        mu, sigma = arrays["mu"], arrays["sigma"]
    # As ADM's evaluator makes them.
    assert np.allclose(mu, np.mean(features.double().numpy(), axis=0))
    assert np.allclose(sigma, np.cov(features.double().numpy(), rowvar=False))
    read = read_reference(file, RANDOM)
    assert (read.n, read.width, read.features) == (9, 3, None)
    write_reference(tmp_path / "again.npz", read, RANDOM)
    again = read_reference(tmp_path / "again.npz", RANDOM)
    assert again.hash == read.hash
    assert all(torch.equal(one, other) for one, other in zip(again.moments, read.moments))
    with pytest.raises(InputError, match="statistics of features of another network"):
        read_reference(file, other_network())
    np.savez(file, mu=mu, sigma=sigma)
    assert read_reference(file, other_network()).n == 0
    with pytest.raises(InputError, match="a covariance needs at least 2 images"):
        write_reference(file, Reference("real", "0", 1, features[:1]), RANDOM)


def other_network() -> FeatureNetwork:
    other = feature_network("random", None, torch.device("cpu"))
    nn.init.constant_(next(other.network.parameters()), 0.5)
    return other


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"mu": np.zeros(3)}, "wanted the array arr_0 of images, or mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, "wanted [d] and [d, d]"),
        ({"mu": np.zeros((3, 1)), "sigma": np.eye(3)}, "wanted [d] and [d, d]"),
        ({"mu": np.zeros(3), "sigma": np.full((3, 3), np.nan)}, "is not finite"),
        ({"mu": np.zeros(3), "sigma": -np.eye(3)}, "is not symmetric with a diagonal from 0"),
        ({"mu": np.zeros(3), "sigma": PICKLED}, "sigma holds pickled objects"),
        ({"mu": np.zeros(3, int), "sigma": np.eye(3)}, "mu is int64"),
        ({"mu": np.zeros(2**15), "sigma": np.eye(3)}, "at most 16384 wide"),
        ({"mu": np.zeros(3), "sigma": np.eye(3), "n": np.zeros(999, int)}, "wanted few whole"),
    ],
)
def test_statistics_that_are_none_are_told_in_one_line(
    arrays: dict[str, np.ndarray], says: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "ref.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=re.escape(says)) as refused:
        read_reference(tmp_path / "ref.npz", RANDOM)
    assert str(refused.value).startswith("--reference ")


def test_a_run_is_told_and_what_an_evaluation_drew_is_no_sample(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", pixels(1)[0])
    drawn = tmp_path / "evaluation"
    drawn.mkdir()
    picture(drawn / "contact.png", pixels(1, (40, 40, 3))[0])
    with pytest.raises(InputError, match="contact"):
        read_source(tmp_path)
    (drawn / "evaluation.json").write_text("{}")
    assert len(read_source(tmp_path).images) == 1
    (tmp_path / "metrics.csv").write_text("step")
    with pytest.raises(InputError, match="a run; its samples are in folders of their own"):
        read_source(tmp_path)
