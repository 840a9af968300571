"""Samples are read batch by batch: what is looked at takes the memory of a batch, not of all."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from cgd_lightning import streams
from cgd_lightning.data.images import ChosenImages, ImageBatch, ImageTensors, sample_images
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.sources import open_source
from cgd_lightning.streams import BATCH
from tests.sampling.whole_source import read_source

SIDE, FEW, MANY = 96, 800, 4000


def write(folder: Path, count: int, kind: str, side: int = SIDE) -> int:
    """A folder as `cgd sample` writes it; the bytes of its images as they are."""
    few = np.random.default_rng(0).integers(0, 256, (7, side, side, 3), dtype=np.uint8)
    images = few[np.arange(count) % 7]
    folder.mkdir(parents=True)
    if kind == "npz":
        np.savez(folder / "samples.npz", arr_0=images, arr_1=np.zeros(count, np.int64))
    else:
        (folder / "images").mkdir()
        for place, image in enumerate(few[:count]):
            Image.fromarray(image).save(folder / "picture.png", compress_level=0)
            for index in range(place, count, 7):
                shutil.copy(folder / "picture.png", folder / f"images/{index:04}-0.png")
    record = {"images": {"count": count, "labels": [0] * count}}
    (folder / "samples.json").write_text(json.dumps(record))
    return images.nbytes


LOOK = """
import re, sys
from pathlib import Path
import torch
from torch import nn
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.evaluated import contact_sheet
from cgd_lightning.sampling.sources import open_source

class Means(FeatureNetwork):
    def see(self, x0):
        return x0.mean(dim=(2, 3)), x0[:, :0, 0, 0]

look = Means(nn.Identity(), "means", batch_size=64)
for folder in sys.argv[1:]:
    samples = open_source(Path(folder))
    features = look(samples.images).features
    hash_of(samples.images)
    contact_sheet(samples.images, samples.targets, ("0",))
    # Of getrusage, a child inherits the peak of who started it.
    peak = re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    print(len(features), 1024 * int(peak[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in /proc")
@pytest.mark.parametrize("kind", ["npz", "png"])
def test_memory_does_not_grow_with_the_number_of_samples(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "few", FEW, kind)
    held = write(tmp_path / "many", MANY, kind)
    words = [sys.executable, "-c", LOOK, f"{tmp_path / 'few'}", f"{tmp_path / 'many'}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    few, many = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert (few[0], many[0]) == (FEW, MANY)
    assert many[1] - few[1] < held / 2


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_batches_and_places_of_a_stream_are_those_of_its_images(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "D", 7, kind, side=4)
    stream, images = open_source(tmp_path / "D").images, read_source(tmp_path / "D").images
    assert tuple(stream.shape) == tuple(images.shape) == (7, 3, 4, 4)
    batches = stream.split(3)
    assert len(batches) == 3
    for ours, theirs in zip(batches, images.split(3), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.is_contiguous()
    for places in (torch.tensor([5, 0, -1]), [6, -7], slice(2, 5), slice(-2, None), 4, -1):
        assert torch.equal(stream[places], images[places])
    for place in (7, -8, [0, 7], torch.tensor([-8])):
        with pytest.raises(IndexError, match=r"image .* of 7"):
            stream[place]
    assert torch.equal(torch.stack(list(stream)), images)
    assert hash_of(stream) == hash_of(images)


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_more_than_memory_shall_hold_is_refused_in_the_words_of_the_user(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "D", 7, kind, side=4)
    stream = open_source(tmp_path / "D", option="--images").images
    monkeypatch.setattr(streams, "MOST_BYTES", 3 * 3 * 4 * 4)
    assert len(stream[:3]) == 3
    for read in (stream.read, lambda: stream[:4], lambda: stream[[0] * 4]):
        with pytest.raises(InputError, match=r"^--images .*: images of shape .*more than 144 "):
            read()


def test_a_stream_of_several_batches_is_read_whole(tmp_path: Path) -> None:
    count = 2 * BATCH + 3
    write(tmp_path / "D", count, "npz", side=4)
    with np.load(tmp_path / "D/samples.npz") as arrays:
        wanted = torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2)
    stream = open_source(tmp_path / "D").images
    assert torch.equal(stream.read(), wanted)
    assert torch.equal(torch.stack(list(stream)), wanted)


def damage_npz(folder: Path) -> None:
    file = folder / "samples.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def damage_png(folder: Path) -> None:
    file = folder / "images/0005-0.png"
    file.write_bytes(file.read_bytes()[:-30])


def other_png(folder: Path) -> None:
    Image.new("RGB", (5, 5)).save(folder / "images/0005-0.png")


def other_npz(folder: Path) -> None:
    np.savez(folder / "samples.npz", arr_0=np.zeros((7, 5, 5, 3), np.uint8))


@pytest.mark.parametrize(
    ("kind", "damage", "says"),
    [
        ("npz", damage_npz, "not a folder that cgd sample wrote whole .*CRC"),
        ("png", damage_png, "not a folder that cgd sample wrote whole"),
        ("npz", other_npz, "not a folder that cgd sample wrote whole .*changed while it was read"),
        ("png", other_png, r"images of shape \[3, 5, 5\]; wanted shape \[3, 4, 4\]"),
    ],
)
def test_what_is_damaged_or_changed_is_told_when_it_is_read(
    kind: str, damage: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    write(tmp_path / "D", 7, kind, side=4)
    found = open_source(tmp_path / "D")
    damage(tmp_path / "D")
    with pytest.raises(InputError, match=rf"^--samples .*D: {says}"):
        hash_of(found.images)


class Untold(Dataset[ImageBatch]):
    """Images whose labels are known when they are read."""

    def __init__(self, data: ImageTensors, labels: object = None) -> None:
        self.data, self.labels = data, labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, places: list[int]) -> ImageBatch:
        return self.data.__getitems__(places)


def test_images_chosen_of_a_data_set_are_those_of_its_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (9, 1, 4, 4), dtype=torch.uint8, generator=generator)
    data = ImageTensors(images, torch.arange(9))
    for count in (5, 100):
        wanted = sample_images(data, count)
        assert wanted.labels.tolist() == sorted(set(wanted.labels.tolist()))
        assert len(wanted.labels) == min(count, 9)
        others = [Untold(data, labels) for labels in (None, [0] * 9, torch.zeros(12))]
        for chosen in [ChosenImages(one, count) for one in (data, *others)]:
            assert torch.equal(chosen[:], wanted.images)
            assert torch.equal(chosen.labels, wanted.labels)
