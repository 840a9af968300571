from pathlib import Path

import pytest
import torch
from PIL import Image

from cgd_lightning.data import folder as folders
from cgd_lightning.data.folder import Folder, decode


def paint(path: Path, colour: tuple[int, ...], size: tuple[int, int] = (20, 12), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if mode != "L" else colour[0]).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for i in range(10):
        paint(tmp_path / "pets" / "dog" / f"{i}.png", (200, 10 * i, 0), size=(20 + i, 12))
        paint(tmp_path / "pets" / "cat" / "more" / f"{i}.jpg", (0, 10 * i, 200), size=(9, 30))
    return tmp_path / "pets"


def test_classes_are_the_sub_folders_in_alphabetical_order(pets: Path) -> None:
    data = Folder(str(pets), image_size=8)
    assert data.class_names == ("cat", "dog")
    assert data.name == "pets"
    assert data.image_shape == (3, 8, 8)
    train = data.split("train")
    blue = train.images.float().mean(dim=(2, 3))[:, 2]
    assert torch.equal(train.labels, (blue < 100).long())


def test_each_class_is_split_alike_and_always_in_the_same_way(pets: Path) -> None:
    data, again = Folder(str(pets), image_size=8, held_out=0.2), Folder(str(pets), image_size=8, held_out=0.2, seed=3)
    parts = {name: data.split(name) for name in ("train", "val", "test")}
    assert {name: part.labels.bincount().tolist() for name, part in parts.items()} == {"train": [6, 6], "val": [2, 2], "test": [2, 2]}
    assert all(torch.equal(part.images, again.split(name).images) for name, part in parts.items())
    seen = [image.numpy().tobytes() for part in parts.values() for image in part.images]
    assert len(set(seen)) == 20


def test_a_folder_that_does_not_fit_in_memory_streams_the_same_images(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Folder(str(pets), image_size=8)
    monkeypatch.setattr(folders, "IN_MEMORY", 0)
    streamed = Folder(str(pets), image_size=8)
    for name in ("train", "val"):
        ours, theirs = (data.split(name).__getitems__([1, 0]) for data in (held, streamed))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_colour(mode: str, channels: int, tmp_path: Path) -> None:
    file = tmp_path / ("x.tiff" if mode in ("CMYK", "I;16") else "x.png")
    Image.new(mode, (31, 17)).save(file)
    image = decode(file, (channels, 16, 16))
    assert image.shape == (channels, 16, 16)
    assert image.dtype == torch.uint8


def test_the_middle_is_kept_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 10), (255, 0, 0))
    image.paste((0, 255, 0), (10, 0, 20, 10))
    image.save(tmp_path / "x.png")
    assert torch.equal(decode(tmp_path / "x.png", (3, 10, 10))[1], torch.full((10, 10), 255, dtype=torch.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3
    half = Image.new("L", (10, 10))
    half.paste(255, (0, 0, 10, 5))
    half.save(tmp_path / "turned.png", exif=exif)
    assert decode(tmp_path / "turned.png", (1, 10, 10))[0, :5].max() == 0


WRONG = {
    "no folder": (lambda root: None, "no such folder"),
    "no classes": (lambda root: paint(root / "x.png", (1, 2, 3)), "no sub-folders"),
    "one class": (lambda root: paint(root / "cat" / "x.png", (1, 2, 3)), "only the class 'cat'"),
    "an empty class": (lambda root: (three(root / "cat"), (root / "dog").mkdir()), "dog: 0 images"),
    "names that differ in case": (lambda root: (three(root / "cat"), three(root / "Cat")), "Cat, cat differ in case only"),
    "a text": (lambda root: (three(root / "cat"), three(root / "dog"), (root / "dog" / "a.txt").touch()), "a.txt: not an image"),
}


def three(folder: Path) -> None:
    for i in range(3):
        paint(folder / f"{i}.png", (i, i, i))


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_folder_is_refused_in_one_line(make, says: str, tmp_path: Path) -> None:
    make(tmp_path / "root")
    with pytest.raises(ValueError, match=says):
        Folder(str(tmp_path / "root"))


def test_a_broken_image_is_named(pets: Path) -> None:
    (pets / "dog" / "3.png").write_bytes((pets / "dog" / "3.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"3\.png: not an image that can be read"):
        Folder(str(pets), image_size=8).split("train")


def test_wrong_options_are_refused(pets: Path) -> None:
    with pytest.raises(ValueError, match="channels 4"):
        Folder(str(pets), channels=4)
    with pytest.raises(ValueError, match="held_out 1"):
        Folder(str(pets), held_out=1)
