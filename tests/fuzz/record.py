"""samples.json, from which `cgd sample --from` takes its options."""

import json
import random
from pathlib import Path

from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.sampling.record import read_options, read_request
from tests.fuzz import values
from tests.fuzz.damage import damaged
from tests.fuzz.outcome import Attempt

GOOD = {
    "made_by": "cgd-lightning 0.1.0",
    "scale": "0 is off",
    "options": {
        "ckpt": "runs/diffusion",
        "classifier": "runs/classifier",
        "scale": 2.0,
        "labels": "3,7",
        "num_samples": 4,
        "sampler": {
            "class_path": "cgd_lightning.diffusion.samplers.DDIM",
            "init_args": {"steps": 20, "eta": 0.0, "spacing": "uniform"},
        },
        "guidance": [
            {
                "class_path": "cgd_lightning.diffusion.guidance.ClassifierFree",
                "init_args": {"scale": 2.0},
            },
            {
                "class_path": "cgd_lightning.diffusion.guidance.ClassifierGuidance",
                "init_args": {
                    "scale": 2.0,
                    "weight": {
                        "class_path": "cgd_lightning.diffusion.guidance.Interval",
                        "init_args": {"low": -1.0, "high": 4.0},
                    },
                },
            },
        ],
        "clamp": "outside",
        "seed": 0,
        "batch_size": 4,
        "format": "png",
        "weights": "ema",
        "device": "auto",
        "precision": "fp32",
        "compile": False,
    },
    "images": {"count": 4, "labels": [0, 1, 0, 1]},
}


class Record:
    """The good record with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        (folder / "samples.json").write_text(json.dumps(GOOD), encoding="utf-8")
        read_request(folder / "samples.json")

    def make(self, random: random.Random, folder: Path) -> str:
        what, data = hostile_json(random, GOOD)
        (folder / "samples.json").write_bytes(data)
        return what

    def attempts(self, folder: Path) -> list[Attempt]:
        file = folder / "samples.json"
        return [lambda: read_options(file, Trust()), lambda: read_request(file)]


def hostile_json(random: random.Random, good: dict[str, object]) -> tuple[str, bytes]:
    """(what it is, the JSON) of `good` with something wrong in its values, text or bytes."""
    sort = random.choices(["values", "bytes", "text"], [70, 22, 8])[0]
    if sort == "values":
        return sort, json.dumps(
            values.mutated(random, good), indent=random.choice([None, 1])
        ).encode()
    if sort == "bytes":
        return sort, damaged(random, json.dumps(good).encode())
    return sort, random.choice(TEXTS)


MANY = 100_000
TEXTS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"[" * MANY,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * MANY,
    b'{"options": {"seed": ' + b"9" * 5000 + b"}}",
    b'{"options": {"seed": ' + b"9" * MANY * 10 + b"}}",
    b'{"images": {"labels": [' + b"9" * 5000 + b"]}}",
    b'{"images": {"labels": [' + b"0," * MANY + b"0]}}",
    b'{"images": {"labels": [' + b"0," * 15 * MANY + b"0]}}",
    b'{"options": {"labels": "' + b"\\u0000" * MANY + b'"}}',
    b'{"options": {"guidance": ' + b"[" * 500 + b"]" * 500 + b"}}",
    b'{"options": ' + b"[{}," * 900 + b"0" + b"]" * 900 + b"}",
    b'{"options": {"guidance": [' + b"{}," * MANY + b"{}]}}",
    b'{"options": {' + b",".join(b'"x%d": 1' % n for n in range(MANY)) + b"}}",
    b'{"options": {"sampler": {"class_path": "' + b"a." * MANY + b'a"}}}',
    b'{"options": {"guidance": '
    + b'{"class_path": "Chain", "init_args": {"rules": [' * 200
    + b"]}}" * 200
    + b"}}",
    b'{"options": {"scale": 1e400}}',
    b'{"options": {"scale": -Infinity}}',
    b'{"options": {"scale": NaN}}',
    b" " * 17 * 2**20,
]
