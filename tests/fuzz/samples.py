"""Folders of samples, as PNG files or as one samples.npz, which `cgd evaluate` reads."""

import io
import json
import os
import random
import re
from pathlib import Path

import numpy as np

from cgd_lightning.sampling.stored import read_samples
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt
from tests.fuzz.pictures import EPS, declared, saved
from tests.fuzz.record import GOOD, hostile_json

COUNT, SHAPE, NAMES = 4, (1, 7, 9), ("a", "b")


class Samples:
    """A good folder with something wrong in one of its files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        file = io.BytesIO()
        images = np.arange(COUNT * 63, dtype=np.uint8).reshape(COUNT, 7, 9, 1)
        np.savez(file, arr_0=images, arr_1=np.array([0, 1, 0, 1]))
        self.npz, self.png = file.getvalue(), saved("PNG", "L")
        mixed = {"count": COUNT, "targets": [0, [0.5, 0.5]], "target_of_image": [0, 1, 0, 1]}
        self.records = [GOOD, {**GOOD, "images": mixed}]
        for number, kind in enumerate(("npz", "png")):
            (folder / kind).mkdir()
            self._write(folder / kind, kind, json.dumps(self.records[0]).encode())
            images, targets = read_samples(folder / kind, SHAPE, NAMES)
            assert images.shape == (COUNT, *SHAPE), images.shape
            assert list(targets) == [0, 1, 0, 1], (number, targets)

    def make(self, random: random.Random, folder: Path) -> str:
        kind = random.choice(["npz", "npz", "png"])
        record = json.dumps(
            random.choice(self.records) if kind == "png" else self.records[0]
        ).encode()
        if random.random() < 0.3:
            what, record = hostile_json(random, random.choice(self.records))
            self._write(folder, kind, record)
            return f"{kind}, record: {what}"
        self._write(folder, kind, record)
        return f"{kind}, {(self._spoil_npz if kind == 'npz' else self._spoil_png)(random, folder)}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [
            lambda: _sane(folder, SHAPE, NAMES),
            lambda: _sane(folder, None, None),
        ]

    def _write(self, folder: Path, kind: str, record: bytes) -> None:
        (folder / "samples.json").write_bytes(record)
        if kind == "npz":
            (folder / "samples.npz").write_bytes(self.npz)
            return
        (folder / "images").mkdir()
        for index in range(COUNT):
            (folder / f"images/{index:04}-{NAMES[index % 2]}.png").write_bytes(self.png)

    def _spoil_npz(self, random: random.Random, folder: Path) -> str:
        file = folder / "samples.npz"
        what = random.choices(["bytes", "zip", "header", "arrays", "place"], [30, 25, 25, 15, 5])[0]
        if what == "place":
            return displaced(random, file)
        make = {"bytes": damaged, "zip": lying_zip, "header": _header, "arrays": _arrays}[what]
        file.write_bytes(make(random, self.npz))
        return what

    def _spoil_png(self, random: random.Random, folder: Path) -> str:
        file = folder / "images" / f"{random.choice(['0000-a', '0001-b', '0003-b'])}.png"
        what = random.choices(["bytes", "size", "other", "place", "name"], [40, 25, 10, 10, 15])[0]
        if what == "bytes":
            file.write_bytes(damaged(random, self.png))
        elif what == "size":
            file.write_bytes(declared(random, "PNG", self.png))
        elif what == "other":
            other = random.choice(
                [("PNG", "RGB"), ("PNG", "P"), ("PNG", "RGBA"), ("TIFF", "L"), ("JPEG", "L")]
            )
            file.write_bytes(random.choice([saved(*other), EPS]))
        elif what == "place":
            return displaced(random, random.choice([file, file.parent]))
        else:
            names = [
                b"0000.png",
                b"0001-\xff.png",
                b"0002-\n.png",
                b"x",
                b"0009-a.png",
                b"\x1b[31m",
                b".hidden",
            ]
            os.rename(file, bytes(file.parent) + b"/" + random.choice(names))
        return what


def displaced(random: random.Random, file: Path) -> str:
    """Something else stands where `file` was."""
    moved = file.with_name("moved")
    os.rename(file, moved)
    what = random.choice(["nothing", "link", "away", "dangling", "folder", "pipe", "itself"])
    if what == "link":
        file.symlink_to(moved)
    elif what == "away":
        # A folder that may be lost: a reader that has a fault could write into it or empty it.
        outside = moved.with_name("outside")
        outside.mkdir()
        (outside / "precious").write_text("not of the case", encoding="utf-8")
        file.symlink_to("/proc/self/environ" if file.suffix else outside)
    elif what == "dangling":
        file.symlink_to("nowhere")
    elif what == "itself":
        file.symlink_to(file)
    elif what == "folder":
        file.mkdir()
    elif what == "pipe":
        os.mkfifo(file)
    return what


def _header(random: random.Random, data: bytes) -> bytes:
    """Another text of the same length where the first array says its shape and type."""
    match = re.search(rb"\{'descr'.*?\}", data)
    assert match is not None
    texts = [
        b"{'descr': '|O', 'fortran_order': False, 'shape': (4, 7, 9, 1), }",
        b"{'descr': '|u1', 'fortran_order': True, 'shape': (4, 7, 9, 1), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9**99,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999999999999,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -7, 9, 1), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 7, 9, True), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (252,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': 4, }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 7, 9, 1), }",
        b"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (4, 7, 9, 1), }",
        b"{'descr': ('|u1', (9999999,)), 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<U999999999', 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '|V0', 'fortran_order': False, 'shape': (4, 7, 9, 1), }",
        b"{'descr': [], 'fortran_order': False, 'shape': (4, 7, 9, 1), }",
        b"__import__('os').system('touch ../canary/new')",
        b"{'descr': open('../canary/new', 'w'), 'shape': ()}",
        b"(" * 90,
        b"-" * 90,
        b"{" * 90,
        b"1" * 90,
        b"[" + b"9," * 40 + b"]",
        b"\0" * 90,
        b"\xff" * 90,
        b"{}",
        b"None",
    ]
    text = random.choice(texts)
    room = data.find(b"\n", match.start()) - match.start()
    return data[: match.start()] + text[:room].ljust(room) + data[match.start() + room :]


def _arrays(random: random.Random, _: bytes) -> bytes:
    """Whole arrays of other shapes and types."""
    shape = random.choice(
        [(4, 7, 9, 1), (4, 7, 9, 3), (4, 7, 9, 2), (3, 7, 9, 1), (4, 1, 1, 1), (4, 63), (0,), ()]
    )
    types = [
        np.uint8,
        np.int8,
        np.float32,
        np.bool_,
        np.complex64,
        "U1",
        "M8[s]",
        object,
        np.uint16,
    ]
    images = np.zeros(shape, random.choice(types) if random.random() < 0.6 else np.uint8)
    classes = np.array(
        random.choice([[0, 1, 0, 1], [0, 1], [9] * 4, [[0]] * 4, [0.5] * 4, [2**63] * 4, ["a"] * 4])
    )
    names = random.choice(
        [("arr_0", "arr_1"), ("arr_0", "x"), ("x", "arr_1"), ("arr_0", "../../x")]
    )
    file = io.BytesIO()
    save = random.choice([np.savez, np.savez, np.savez_compressed])
    save(file, **dict(zip(names, (images, classes), strict=True)))
    return file.getvalue()


def _sane(folder: Path, shape: tuple[int, ...] | None, names: tuple[str, ...] | None) -> None:
    images, targets = read_samples(folder, shape, names)
    assert images.dim() == 4, images.shape
    assert len(images) == len(targets), (len(images), len(targets))
    assert shape is None or tuple(images.shape[1:]) == shape, images.shape
