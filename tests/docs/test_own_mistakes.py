"""What is wrong in a class of one's own is told in one line that says what to write."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from cgd_lightning import (
    DataSpec,
    Denoiser,
    Digits,
    Linear,
    Network,
    NoiseSchedule,
    NoisingDataModule,
    NoisyClassifier,
    Pixels,
    Rule,
    Sampler,
    generate,
)
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.errors import InputError
from cgd_lightning.networks import MLP

Cgd = Callable[..., tuple[int, str, str]]

SHAPE = (1, 4, 4)


def model(network: nn.Module | None = None) -> Denoiser:
    made = network or MLP(4, 1, 1, width=8, depth=1)
    return Denoiser(made.eval(), Linear(), "eps", DataSpec(SHAPE, ("a", "b")))


def samples(sampler: Any, rule: Any = None) -> Tensor:
    return next(generate(model(), [0, 1], sampler, rule))[1]


class Steps(Sampler):
    """A base of samplers for the tests, that is none itself."""

    def __init__(self) -> None:
        super().__init__(2)


class Returns(Steps):
    def walk(self, denoise: Any, x: Tensor, levels: Any, noise: Any) -> Any:
        return x


class Flattens(Steps):
    def walk(self, denoise: Any, x: Tensor, levels: Any, noise: Any) -> Any:
        yield x.flatten(1)


class YieldsNothing(Steps):
    def walk(self, denoise: Any, x: Tensor, levels: Any, noise: Any) -> Any:
        yield from ()


class TakesLess(Steps):
    def walk(self, denoise: Any, x: Tensor) -> Any:  # type: ignore[override]  # the mistake
        yield x


@dataclass
class NotFrozen(Sampler):
    steps: int = 2
    spacing: str = "uniform"

    walk = Flattens.walk


class NoDataclass(Sampler):
    steps: int = 2
    spacing: str = "uniform"

    walk = Flattens.walk


@dataclass(frozen=True)
class NoSteps(Sampler):
    share: float = 1.0

    walk = Flattens.walk


SAMPLERS = {
    Returns: r"Returns\.walk returns a tensor of shape \(2, 1, 4, 4\); wanted a generator",
    Flattens: r"Flattens\.walk yields a tensor of shape \(2, 16\); wanted x as it began",
    YieldsNothing: r"YieldsNothing\.walk yields nothing",
    TakesLess: r"walk\(self, denoise, x\): wanted walk\(self, denoise, x, levels, noise\)",
    NotFrozen: r"NotFrozen: .*@dataclass\(frozen=True\)",
    NoDataclass: r"NoDataclass: has the field steps and is no dataclass",
    NoSteps: r"NoSteps has no field steps",
}


@pytest.mark.parametrize(("cls", "message"), SAMPLERS.items())
def test_a_sampler(cls: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        samples(cls())


class GivesNothing(Rule):
    def bind(self, denoise: Any, classifier: Any, labels: Tensor) -> Any:
        return None


class GivesTensors(Rule):
    def bind(self, denoise: Any, classifier: Any, labels: Tensor) -> Any:
        return lambda x_t, level: denoise(x_t, level).x0


class GivesMeans(Rule):
    def bind(self, denoise: Any, classifier: Any, labels: Tensor) -> Any:
        def mean(x_t: Tensor, level: Any) -> Any:
            prediction = denoise(x_t, level)
            return prediction._replace(x0=prediction.x0.mean(dim=(2, 3)))

        return mean


RULES = {
    GivesNothing: r"GivesNothing\.bind gives a NoneType; wanted a function of x_t and level",
    GivesTensors: r"GivesTensors\.bind gives returns a Tensor; wanted a Prediction",
    GivesMeans: r"GivesMeans\.bind: its x0 is of shape \(2, 1\); wanted .* \(2, 1, 4, 4\)",
}


@pytest.mark.parametrize(("cls", "message"), RULES.items())
def test_a_rule(cls: Any, message: str) -> None:
    from cgd_lightning import DDIM, Chain

    with pytest.raises(InputError, match=message):
        samples(DDIM(2), Chain([cls()]))


class OneTable(NoiseSchedule):
    timesteps = 5

    def __init__(self) -> None:
        super().__post_init__()

    def tables(self) -> Any:
        return torch.linspace(1, 0, 5)

    def from_angle(self, angle: Tensor) -> Any:
        return angle.cos(), angle.sin()


class OtherAngle(OneTable):
    def tables(self) -> Any:
        angle = torch.linspace(0.1, 1.5, 5, dtype=torch.float64)
        return angle.cos(), angle.sin()

    def from_angle(self, angle: Tensor) -> Any:
        return angle.sin(), angle.cos()


def test_a_schedule() -> None:
    with pytest.raises(InputError, match="OneTable: wanted alpha and sigma of tables"):
        OneTable()
    with pytest.raises(InputError, match=r"OtherAngle\.from_angle: gives .* another angle"):
        OtherAngle()


class Given(NoisingDataModule):
    """What the test says."""

    name, class_names, image_shape = "given", ("a", "b"), SHAPE

    def __init__(self, images: Tensor, labels: Tensor | None = None, made: Any = ImageTensors):
        super().__init__(batch_size=4)
        zeros = torch.zeros(len(images), dtype=torch.int64)
        self.made = made(images, zeros if labels is None else labels)

    def split(self, name: str) -> Any:
        return self.made


class Nameless(NoisingDataModule):
    def split(self, name: str) -> Any:
        return ImageTensors(IMAGES, torch.zeros(8, dtype=torch.int64))


IMAGES = torch.zeros(8, *SHAPE, dtype=torch.uint8)
DATA: dict[str, tuple[Callable[[], NoisingDataModule], str]] = {
    "floats": (lambda: Given(IMAGES.float()), r"images of torch\.float32; wanted torch\.uint8"),
    "another size": (
        lambda: Given(IMAGES[..., :3]),
        r"images of shape \(1, 4, 3\), and image_shape",
    ),
    "no ImageBatch": (lambda: Given(IMAGES, made=TensorDataset), "a batch is a list; wanted an Im"),
    "a label too many": (
        lambda: Given(IMAGES, torch.full((8,), 2)),
        "labels from 2 to 2, and 2 class_names; wanted labels from 0 to 1",
    ),
    "no names": (Nameless, "Nameless has no class_names"),
}


@pytest.mark.parametrize(("make", "message"), DATA.values(), ids=DATA)
def test_a_data_set(make: Callable[[], NoisingDataModule], message: str) -> None:
    def used(data: NoisingDataModule) -> None:
        data.class_shares()
        data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
        _ = data.class_names

    with pytest.raises(InputError, match=message):
        used(make())


def test_a_codec() -> None:
    @dataclass(frozen=True)
    class Halved(Pixels):
        def encode(self, data: Tensor) -> Tensor:
            return super().encode(data)[..., ::2]

    data = Digits(image_size=8)
    data.codec = Halved()
    with pytest.raises(InputError, match=r"Halved\.encode gives x0 of shape \(1, 8, 4\), and its"):
        data.on_after_batch_transfer(data.split("val").__getitems__([0, 1]), 0)


class Smaller(Network):
    def __init__(self, image_size: int, in_channels: int, out_channels: int):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 3)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layer(x)


class NoSizes(Network):
    def __init__(self, width: int = 3):
        super().__init__()


def test_a_network() -> None:
    x, t = torch.zeros(2, *SHAPE), torch.zeros(2)
    with pytest.raises(InputError, match=r"Smaller gives \(2, 1, 2, 2\) for x_t of \(2, 1, 4, 4\)"):
        model(Smaller(4, 1, 1)).output(x, t)
    guide = NoisyClassifier(Smaller(4, 1, 2).eval(), Linear(), DataSpec(SHAPE, ("a", "b")))
    with pytest.raises(InputError, match=r"Smaller gives \(2, 2, 2, 2\); wanted logits \(B, 2\)"):
        guide.logits(x, t)
    with pytest.raises(InputError, match=r"NoSizes\.__init__ begins with width; wanted image_size"):
        NoSizes(4, 1, 1)


MISTAKEN = """
from dataclasses import dataclass
from torch import nn
from cgd_lightning import NoiseSchedule, NoisingDataModule, Rule, Sampler

