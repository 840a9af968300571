"""Folders of edits, as PNG files or as one edits.npz, and their true masks, which `cgd evaluate`
reads.
"""

import io
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from cgd_lightning.sampling.edit_source import read_edits
from cgd_lightning.sampling.true_masks import read_true_masks
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt
from tests.fuzz.pictures import declared, saved
from tests.fuzz.record import hostile_json
from tests.fuzz.samples import displaced

COUNT, SHAPE, NAMES = 4, (1, 7, 9), ("a", "b")


def entry(index: int) -> dict[str, object]:
    """What edits.json says of one image."""
    said = {"class": "a", "p": 0.75, "p_to": 0.25}
    return {
        "source": f"x/{index}.png",
        "label": NAMES[index % 2],
        "to": ["b", "a", "a|b", "!a"][index],
        "guide": {"before": said, "after": {**said, "class": "b"}},
        "judge": None,
        "distance": 3.5,
        "changed": 0.125,
    }


GOOD = {
    "made_by": "cgd-lightning 0.1.0",
    "scale": "0 is off",
    "options": {"ckpt": "runs/diffusion", "images": "test"},
    "images": {
        "count": COUNT,
        "hash": None,
        "masks_hash": None,
        "full_colour": 20.0,
        "class_names": list(NAMES),
    },
    "summary": {"n": COUNT},
    "edits": [entry(index) for index in range(COUNT)],
}

KINDS = "file,kind\n" + "".join(f"x/{index}.png,blot\n" for index in range(COUNT))


class Edits:
    """A good folder, and good masks, with something wrong in one of their files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        file = io.BytesIO()
        images = np.arange(COUNT * 63, dtype=np.uint8).reshape(COUNT, 7, 9, 1)
        np.savez(file, originals=images, edited=images, labels=np.array([0, 1, 0, 1]))
        self.npz, self.png = file.getvalue(), saved("PNG", "L")
        mask = io.BytesIO()
        Image.new("L", (9, 7), "white").save(mask, "PNG")
        self.mask = mask.getvalue()
        for kind in ("npz", "png"):
            (folder / kind).mkdir()
            self._write(folder / kind, kind, json.dumps(GOOD).encode())
            edits = read_edits(folder / kind / "edits", NAMES, SHAPE)
            assert edits.targets == [1, 0, (1.0, 1.0), (0.0, 1.0)], edits.targets
            assert edits.labels == [0, 1, 0, 1], edits.labels
            masks = read_true_masks(folder / kind / "true", edits)
            assert masks.kind_names == ("blot",), masks.kind_names

    def make(self, random: random.Random, folder: Path) -> str:
        kind = random.choice(["npz", "png", "png"])
        record = json.dumps(GOOD).encode()
        if random.random() < 0.5:
            what, record = hostile_json(random, GOOD)
            self._write(folder, kind, record)
            return f"{kind}, record: {what}"
        self._write(folder, kind, record)
        return f"{kind}, {self._spoil(random, folder, kind)}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [
            lambda: _sane(folder, SHAPE, NAMES),
            lambda: _sane(folder, None, None),
        ]

    def _write(self, folder: Path, kind: str, record: bytes) -> None:
        edits, true = folder / "edits", folder / "true"
        (true / "masks/x").mkdir(parents=True)
        edits.mkdir()
        (edits / "edits.json").write_bytes(record)
        (true / "kinds.csv").write_text(KINDS, encoding="utf-8")
        for index in range(COUNT):
            (true / f"masks/x/{index}.png").write_bytes(self.mask)
        if kind == "npz":
            (edits / "edits.npz").write_bytes(self.npz)
            return
        for part in ("originals", "edited"):
            (edits / part).mkdir()
            for index in range(COUNT):
                (edits / part / f"{index:04}-{index}.png").write_bytes(self.png)

    def _spoil(self, random: random.Random, folder: Path, kind: str) -> str:
        picture, mask = folder / "edits/edited/0001-1.png", folder / "true/masks/x/1.png"
        arrays, kinds = folder / "edits/edits.npz", folder / "true/kinds.csv"
        file = random.choice([arrays if kind == "npz" else picture, mask, kinds])
        data = file.read_bytes()
        what = random.choice(["bytes", "bytes", "bytes", "zip", "size", "place"])
        if what == "place":
            return displaced(random, random.choice([file, file.parent]))
        if what == "size" and file.suffix == ".png":
            file.write_bytes(declared(random, "PNG", data))
        elif what == "zip" and file.suffix == ".npz":
            file.write_bytes(lying_zip(random, data))
        else:
            file.write_bytes(damaged(random, data))
        return f"{what} of {file.name}"


def _sane(folder: Path, shape: tuple[int, ...] | None, names: tuple[str, ...] | None) -> None:
    edits = read_edits(folder / "edits", names, shape)
    assert edits.originals.shape == edits.edited.shape, edits.edited.shape
    assert len(edits.sources) == len(edits.originals), edits.sources
    assert edits.targets is None or len(edits.targets) == len(edits.sources), edits.targets
    masks = read_true_masks(folder / "true", edits).masks
    assert masks.shape == (len(edits.sources), 1, *edits.originals.shape[2:]), masks.shape
