"""The way from data to x0 and back: exact for bytes, and the only place that knows their range."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.data.digits import Digits
from cgd_lightning.diffusion.codec import PIXELS, Codec, Pixels
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.networks import MLP

BYTES = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("shape", [(256,), (1, 1, 16, 16), (2, 3, 4, 32), (4, 1, 8, 8)])
def test_every_byte_survives_the_way_to_x0_and_back(shape: tuple[int, ...]) -> None:
    data = BYTES.repeat(3)[: torch.Size(shape).numel()].reshape(shape)
    x0 = PIXELS.encode(data)
    assert (x0.dtype, x0.shape) == (torch.float32, data.shape)
    assert torch.equal(PIXELS.decode(x0), data)


def test_black_is_minus_one_white_is_one_and_greys_lie_evenly_between() -> None:
    x0 = PIXELS.encode(BYTES)
    assert (x0[0], x0[255]) == PIXELS.bounds
    exact = (torch.arange(256, dtype=torch.float64) * 2 - 255) / 255
    torch.testing.assert_close(x0.double(), exact, rtol=0, atol=1e-7)
    assert torch.allclose(x0.diff() * PIXELS.greys_per_unit, torch.ones(255), atol=1e-4)


def test_what_lies_between_two_greys_goes_to_the_nearer_and_what_lies_outside_to_the_end() -> None:
    half = 0.5 / PIXELS.greys_per_unit
    x0 = PIXELS.encode(BYTES).double()
    for shift in (-0.99 * half, 0.99 * half):
        assert torch.equal(PIXELS.decode(x0 + shift), BYTES)
    ends = PIXELS.decode(torch.tensor([-7.0, -1.001, 1.001, 7.0, torch.inf, -torch.inf]))
    assert ends.tolist() == [0, 0, 255, 255, 255, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_x0_of_any_precision_is_decoded(dtype: torch.dtype) -> None:
    ends = torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)
    assert PIXELS.decode(ends).tolist() == [0, 128, 255]


@dataclass(frozen=True)
class Folded(Codec):
    """2 x 2 pixels as four channels, shifted: another shape and another range than pixels have."""

    shift: float = 3.0

    def encode(self, data: Tensor) -> Tensor:
        return F.pixel_unshuffle(PIXELS.encode(data), 2) + self.shift

    def decode(self, x0: Tensor) -> Tensor:
        return PIXELS.decode(F.pixel_shuffle(x0 - self.shift, 2))

    def shape(self, data_shape: Sequence[int]) -> tuple[int, ...]:
        channels, height, width = data_shape
        return 4 * channels, height // 2, width // 2


def test_a_spec_is_equal_to_another_of_the_same_values_however_they_are_given() -> None:
    spec = DataSpec((1, 8, 8), ("a", "b"), (0.25, 0.75))
    same = DataSpec([1, 8, 8], ["a", "b"], [0.25, 0.75], Pixels())  # type: ignore[arg-type]
    assert spec == same
    assert hash(spec) == hash(same)
    others = [
        replace(spec, shape=(1, 8, 9)),
        replace(spec, class_names=("b", "a")),
        replace(spec, class_shares=()),
        replace(spec, codec=Folded()),
    ]
    assert len({spec, *others, replace(spec, codec=Folded(2.0))}) == 6


def test_networks_see_the_shape_that_the_codec_gives() -> None:
    assert DataSpec((1, 8, 8)).x0_shape == (1, 8, 8)
    assert DataSpec((1, 8, 8), codec=Folded()).x0_shape == (4, 4, 4)
    assert DataSpec(codec=Folded()).x0_shape == ()
    model = Denoiser(
        torch.nn.Identity(), Cosine(), "v", DataSpec((1, 8, 8), ("a",), (1.0,), Folded())
    )
    assert model.image_shape == (4, 4, 4)
    assert (model.class_names, model.class_shares) == (("a",), (1.0,))
    with pytest.raises(AttributeError):
        model.class_names = ("b",)  # type: ignore[misc]


def test_a_data_module_noises_in_the_space_of_its_codec() -> None:
    data = Digits(image_size=8, schedule=Cosine())
    data.codec = Folded()
    images = data.split("val").__getitems__(range(16))
    batch = data.on_after_batch_transfer(images, 0)
    assert batch.x0.shape == batch.eps.shape == (16, 4, 4, 4)
    assert torch.equal(batch.x0, Folded().encode(images.images))
    shares = tuple(data.class_shares())
    assert data.spec == DataSpec((1, 8, 8), data.class_names, shares, Folded())


class Answers(torch.nn.Module):
    """Predicts one x0 always."""

    def __init__(self, x0: Tensor) -> None:
        super().__init__()
        self.x0 = torch.nn.Parameter(x0)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.x0.expand_as(x)


def test_samples_are_decoded_by_the_codec_of_the_model() -> None:
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8) * 3
    data = DataSpec((1, 8, 8), ("a",), codec=Folded())
    model = Denoiser(Answers(Folded().encode(image)), Cosine(), "x0", data)
    ((start, samples),) = generate(model, [0, 0], DDIM(3), ClassifierGuidance(0))
    assert start == 0
    assert torch.equal(samples, image.expand(2, -1, -1, -1))


def test_a_network_in_the_space_of_a_codec_is_built_by_that_shape() -> None:
    from cgd_lightning.training.modules import DiffusionModule

    data = Digits(image_size=8)
    data.codec = Folded()
    module = DiffusionModule(lambda *sizes, **more: MLP(*sizes, width=8, depth=1, **more))
    model = module.build(module.network, data)
    assert [model.network.init_args[name] for name in ("image_size", "in_channels")] == [4, 4]
    assert model.data.codec == Folded()
