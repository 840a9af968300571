"""Files of weights of other projects, in both formats of `torch.save`."""

import io
import pickletools
import random
from pathlib import Path

import torch
from torch import Tensor

from cgd_lightning.checkpoints.state_dicts import read_state_dict
from tests.fuzz import pickles
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt

FILE = "weights.pth"


class Weights:
    """A good file of tensors with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        whole = torch.arange(12.0)
        state = {"a.weight": whole.reshape(3, 4), "a.bias": whole[1:4], "b": torch.tensor(2)}
        self.files = []
        for new in (False, False, True):
            file = io.BytesIO()
            torch.save(state, file, _use_new_zipfile_serialization=new)
            (folder / FILE).write_bytes(file.getvalue())
            read = read_state_dict(folder / FILE)
            assert list(read) == list(state)
            assert all(torch.equal(read[name], state[name]) for name in state)
            self.files.append(file.getvalue())
        self.begin = self.files[0][:21]

    def make(self, random: random.Random, folder: Path) -> str:
        data = random.choice(self.files)
        new = data is self.files[-1]
        what = random.choice(["bytes", "zip" if new else "words", "stream"])
        if what == "words":
            data = self._changed(random, data)
        elif what == "stream":
            data = self.begin + pickles.stream(random) + random.choice([b"", bytes(64)])
        else:
            data = (lying_zip if what == "zip" else damaged)(random, data)
        (folder / FILE).write_bytes(data)
        return f"{'new' if new else 'old'} format, {what}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: _sane(folder / FILE)]

    def _changed(self, random: random.Random, data: bytes) -> bytes:
        """One of the pickles of the old format, with other words."""
        parts, place = [], 0
        for _ in range(5):
            end = _end(data, place)
            parts.append(data[place:end])
            place = end
        number = random.choice([2, 3, 3, 3, 4])
        parts[number] = pickles.changed(random, pickles.split(parts[number]))
        return b"".join([*parts, data[place:]])


def _end(data: bytes, place: int) -> int:
    """Where the pickle that begins at `place` ends."""
    file = io.BytesIO(data[place:])
    for _ in pickletools.genops(file):
        pass
    return place + file.tell()


def _sane(file: Path) -> None:
    read = read_state_dict(file)
    assert all(type(name) is str and isinstance(t, Tensor) for name, t in read.items()), read
    for tensor in read.values():
        tensor.double().sum()
