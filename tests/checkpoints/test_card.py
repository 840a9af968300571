"""The card of a checkpoint: what it says of codec and variance, and what older ones left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.errors import InputError
from cgd_lightning.networks import UNet
from tests.checkpoints.test_checkpoints import (
    DATA,
    NAMES,
    SHAPE,
    SMALL,
    edit,
    noisy_classifier,
    saved,
)


def denoiser(outputs: int = 1, learned_variance: bool = False, data: DataSpec = DATA) -> Denoiser:
    return Denoiser(UNet(8, 1, outputs, **SMALL), Linear(), "v", data, learned_variance)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path / "model.ckpt", denoiser())


def test_what_a_model_was_trained_on_comes_back(tmp_path: Path) -> None:
    data = DataSpec(SHAPE, NAMES, (0.5, 0.25, 0.25))
    path = saved(tmp_path / "model.ckpt", denoiser(2, True, data))
    model = checkpoints.load(path, Denoiser)
    assert model.data == data
    assert model.learned_variance
    card = checkpoints.read(path)
    assert card.data() == data
    assert card.codec == {"class_path": "cgd_lightning.Pixels", "init_args": {}}
    assert card.image_range == [-1.0, 1.0]


OLDER = ("codec", "learned_variance", "class_shares")


@pytest.mark.parametrize("outputs", [1, 2])
def test_an_older_card_says_by_its_network_whether_it_learned_the_variance(
    outputs: int, tmp_path: Path
) -> None:
    path = saved(tmp_path / "model.ckpt", denoiser(outputs, outputs == 2))
    edit(path, lambda contents: [contents["cgd"].pop(name) for name in OLDER])
    model = checkpoints.load(path, Denoiser)
    assert model.learned_variance == (outputs == 2)
    assert model.data == DATA


def test_an_older_classifier_of_twice_as_many_classes_as_channels_learned_none(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path / "model.ckpt", noisy_classifier(("a", "b")))
    edit(path, lambda contents: [contents["cgd"].pop(name) for name in OLDER])
    assert not checkpoints.read(path).learned_variance


def test_a_network_of_other_channels_than_its_variance_wants_is_refused(file: Path) -> None:
    edit(file, lambda contents: contents["cgd"].update(learned_variance=True))
    with pytest.raises(InputError, match="damaged: network: out_channels 1, and images of shape"):
        checkpoints.read(file)


@dataclass(frozen=True)
class Doubled(Codec):
    """A codec of a user's own."""

    factor: float = 2.0

    def encode(self, data: torch.Tensor) -> torch.Tensor:
        return PIXELS.encode(data) * self.factor

    def decode(self, x0: torch.Tensor) -> torch.Tensor:
        return PIXELS.decode(x0 / self.factor)


def test_a_codec_that_is_not_listed_is_made_only_where_it_is_trusted(tmp_path: Path) -> None:
    data = DataSpec(SHAPE, NAMES, codec=Doubled(3.0))
    path = saved(tmp_path / "model.ckpt", denoiser(data=data))
    with pytest.raises(
        InputError, match=r"names the class tests\.checkpoints\.test_card\.Doubled.*--trust tests"
    ):
        checkpoints.load(path)
    assert checkpoints.load(path, Denoiser, trust="tests").data == data
    card = checkpoints.read(path)
    assert card.codec["init_args"] == {"factor": 3.0}
    assert card.image_range is None


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "torch.nn.Linear"])
def test_a_card_names_no_program_as_its_codec(path: str, file: Path) -> None:
    edit(file, lambda contents: contents["cgd"]["codec"].update(class_path=path))
    with pytest.raises(InputError, match=f"^{file}: names the class {path}, and .*not trusted"):
        checkpoints.load(file)


CODECS: dict[str, tuple[Any, str]] = {
    "another listed class": ({"class_path": "cgd_lightning.DDIM"}, "which is not a Codec"),
    "a network": ({"class_path": "cgd_lightning.UNet"}, "which is not a Codec"),
    "an argument": (
        {"class_path": "cgd_lightning.Pixels", "init_args": {"greys_per_unit": 1.0}},
        "an argument that it does not have",
    ),
    "nothing": (None, "its description is damaged: codec: a NoneType"),
    "text": ("Pixels", "its description is damaged: codec: a str"),
}


@pytest.mark.parametrize(("codec", "says"), CODECS.values(), ids=CODECS)
def test_a_codec_is_described_as_any_other_object(codec: Any, says: str, file: Path) -> None:
    edit(file, lambda contents: contents["cgd"].update(codec=codec))
    for read in (checkpoints.read, checkpoints.load):
        with pytest.raises(InputError, match=f"^{file}: ") as error:
            read(file)
        assert says in str(error.value)


@pytest.mark.parametrize("value", [[0, 255], [-1.0], None, "all", [-1.0, {}], [-2.0, 2.0]])
def test_the_range_of_a_card_is_that_of_its_codec(value: Any, file: Path) -> None:
    edit(file, lambda contents: contents["cgd"].update(image_range=value))
    with pytest.raises(InputError, match=f"^{file}: its description is damaged: image_range: "):
        checkpoints.read(file)


@pytest.mark.parametrize("value", [1, "yes", None])
def test_a_variance_is_learned_or_not(value: Any, file: Path) -> None:
    edit(file, lambda contents: contents["cgd"].update(learned_variance=value))
    with pytest.raises(InputError, match=r"damaged: learned_variance: .* true or false was wanted"):
        checkpoints.read(file)
