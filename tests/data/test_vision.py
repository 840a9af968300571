import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from cgd_lightning.data.vision import CIFAR10, MNIST, FashionMNIST

REAL = Path(__file__).parents[3] / "shared" / "data"


def write_idx(folder: Path, counts: dict[str, int]) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, count in counts.items():
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files of MNIST are not beside this checkout")
def test_the_real_mnist_is_read_and_split() -> None:
    data = MNIST(root=str(REAL), download=False)
    parts = [data.split(name) for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [55000, 5000, 10000]
    assert all(part.images.shape[1:] == (1, 28, 28) and part.images.dtype == torch.uint8 for part in parts)
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
    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]:
        pixels = generator.integers(0, 256, (1200, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(1200)]}))
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
    contents = {"cut": file.read_bytes()[:5000], "text": b"<html>", "swapped": gzip.compress(b"x" * 100)}
    file.write_bytes(contents[damage])
    with pytest.raises(ValueError, match="damaged files of mnist"):
        MNIST(root=str(tmp_path), download=False).prepare_data()
