"""Latents: normalised by channel, known by hash, and in a linear space the same mathematics."""

import copy

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints.classes import NO_TRUST, construct, describe_object
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier, in_space_of
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import ClassifierGuidance, CleanGuidance
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.diffusion.samplers import DDIM, DPMSolver, Sampler
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from tests.conftest import NAMES, PRIOR, SHAPE, ExactEps, ExactLogits, exact_classifier
from tests.conftest import exact_denoiser as in_pixels

TURN = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(5)).double())[0]
"""Orthogonal."""


class Turned(nn.Module):
    """A linear autoencoder: z = Q x."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = (x.flatten(1).to(TURN) @ TURN.T).reshape(-1, 4, 1, 1)
        return z.to(x.dtype), torch.zeros_like(z)

    def decode(self, z: Tensor) -> Tensor:
        return (z.flatten(1).to(TURN) @ TURN).reshape(-1, *SHAPE).to(z.dtype)


LATENTS = Latents("runs/autoencoder", "0" * 16, (4, 1, 1), (0.0,) * 4, (1.0,) * 4)
SPEC = DataSpec(SHAPE, NAMES, PRIOR, LATENTS.opened(Turned()))


class Inside(nn.Module):
    """A network of images, for their latents."""

    def __init__(self, network: nn.Module, image_out: bool) -> None:
        super().__init__()
        self.network, self.image_out = network, image_out

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        out = self.network(Turned().decode(z), t)
        return Turned().moments(out)[0] if self.image_out else out


def walk(
    denoiser: Denoiser, rule: Rule, guide: Guide | None, sampler: Sampler, x: Tensor
) -> Tensor:
    y = torch.arange(len(x)) % 3
    denoise = rule.bind(denoiser.bind(y), guide, y)
    levels = denoiser.schedule.levels(sampler.steps, sampler.spacing)
    zeros = torch.zeros_like(x)
    *_, last = sampler.walk(denoise, levels[0].sigma * x, levels, lambda: zeros)
    return last


@pytest.mark.parametrize("sampler", [DDIM(12), DPMSolver(8)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_guidance_in_an_orthogonal_space_is_guidance_in_pixels(
    sampler: Sampler, scale: float
) -> None:
    schedule, rule = Cosine(), ClassifierGuidance(scale)
    x = torch.randn(30, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    wanted = walk(in_pixels(schedule), rule, exact_classifier(schedule), sampler, x)
    inside = Denoiser(Inside(ExactEps(schedule), True), schedule, "eps", SPEC)
    guide = NoisyClassifier(Inside(ExactLogits(schedule), False), schedule, SPEC).eval()
    z = walk(inside, rule, guide, sampler, Turned().moments(x)[0])
    assert wanted.std() > 0.3
    torch.testing.assert_close(SPEC.codec.pixels(z), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("through_denoiser", [False, True])
def test_a_judge_of_pixels_guides_latents_through_the_decoder(through_denoiser: bool) -> None:
    schedule, rule = Cosine(), CleanGuidance(0.02, through_denoiser=through_denoiser)
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    clean = CleanClassifier(judge, DataSpec(SHAPE, NAMES)).eval().requires_grad_(False)
    x = torch.randn(9, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    wanted = walk(in_pixels(schedule), rule, clean, DDIM(10), x)
    inside = Denoiser(Inside(ExactEps(schedule), True), schedule, "eps", SPEC)
    guide = in_space_of(clean, SPEC.codec)
    z = walk(inside, rule, guide, DDIM(10), Turned().moments(x)[0])
    torch.testing.assert_close(SPEC.codec.pixels(z), wanted, rtol=1e-9, atol=1e-9)
    unguided = walk(in_pixels(schedule), CleanGuidance(0.0), None, DDIM(10), x)
    assert (wanted - unguided).abs().max() > 0.05


def test_encoding_normalises_by_channel_and_decoding_undoes_it() -> None:
    codec = Latents("a", "b", (4, 1, 1), (0.5, 0, -1, 2), (1, 2, 0.5, 4)).opened(Turned())
    images = torch.randint(0, 256, (50, *SHAPE), dtype=torch.uint8)
    x0 = codec.encode(images)
    z = Turned().moments(PIXELS.encode(images))[0]
    wanted = (z - torch.tensor([0.5, 0, -1, 2])[:, None, None]) * torch.tensor(
        [1, 2, 0.5, 4]
    ).reshape(4, 1, 1)
    torch.testing.assert_close(x0, wanted)
    assert torch.equal(codec.decode(x0), images)
    assert codec.shape(SHAPE) == (4, 1, 1)
    assert codec.bounds is None


def test_latents_are_told_apart_by_hash_and_not_by_where_the_autoencoder_lies() -> None:
    other = Latents("elsewhere", "0" * 16, (4, 1, 1), (0.0,) * 4, (1.0,) * 4)
    assert other == LATENTS == SPEC.codec
    assert Latents("runs/autoencoder", "1" * 16, (4, 1, 1), (0.0,) * 4, (1.0,) * 4) != LATENTS
    assert copy.deepcopy(SPEC.codec) is SPEC.codec
    again = construct(describe_object(SPEC.codec), Codec, "file", NO_TRUST)
    assert again == LATENTS
    assert again.autoencoder == "runs/autoencoder"


def test_latents_without_their_autoencoder_say_so() -> None:
    with pytest.raises(InputError, match="runs/autoencoder: the autoencoder was not loaded"):
        LATENTS.encode(torch.zeros(1, *SHAPE, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_shape": (4, 1)}, "latent_shape"),
        ({"shift": (0.0,) * 3}, "shift .* wanted 4 finite numbers"),
        ({"scale": (1.0, 1.0, 1.0, float("inf"))}, "scale .* wanted 4 finite numbers"),
        ({"scale": (1.0, 1.0, 1.0, 0.0)}, "scale 0.0: wanted more than 0"),
    ],
)
def test_numbers_that_normalise_nothing_are_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Latents(**{**vars(LATENTS), **change})  # type: ignore[arg-type]  # wrong on purpose
