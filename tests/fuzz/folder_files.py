"""A folder with a model in it, of whose files one is not as it should be."""

import json
import os
import random
from pathlib import Path

from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.record import hostile_json
from tests.fuzz.samples import displaced
from tests.fuzz.tensors import lying_tensors

Files = dict[str, bytes]
"""The files of a folder by their paths in it."""


def taken(folder: Path) -> Files:
    """The files of `folder`, with what is in them."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def written(folder: Path, files: Files) -> None:
    """Write `files` into `folder`; one of which nothing is known is left out."""
    for name, data in files.items():
        if data:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def spoiled(random: random.Random, folder: Path) -> str:
    """Spoil one of the files in `folder`, or what stands in its place; says what was done."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    file = random.choice(files)
    if random.random() < 0.08:
        return f"{displaced(random, random.choice([file, file.parent]))} at {file.name}"
    data = file.read_bytes()
    if file.suffix == ".json":
        sort, made = hostile_json(random, json.loads(data))
        sort, made = (sort, made) if random.random() < 0.9 else ("twice", _twice(random, data))
    elif file.suffix == ".safetensors":
        sort, made = lying_tensors(random, data)
    elif file.suffix == ".bin" and random.random() < 0.5:
        sort, made = "zip", lying_zip(random, data)
    else:
        sort, made = "bytes", damaged(random, data)
    file.write_bytes(made)
    if random.random() < 0.02:
        os.truncate(file, random.choice([0, 2**33]))  # so many bytes that take no room on the disk
        sort += ", cut or grown"
    return f"{sort} of {file.name}"


def _twice(random: random.Random, data: bytes) -> bytes:
    """JSON of a mapping with one of its names there twice."""
    name, value = random.choice(list(json.loads(data).items()))
    return b"{" + f"{json.dumps(name)}: {json.dumps(value)}, ".encode() + data.lstrip()[1:]
