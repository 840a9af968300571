"""Checkpoints: their values, their pickle, their zip and their bytes."""

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear
from cgd_lightning.networks import MLP, ConvNet, MLPClassifier
from cgd_lightning.training.training_file import check_whole, read_training
from tests.fuzz import pickles, values
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt
from tests.fuzz.small_unet import small_unet
from tests.fuzz.trained import Training

NAMES, SHAPE, FILE = ["a", "b"], (1, 8, 8), "case.ckpt"


class Checkpoint:
    """One of four good checkpoints, with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        unet = small_unet(1, [1])
        data = DataSpec(SHAPE, NAMES, (0.5, 0.5))
        models = [
            Denoiser(unet, Cosine(), "v", data),
            Denoiser(MLP(8, 1, 1, width=8, depth=1), Linear(), "eps", data),
            NoisyClassifier(MLPClassifier(8, 1, 2, width=8, depth=1), Cosine(), data),
            CleanClassifier(ConvNet(8, 1, 2, width=2), data),
        ]
        files = [folder / f"{number}.ckpt" for number in range(len(models))]
        for model, file in zip(models, files, strict=True):
            checkpoints.save(model, file, "dots", "runs/other")
        self.training = Training(folder / "run")
        self.training.go_on(self.training.file)
        self.bytes = [file.read_bytes() for file in (*files, self.training.file)]
        self.contents = [torch.load(io.BytesIO(data), weights_only=True) for data in self.bytes]
        self.entries = [_entries(data) for data in self.bytes]
        self.words = [pickles.split(entries["data.pkl"]) for entries in self.entries]

    def make(self, random: random.Random, folder: Path) -> str:
        number = random.choice([0, 1, 2, 3, 4, 4, 4])
        self.trains = number == 4
        sort = random.choices(
            ["values", "words", "stream", "zip", "bytes", "balloon"], [50, 12, 10, 12, 16, 0.1]
        )[0]
        made = getattr(self, f"_{sort}")(random, number)
        (folder / FILE).write_bytes(made)
        return f"{sort} of {'training' if self.trains else number}"

    def attempts(self, folder: Path) -> list[Attempt]:
        file = folder / FILE
        readers = [
            lambda: _try_out(checkpoints.load(file)),
            lambda: checkpoints.load(file, weights="raw"),
            lambda: checkpoints.read(file),
            lambda: checkpoints.sizes(file),
            lambda: checkpoints.stored_config(file),
            lambda: check_whole(file),
            lambda: read_training(file),
        ]
        return [*readers, lambda: self.training.go_on(file)] if self.trains else readers

    def _values(self, random: random.Random, number: int) -> bytes:
        contents = values.mutated(random, self.contents[number], _value)
        file = io.BytesIO()
        try:
            torch.save(contents, file)
        except Exception:  # of what torch does not write, such as text that is no UTF-8
            return self._words(random, number)
        return file.getvalue()

    def _words(self, random: random.Random, number: int) -> bytes:
        return self._zipped(random, number, pickles.changed(random, self.words[number]))

    def _stream(self, random: random.Random, number: int) -> bytes:
        return self._zipped(random, number, pickles.stream(random))

    def _zipped(self, random: random.Random, number: int, pickle: bytes) -> bytes:
        entries = self.entries[number] | {"data.pkl": pickle}
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in entries.items():
                archive.writestr(f"archive/{name}", data)
        return file.getvalue()

    def _zip(self, random: random.Random, number: int) -> bytes:
        if random.random() < 0.6:
            return lying_zip(random, self.bytes[number])
        file, entries = io.BytesIO(), list(self.entries[number].items())
        how = random.choice(
            [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
        )
        root = random.choice(["archive/", "", "/", "../", "a/b/", "archive/archive/", "a\\"])
        random.shuffle(entries)
        more = random.choice(
            [[], entries, entries[:1], [(".data/x", b"")] * 3, [("data.pkl/", b"")]]
        )
        if random.random() < 0.1:
            entries, how = (
                [("data.pkl", bytes(30_000_000))],
                random.choice([0, zipfile.ZIP_DEFLATED]),
            )
        if random.random() < 0.1:
            more, how = [(f"data/{name}", b"") for name in range(random.choice([2000, 66_000]))], 0
        with zipfile.ZipFile(file, "w", how) as archive:
            for name, data in [*entries, *more]:
                archive.writestr(zipfile.ZipInfo(root + name), data, how)
        return file.getvalue()

    def _bytes(self, random: random.Random, number: int) -> bytes:
        return damaged(random, self.bytes[number])

    def _balloon(self, random: random.Random, number: int) -> bytes:
        """A network of hundreds of millions of weights, all views of one storage of some."""
        width, depth = random.choice([(1024, 40), (2048, 40)])
        with torch.device("meta"):
            network = MLP(8, 1, 1, width=width, depth=depth)
        wanted = Denoiser(network, Linear(), "eps", DataSpec(SHAPE, NAMES))
        storage = torch.zeros(width * width + 1, dtype=torch.float16)
        state = {
            f"ema.{name}": storage[: tensor.numel()].view(tensor.shape)
            if tensor.numel()
            else tensor
            for name, tensor in wanted.state_dict().items()
        }
        file = io.BytesIO()
        torch.save({"cgd": checkpoints.describe(wanted), "state_dict": state}, file)
        return file.getvalue()


def _entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def _try_out(model: Any) -> None:
    """Use a model that was loaded, as `cgd sample` would, on one image if it is a small one."""
    assert isinstance(model, tuple(checkpoints.KINDS.values())), type(model)
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    if len(model.image_shape) == 3 and torch.Size(model.image_shape).numel() <= 10_000:
        x, t = torch.zeros(1, *model.image_shape), torch.zeros(1)
        with torch.no_grad():
            model.network(x) if isinstance(model, CleanClassifier) else model.network(x, t)


def _value(random: random.Random) -> Any:
    return _tensor(random) if random.random() < 0.25 else values.hostile(random)


DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int8,
    torch.int64,
    torch.bool,
    torch.uint8,
]
DTYPES += [torch.complex64, torch.float8_e4m3fn, torch.uint16, torch.int32, torch.int16]

SHAPES = [(), (0,), (1,), (2,), (8,), (8, 8), (1, 8), (0, 2**40), (8, 1, 1, 1), (8, 16), (1,) * 9]


def _tensor(random: random.Random) -> Tensor:
    shape = random.choice(SHAPES)
    dtype = random.choice(DTYPES) if random.random() < 0.5 else torch.float32
    plain = torch.ones(shape, dtype=dtype)
    sort = random.randrange(12)
    if sort == 0:
        return torch.zeros(1, dtype=dtype).expand(random.choice([8, 2**20, 2**40]))
    if sort == 1:
        return torch.empty(random.choice([(8,), (2**30, 2**10)]), device="meta")
    if sort == 2:
        return torch.eye(3).to_sparse()
    if sort == 3:
        return torch.arange(9.0).as_strided((3, 3), (1, 1))
    if sort == 4:
        return torch.arange(2**10 + 1.0).as_strided((2, 2), (2**9, 2**9))
    if sort == 5 and dtype.is_floating_point:
        return torch.full((8,), random.choice([float("nan"), float("inf"), 1e30])).to(dtype)
    if sort == 6:
        return torch.nn.Parameter(torch.ones(8))
    return plain