@dataclass(frozen=True)
class NoWalk(Sampler):
    steps: int = 3
    spacing: str = "uniform"

@dataclass(frozen=True)
class NoBind(Rule):
    scale: float = 1.0

@dataclass(frozen=True)
class NoTables(NoiseSchedule):
    timesteps: int = 100

class NoSplit(NoisingDataModule):
    name, class_names, image_shape = "none", ("a",), (1, 8, 8)

class NoNetwork(nn.Module):
    def __init__(self, image_size: int, in_channels: int, out_channels: int):
        super().__init__()
"""
TYPED = {
    "sampler=mistaken.NoWalk": "sampler: mistaken.NoWalk does not fill walk, which Sampler",
    "sampler=mistaken.py": "no class 'mistaken.py': module mistaken has no 'py'; did you mean mis",
    "sampler=mistaken.NoWolk": "sampler: no class 'mistaken.NoWolk': module mistaken has no 'No",
    "guidance=mistaken.NoBind": "guidance: mistaken.NoBind does not fill bind, which Rule leaves",
    "data.schedule=mistaken.NoTables": "data.schedule: mistaken.NoTables does not fill from_angle",
    "data.schedule=mistaken.Tables": "data.schedule: no class 'mistaken.Tables': module mistaken",
    "data=mistaken.NoSplit": "data: mistaken.NoSplit does not fill split, which Noising",
    "model.network=mistaken.NoNetwork": "model.network: mistaken.NoNetwork is not derived from Net",
}


@pytest.fixture
def mistaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("mistaken.py").write_text(MISTAKEN)
    yield
    sys.modules.pop("mistaken", None)


@pytest.mark.parametrize(("option", "message"), TYPED.items(), ids=TYPED)
def test_a_class_that_is_typed(option: str, message: str, mistaken: None, cgd: Cgd) -> None:
    fit = option.startswith(("data", "model"))
    words = ["fit", "--config=diffusion.yaml"] if fit else ["sample", "--ckpt=runs/diffusion"]
    code, _, err = cgd(*words, f"--{option}")
    assert code == 2
    [error] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in error


def test_a_mistake_at_import_is_told_with_the_line_of_ones_own_file(
    mistaken: None, cgd: Cgd
) -> None:
    Path("mistaken.py").write_text(MISTAKEN + "\nNoWalk()\n")
    code, _, err = cgd("sample", "--ckpt=runs/diffusion", "--sampler=mistaken.NoWalk")
    assert code == 1
    line = len(MISTAKEN.splitlines()) + 2
    assert f"mistaken.py, line {line}: TypeError: Can't instantiate abstract class NoWalk" in err
