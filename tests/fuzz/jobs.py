"""What a sampling job that was killed left in its folder, from which the same command goes on."""

import json
import random
from contextlib import suppress
from pathlib import Path

import torch

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import Claim, claim
from cgd_lightning.sampling.files import SampleFolder
from cgd_lightning.sampling.stored import read_samples
from tests.fuzz import values
from tests.fuzz.arrays import as_npy, hostile_array, lying_npy
from tests.fuzz.damage import damaged
from tests.fuzz.folder_files import Files, taken, written
from tests.fuzz.outcome import Attempt
from tests.fuzz.pictures import EPS, declared, saved
from tests.fuzz.record import hostile_json
from tests.fuzz.samples import displaced

COUNT, SHAPE, NAMES = 4, (1, 7, 9), {0: "a", 1: "b"}
REQUEST = {"seed": 0, "num_samples": COUNT, "networks": {"diffusion": "0" * 16}}
IMAGES = torch.arange(COUNT * 63).reshape(COUNT, *SHAPE).to(torch.uint8)


class Jobs:
    """A good folder of pieces with something wrong in one of its files."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        self.good: dict[str, Files] = {}
        for kind in ("npz", "png"):
            place = folder / kind
            with suppress(InputError), claim(place, REQUEST, keep=True) as own:
                _folder(own, kind).add(0, IMAGES[:2])
                _folder(own, kind).add(2, IMAGES[2:])
                raise InputError("killed")
            self.good[kind] = taken(place)
            self._sane(place, kind)

    def make(self, random: random.Random, folder: Path) -> str:
        self.kind, self.folder = random.choice(["npz", "png"]), folder / "D"
        written(self.folder, self.good[self.kind])
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        file = random.choice(files)
        data, what = file.read_bytes(), "bytes"
        sort = random.choices(["own", "bytes", "place", "name"], [60, 20, 10, 10])[0]
        if sort == "place":
            return f"{displaced(random, random.choice([file, file.parent]))} at {file.name}"
        if sort == "name":
            names = ["00000000.npy", "00000001.npy", "99999999.size", "9" * 30 + ".npy", "x", "²"]
            file.rename(file.with_name(random.choice([*names, "²³.size", ".x.tmp"])))
            return f"name of {file.name}"
        if sort == "bytes":
            data = damaged(random, data)
        elif file.suffix == ".json":
            what, data = hostile_json(random, REQUEST)
            if random.random() < 0.3:
                file = self.folder / "samples.json"
                made = {"options": {"seed": 0, "num_samples": COUNT}, "networks": None}
                data = json.dumps(values.mutated(random, made)).encode()
        elif file.suffix == ".npy":
            array = IMAGES[:2].permute(0, 2, 3, 1).numpy()
            data = random.choice(
                [
                    lying_npy(random, data),
                    as_npy(hostile_array(random, array)),
                    b"PK\x03\x04" + data,
                    b"\x80\x04]." + data,
                ]
            )
        elif file.suffix == ".png":
            other = saved(*random.choice([("PNG", "RGB"), ("JPEG", "L"), ("GIF", "L")]))
            data = random.choice([EPS, declared(random, "PNG", data), other])
        else:
            words = ["", "0", "3", "-1", "9" * 5000, "²", "\x00", "x" * 10**6, "1\n"]
            data = random.choice(words).encode()
        file.write_bytes(data)
        return f"{what} of {file.name}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: self._sane(self.folder, self.kind)]

    def _sane(self, folder: Path, kind: str) -> None:
        """The job ends with samples that can be read, of the right shape."""
        with claim(folder, REQUEST, keep=True) as own:
            if own.made:
                return
            job = _folder(own, kind)
            there = job.taken(dict.fromkeys((0, 2), (2, 7, 9, 1)))
            for start in (0, 2):
                if start not in there:
                    job.add(start, IMAGES[start : start + 2])
            job.finish({"options": {"seed": 0}, "networks": {}})
        images, _ = read_samples(folder, SHAPE, tuple(NAMES.values()))
        assert images.shape == (COUNT, *SHAPE), images.shape


def _folder(own: Claim, kind: str) -> SampleFolder:
    return SampleFolder(own, [0, 1, 0, 1], NAMES, "npz" if kind == "npz" else "png")
