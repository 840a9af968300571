"""Images and masks that `cgd edit` is given, as a file each or as folders."""

import io
import random
from pathlib import Path

import torch
from PIL import Image

from cgd_lightning.sampling.edit_images import EditImages, read_given
from tests.fuzz.damage import damaged
from tests.fuzz.outcome import Attempt
from tests.fuzz.pictures import OTHERS, SAVED, declared, saved
from tests.fuzz.samples import displaced

SHAPE, NAMES, FILES = (1, 7, 9), ("a", "b"), ("one.png", "two.png", "deep/three.png")


class Masks:
    """Good images and good masks; one of these is not as it should be."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        picture = Image.new("L", (9, 7), "black")
        self.image = _as_png(picture)
        picture.paste("white", (2, 2, 5, 5))
        self.mask = _as_png(picture)
        self.others = [(name, saved(name, mode)) for name, modes in SAVED.items() for mode in modes]
        self._write(folder)
        for resize in (False, True):
            for keep in ("outside", "inside"):
                _sane(folder, "masks", keep, resize)

    def make(self, random: random.Random, folder: Path) -> str:
        self._write(folder)
        self.keep, self.resize = random.choice(["outside", "inside"]), random.random() < 0.5
        self.one = random.random() < 0.3
        name = FILES[0] if self.one else random.choice(FILES)
        file = folder / random.choice(["masks", "masks", "masks", "images"]) / name
        sort = random.choices(["bytes", "size", "other", "place"], [45, 25, 20, 10])[0]
        data = self.mask
        if sort == "place":
            return displaced(random, random.choice([file, file.parent]))
        if sort == "bytes":
            data = damaged(random, data)
        elif sort == "size":
            data = declared(random, "PNG", data)
        else:
            data = random.choice([random.choice(self.others)[1], random.choice(OTHERS)])
        if random.random() < 0.2:
            file.unlink()
            file = file.with_suffix(random.choice([".gif", ".tif", ".pgm", ".jpg", ".webp"]))
        file.write_bytes(data)
        return f"{sort} of {file.parent.name}/{file.name}"

    def attempts(self, folder: Path) -> list[Attempt]:
        mask = f"masks/{FILES[0]}" if self.one else "masks"
        return [lambda: _sane(folder, mask, self.keep, self.resize)]

    def _write(self, folder: Path) -> None:
        for kind, data in (("images", self.image), ("masks", self.mask)):
            for name in FILES:
                (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / kind / name).write_bytes(data)


def _as_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _sane(folder: Path, mask: str, keep: str, resize: bool) -> None:
    wanted = EditImages(
        str(folder / "images"),
        resize=resize,
        mask=str(folder / mask),
        keep="inside" if keep == "inside" else "outside",
    )
    given = read_given(wanted, SHAPE, NAMES)
    assert given.images.shape[1:] == SHAPE, given.images.shape
    assert given.masks is not None
    assert given.masks.dtype == torch.bool
    assert given.masks.shape[1:] == (1, *SHAPE[1:]), given.masks.shape
    assert len(given.masks) in (1, len(given.images))
