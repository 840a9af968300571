import gzip
import pickle
import struct
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from cgd_lightning.data.vision import CIFAR10, MNIST, FashionMNIST
from cgd_lightning.errors import InputError

REAL = Path(__file__).parents[3] / "shared" / "data"


def write_idx(folder: Path, counts: dict[str, int]) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, count in counts.items():
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes()
        )
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, count) + labels.tobytes()
        )


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the real files of MNIST are not beside this checkout"
)
def test_the_real_mnist_is_read_and_split() -> None:
    data = MNIST(root=str(REAL), download=False)
    parts = [data.split(name) for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [55000, 5000, 10000]
    assert all(
        part.images.shape[1:] == (1, 28, 28) and part.images.dtype == torch.uint8 for part in parts
    )
    assert parts[2].labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert parts[0].labels.bincount().tolist() != parts[1].labels.bincount().tolist()
    assert (parts[0].labels.bincount() + parts[1].labels.bincount()).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_idx_files_are_read_without_a_network(dataset: type, tmp_path: Path) -> None:
    write_idx(tmp_path / dataset.__name__ / "raw", {"train": 6000, "t10k": 50})
    data = dataset(root=str(tmp_path), download=False)
    data.prepare_data()
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [1000, 5000, 50]
    assert len(data.class_names) == 10


def test_cifar_is_read_in_colour(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in [
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ]:
        pixels = generator.integers(0, 256, (1200, 3072), dtype=np.uint8)
        (folder / name).write_bytes(
            pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(1200)]})
        )
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.class_names)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
        patch.setattr(datasets.cifar, "check_integrity", lambda *_: True)
        data = CIFAR10(root=str(tmp_path), download=False)
        train = data.split("train")
    assert train.images.shape == (1000, 3, 32, 32)
    assert train.images.is_contiguous()


def test_missing_files_are_one_line_with_or_without_download(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no files of mnist there; give the folder"):
        MNIST(root=str(tmp_path), download=False).prepare_data()


@pytest.mark.parametrize("damage", ["cut", "text", "swapped"])
def test_damaged_files_are_one_line(damage: str, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write_idx(raw, {"train": 6000, "t10k": 50})
    file = raw / "train-images-idx3-ubyte"
    contents = {
        "cut": file.read_bytes()[:5000],
        "text": b"<html>",
        "swapped": gzip.compress(b"x" * 100),
    }
    file.write_bytes(contents[damage])
    with pytest.raises(ValueError, match="damaged files of mnist"):
        MNIST(root=str(tmp_path), download=False).prepare_data()


def sizes(*numbers: int, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(numbers)]) + struct.pack(f">{len(numbers)}I", *numbers)


LABELS = "train-labels-idx1-ubyte"
IMAGES = "train-images-idx3-ubyte"
LIES = {
    "more images than there are": (IMAGES, sizes(2**32 - 1, 28, 28) + bytes(6000 * 784), "shape"),
    "no images": (IMAGES, sizes(0, 28, 28), "different numbers"),
    "fewer images than labels": (
        IMAGES,
        sizes(5999, 28, 28) + bytes(5999 * 784),
        "different numbers",
    ),
    "bytes behind the images": (
        IMAGES,
        sizes(6000, 28, 28) + bytes(6000 * 784 + 1),
        "4704017 bytes",
    ),
    "images of another size": (IMAGES, sizes(6000, 14, 56) + bytes(6000 * 784), "14 x 56"),
    "images of floats": (
        IMAGES,
        sizes(6000, 28, 28, kind=13) + bytes(6000 * 784 * 4),
        "does not begin",
    ),
    "images of a type that is none": (
        IMAGES,
        sizes(6000, 28, 28, kind=10) + bytes(6000 * 784),
        "does not begin",
    ),
    "images on one axis": (IMAGES, sizes(6000 * 784) + bytes(6000 * 784), "does not begin"),
    "an empty file": (IMAGES, b"", "does not begin"),
    "labels of three axes": (LABELS, sizes(6000, 1, 1) + bytes(6000), "does not begin"),
    "labels above 9": (LABELS, sizes(6000) + bytes(5999) + b"\x0a", "labels above 9"),
    "fewer labels than they say": (LABELS, sizes(6000) + bytes(5999), "6007 bytes"),
    "more labels than images": (LABELS, sizes(6001) + bytes(6001), "different numbers"),
}


@pytest.mark.parametrize(("name", "contents", "says"), LIES.values(), ids=LIES)
def test_idx_files_that_lie_are_refused_before_they_are_read(
    name: str, contents: bytes, says: str, tmp_path: Path
) -> None:
    write_idx(tmp_path / "MNIST" / "raw", {"train": 6000, "t10k": 50})
    (tmp_path / "MNIST" / "raw" / name).write_bytes(contents)
    with pytest.raises(
        InputError, match=rf"damaged files of mnist \({name[:6]}.*{says}"
    ) as refused:
        MNIST(root=str(tmp_path)).split("train")
    assert "\n" not in str(refused.value)


def test_as_many_images_as_are_held_out_are_too_few_and_there_is_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path / "MNIST" / "raw", {"train": 5000, "t10k": 50})
    with pytest.raises(InputError, match="holds 5000 images"):
        MNIST(root=str(tmp_path)).split("train")
    monkeypatch.setattr("cgd_lightning.data.vision.MOST_IMAGES", 49)
    monkeypatch.setattr(MNIST, "held_out", 10)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte holds 5000 images"):
        MNIST(root=str(tmp_path)).split("train")


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_what_old_versions_of_torchvision_pickled_is_never_read(
    dataset: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / dataset.__name__
    (folder / "processed").mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        torch.save(
            (torch.zeros(6000, 28, 28, dtype=torch.uint8), torch.zeros(6000)),
            folder / "processed" / name,
        )
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read a pickle"))
    with pytest.raises(InputError, match=r"no files of .* there; give the folder"):
        dataset(root=str(tmp_path), download=False).split("train")
    write_idx(folder / "raw", {"train": 6000, "t10k": 50})
    assert dataset(root=str(tmp_path), download=False).split("test").images.max() == 255


class Runs:
    """A pickle that makes the file `ran` when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
def test_files_of_cifar_are_unpickled_only_if_their_sums_are_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.zeros((2, 3072), np.uint8)
    listed = datasets.CIFAR10.train_list + datasets.CIFAR10.test_list
    for file, _ in listed:
        (folder / file).write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a", "b"]}))
    sums = {file.name: md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    monkeypatch.setattr(
        datasets.CIFAR10,
        "train_list",
        [[file, sums[file]] for file, _ in datasets.CIFAR10.train_list],
    )
    monkeypatch.setattr(
        datasets.CIFAR10,
        "test_list",
        [[file, sums[file]] for file, _ in datasets.CIFAR10.test_list],
    )
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": sums["batches.meta"]}
    )
    monkeypatch.setattr(CIFAR10, "held_out", 2)
    assert len(CIFAR10(root=str(tmp_path), download=False).split("train")) == 8
    (folder / name).write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"(no|damaged) files of cifar10"):
        CIFAR10(root=str(tmp_path), download=False).split("train")
    assert not (tmp_path / "ran").exists()
