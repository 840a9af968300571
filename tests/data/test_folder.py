import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning.data import folder as folders
from cgd_lightning.data import pictures
from cgd_lightning.data.folder import Folder, ImageFiles
from cgd_lightning.data.pictures import decode, decode_as_it_is
from cgd_lightning.errors import InputError


def paint(
    path: Path, colour: tuple[int, ...], size: tuple[int, int] = (20, 12), mode: str = "RGB"
) -> None:
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
    data, again = (
        Folder(str(pets), image_size=8, held_out=0.2),
        Folder(str(pets), image_size=8, held_out=0.2, seed=3),
    )
    parts = {name: data.split(name) for name in ("train", "val", "test")}
    assert {name: part.labels.bincount().tolist() for name, part in parts.items()} == {
        "train": [6, 6],
        "val": [2, 2],
        "test": [2, 2],
    }
    assert all(torch.equal(part.images, again.split(name).images) for name, part in parts.items())
    seen = [image.numpy().tobytes() for part in parts.values() for image in part.images]
    assert len(set(seen)) == 20


def test_a_folder_that_does_not_fit_in_memory_streams_the_same_images(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Folder(str(pets), image_size=8)
    monkeypatch.setattr(folders, "MOST_IN_MEMORY", 0)
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
    assert torch.equal(
        decode(tmp_path / "x.png", (3, 10, 10))[1], torch.full((10, 10), 255, dtype=torch.uint8)
    )
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
    "names that differ in case": (
        lambda root: (three(root / "cat"), three(root / "Cat")),
        "Cat, cat differ in case only",
    ),
    "a name that cannot be printed": (
        lambda root: (three(root / "cat"), three(root / "d\x1b[2Jg")),
        r"class 'd\\x1b\[2Jg'",
    ),
    "a name that is not UTF-8": (
        lambda root: (three(root / "cat"), three(root / os.fsdecode(b"d\xffg"))),
        r"class 'd\\udcffg'",
    ),
    "a text": (
        lambda root: (three(root / "cat"), three(root / "dog"), (root / "dog" / "a.txt").touch()),
        "a.txt: not an image",
    ),
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


def test_too_many_classes_are_refused(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_CLASSES", 1)
    with pytest.raises(ValueError, match="2 classes; wanted at most 1"):
        Folder(str(pets), image_size=8)


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 9 9
%%EndComments
(ran) (w) file closefile
"""


def test_a_postscript_file_starts_no_program_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    for ending in pictures.ENDINGS:
        file = tmp_path / f"x{ending}"
        file.write_bytes(EPS)
        with pytest.raises(InputError, match=f"x{ending}: not an image that can be read"):
            decode(file, (3, 8, 8))
    assert not (tmp_path / "ran").exists()


def png(width: int, height: int, mode: int = 0, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that says this size, and holds no pixels unless `chunks` do."""
    every = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)),
        *chunks,
        (b"IDAT", b""),
    )
    sums = [struct.pack(">I", zlib.crc32(name + data)) for name, data in every]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + s for (name, data), s in zip(every, sums)
    )


