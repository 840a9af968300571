"""Images in a folder with a sub-folder for each class."""

import io
import os
import random
import struct
import zlib
from pathlib import Path

from PIL import Image

from cgd_lightning.data.folder import Folder, list_images
from cgd_lightning.data.pictures import decode
from tests.fuzz.damage import LIES, damaged
from tests.fuzz.outcome import Attempt

SUFFIXES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".ppm", ".pgm", ".PNG"]

SAVED = {
    "PNG": ["1", "L", "LA", "I;16", "P", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "I", "F", "P", "RGB", "RGBA", "CMYK", "LAB", "YCbCr"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
    "PPM": ["1", "L", "RGB"],
    "ICO": ["RGB"],
    "TGA": ["RGB"],
    "PCX": ["L"],
    "SGI": ["RGB"],
    "DDS": ["RGB"],
}

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%Pages: 1
%%EndComments
(../canary/new) (w) file closefile
showpage
"""
OTHERS = [
    EPS,
    b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n",
    b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    b"P6 99999 99999 255\n",
    b"P6 1 1 65536\n" + bytes(6),
    b"P5 8192 8192 255\n",
    b"P6 8 8 255\n" + bytes(3),
    b"P3 2 2 255\n" + b"9" * 5000,
    b"P1 9 9\n" + b"2 " * 81,
    b"P4\n# " + b"x" * 100_000,
    b"Pf 8 8 -1.0\n" + bytes(256),
    b"GIF89a" + b"\xff" * 40,
    b"",
    b"\0" * 1000,
]


class Pictures:
    """A folder of three classes; one image, or the folder itself, is not as it should be."""

    may_read = True

    def prepare(self, folder: Path) -> None:
        self.good = [(name, saved(name, mode)) for name, modes in SAVED.items() for mode in modes]
        file = folder / "good.png"
        file.write_bytes(dict(self.good)["PNG"])
        decode(file, (3, 8, 8))

    def make(self, random: random.Random, folder: Path) -> str:
        name, data = random.choice(self.good)
        sort = random.choices(["bytes", "size", "other", "good"], [70, 20, 8, 2])[0]
        if sort == "bytes":
            data = damaged(random, data)
        elif sort == "size":
            data = declared(random, name, data)
        elif sort == "other":
            name, data = "other", random.choice(OTHERS)
        (folder / "root/a").mkdir(parents=True)
        (folder / "root/b").mkdir()
        # Both are links of the same bytes, so that reading all takes no longer than reading some.
        self.file = folder / "root/a" / f"x{random.choice(SUFFIXES)}"
        self.file.write_bytes(data)
        whole = saved("PNG", "RGB")
        for path in ("a/1", "a/2", "b/0", "b/1", "b/2"):
            (folder / "root" / f"{path}.png").write_bytes(whole)
        tree = random.random() < 0.3
        return f"{sort} of {name}" + (_disturbed(random, folder / "root") if tree else "")

    def attempts(self, folder: Path) -> list[Attempt]:
        return [
            lambda: _sane(self.file, (3, 8, 8)),
            lambda: _sane(self.file, (1, 5, 5)),
            lambda: list_images(folder / "root"),
            lambda: Folder(str(folder / "root"), image_size=8).split("train"),
        ]


def saved(name: str, mode: str) -> bytes:
    """The bytes of a picture of 9 x 7 in this format and mode."""
    file = io.BytesIO()
    picture = Image.effect_noise((9, 7), 90).convert("L" if mode in ("LAB", "I;16") else mode)
    picture = picture.convert("RGB").convert(mode) if mode == "LAB" else picture
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if name in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    picture.save(file, name, **options)
    return file.getvalue()


def declared(random: random.Random, name: str, data: bytes) -> bytes:
    """`data` that says another width and height in its header, whose checksum is right."""
    width, height = random.choice(SIDES), random.choice(SIDES)
    if name == "PNG":
        header = struct.pack(">II", width, height) + data[24:29]
        sum_of = struct.pack(">I", zlib.crc32(b"IHDR" + header))
        return data[:16] + header + sum_of + data[33:]
    if name == "BMP":
        return data[:18] + struct.pack("<II", width, height) + data[26:]
    if name == "GIF":
        return data[:6] + struct.pack("<HH", width % 2**16, height % 2**16) + data[10:]
    if name == "JPEG":
        place = data.find(b"\xff\xc0") + 5
        return data[:place] + struct.pack(">HH", height % 2**16, width % 2**16) + data[place + 4 :]
    if name == "PPM":
        return data[:3] + b"%d %d\n255\n" % (width, height) + data[-200:]
    place = random.randrange(len(data))
    return data[:place] + struct.pack("<I", random.choice(LIES) % 2**32) + data[place + 4 :]


SIDES = [0, 1, 8, 255, 4096, 8191, 8192, 16_384, 30_000, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1]


def _disturbed(random: random.Random, root: Path) -> str:
    """Change something in the folder itself; says what."""
    what = random.choice(
        ["name", "link", "loop", "pipe", "file", "case", "deep", "class", "folder", "empty"]
    )
    if what == "name":
        name = random.choice(
            [b"\xff.png", b"a\nb.png", b"\x1b[31m.png", b"x" * 240 + b".png", b"x.txt", b"\n.exe"]
        )
        Path(os.fsdecode(bytes(root / "a") + b"/" + name)).write_bytes(b"")
    elif what == "link":
        (root / "a/link.png").symlink_to(root.parent.parent / "canary/target")
    elif what == "loop":
        (root / "a/loop").symlink_to(root)
        (root / "b/own.png").symlink_to("own.png")
    elif what == "pipe":
        os.mkfifo(root / "a/pipe.png")
    elif what == "file":
        (root / "c").write_bytes(b"")
    elif what == "case":
        (root / "A").mkdir()
    elif what == "deep":
        (root / ("c/" * 200)).mkdir(parents=True)
    elif what == "class":
        name = random.choice(
            [b"\xff", b"\n", b"\x1b[31m", "ü".encode(), b"x" * 250, b" ", b"../a", b"c"]
        )
        os.makedirs(bytes(root) + b"/" + name, exist_ok=True)
    elif what == "folder":
        (root / "a/x.png.png").mkdir()
    elif what == "empty":
        (root / "c").mkdir()
    return f", {what}"


def _sane(file: Path, shape: tuple[int, int, int]) -> None:
    image = decode(file, shape)
    assert tuple(image.shape) == shape, image.shape