@pytest.mark.parametrize(
    ("size", "says"),
    [((2**13 + 1, 2**13), "8193 x 8192 pixels"), ((40_000, 40_000), "1600000000 pixels")],
)
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(
    size: tuple[int, int], says: str, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(png(*size))
    with pytest.raises(InputError, match=rf"x\.png: .*{says}.*anted at most 67108864") as refused:
        decode(tmp_path / "x.png", (3, 8, 8))
    assert "\n" not in str(refused.value)


def peak_memory() -> int:
    """The most MiB that this process has held since it last wrote 5 to /proc/self/clear_refs."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="asks Linux for the memory that was taken"
)
def test_an_image_with_transparency_takes_at_most_10_bytes_a_pixel(tmp_path: Path) -> None:
    """Which are 640 MiB for the largest."""
    rows = zlib.compress(bytes(2**26 + 2**12), 1)
    (tmp_path / "x.png").write_bytes(png(2**12, 2**12, 6, (b"IDAT", rows)))
    Path("/proc/self/clear_refs").write_text("5")
    start = peak_memory()
    assert decode(tmp_path / "x.png", (3, 8, 8))[:, 0, 0].tolist() == [255, 255, 255]
    assert peak_memory() - start < 160


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_images_lie_on_white(
    mode: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In strips of any height as at once."""
    noise = np.random.default_rng(0).integers(0, 256, (21, 13, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA")
    if mode in ("RGBA", "LA"):
        picture.convert(mode).save(tmp_path / "x.png")
    else:
        clear = {"P": 3, "L": int(noise[2, 2, 0]), "RGB": tuple(noise[2, 2, :3].tolist())}[mode]
        picture.convert("RGB").convert(mode).save(tmp_path / "x.png", transparency=clear)
    with Image.open(tmp_path / "x.png") as image:
        upright = image.convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert(
        "L" if channels == 1 else "RGB"
    )
    wanted = torch.from_numpy(np.array(white)).reshape(21, 13, channels).permute(2, 0, 1)
    monkeypatch.setattr(pictures, "ROWS", 4)
    assert torch.equal(decode(tmp_path / "x.png", (channels, 21, 13)), wanted)


def test_every_damage_of_an_image_is_one_line(tmp_path: Path) -> None:
    """Bytes that are changed at random, and a damaged entry of Exif, which Pillow meets with
    struct.error.
    """
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    picture = Image.fromarray(generator.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    whole = []
    for format_ in pictures.FORMATS:
        picture.save(
            file := io.BytesIO(),
            format_,
            **({"exif": exif} if format_ in ("PNG", "JPEG", "TIFF", "WEBP") else {}),
        )
        whole.append(file.getvalue())
    refused = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(700):
            contents = bytearray(whole[i % len(whole)])
            for place in generator.integers(0, min(len(contents), 300), 1 + i % 5):
                contents[place] = generator.integers(0, 256)
            (tmp_path / "x.png").write_bytes(contents)
            try:
                assert decode(tmp_path / "x.png", (3, 8, 8)).shape == (3, 8, 8)
            except InputError as error:
                refused.append(str(error))
    assert 100 < len(refused) < 700
    assert all("x.png: " in error and "\n" not in error for error in refused)
    odd = (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", 2)
        + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
        + struct.pack("<HHIf", 0x0111, 11, 1, 1.5)
    )
    (tmp_path / "x.png").write_bytes(
        png(1, 1, 0, (b"eXIf", odd), (b"IDAT", zlib.compress(b"\0\0")))
    )
    with pytest.raises(InputError, match=r"x\.png: not an image that can be read"):
        decode(tmp_path / "x.png", (3, 8, 8))


def test_the_upper_8_of_16_bits_count_and_floats_are_refused(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for name in ("wide.png", "wide.tiff", "wide.pgm"):
        file = tmp_path / name
        Image.fromarray(grey.astype(np.uint16) * 257).save(file)
        assert torch.equal(decode_as_it_is(file)[0], torch.from_numpy(grey))
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "floats.tiff")
    with pytest.raises(InputError, match="pixels of mode F; wanted 8 or 16 bits"):
        decode_as_it_is(tmp_path / "floats.tiff")


def test_all_files_that_are_wrong_are_counted_and_the_first_few_are_named(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        three(tmp_path / name)
        for place in range(3):
            (tmp_path / name / f"{place}.txt").touch()
    with pytest.raises(InputError) as refused:
        Folder(str(tmp_path))
    assert "6 files are not images by their endings" in str(refused.value)
    assert "cat/0.txt, cat/1.txt, cat/2.txt and 3 more; take them away" in str(refused.value)


def test_all_images_that_are_damaged_are_counted_and_the_first_few_are_named(pets: Path) -> None:
    files = sorted((pets / "dog").iterdir())
    for file in files[:5]:
        file.write_bytes(file.read_bytes()[:40])
    every = ImageFiles(files, torch.zeros(len(files), dtype=torch.int64), (3, 8, 8))
    with pytest.raises(InputError) as refused:
        every.in_memory()
    said = str(refused.value)
    assert said.startswith(f"5 of {len(files)} images cannot be taken: {files[0]}: not an image")
    assert f"{files[2]}: " in said
    assert f"{files[3]}: " not in said
    assert said.endswith(" and 2 more")


def test_all_classes_that_are_too_small_are_counted(tmp_path: Path) -> None:
    for name in ("cat", "dog", "elk"):
        three(tmp_path / name)
    for name in ("cat", "elk"):
        (tmp_path / name / "0.png").unlink()
    with pytest.raises(InputError, match=r"2 classes have too few images, cat: 2, elk: 2; each"):
        Folder(str(tmp_path))


@pytest.mark.parametrize(
    ("above", "says"),
    [
        (["train"], "its train holds the classes, cat, dog; give {}/train"),
        (["val", "train", "test"], "test, train, val are parts of a data set"),
        (["photos/train"], "its train holds the classes, cat, dog; give {}/photos/train"),
    ],
)
def test_a_root_that_is_one_level_too_high_is_told_the_right_one(
    above: list[str], says: str, tmp_path: Path
) -> None:
    for folder in above:
        for name in ("cat", "dog"):
            three(tmp_path / folder / name)
    with pytest.raises(InputError, match="one level too high") as refused:
        Folder(str(tmp_path))
    assert says.format(tmp_path) in str(refused.value)
    right = str(tmp_path / next(folder for folder in above if "train" in folder))
    assert f"give {right}" in str(refused.value)
    assert Folder(right).class_names == ("cat", "dog")


def test_classes_whose_images_lie_in_sub_folders_are_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for part in ("a", "b"):
            three(tmp_path / name / part)
    three(tmp_path / "train" / "steam")  # a class may be called like a split
    assert Folder(str(tmp_path)).class_names == ("cat", "dog", "train")
