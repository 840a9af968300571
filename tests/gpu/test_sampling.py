"""Guided sampling on a device: as on the CPU, in any precision and layout, without waiting."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.likelihood import Likelihood
from cgd_lightning.diffusion.noise import SeededNoise, philox
from cgd_lightning.diffusion.samplers import DDIM, DDPM, DPMSolver, Sampler
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.diffusion.start import Start
from cgd_lightning.networks import EncoderUNet, UNet
from tests.diffusion.test_generate import SMALL, randomised
from tests.gpu.waits import NoWaits, waits

RULE = Chain([Clamp(), ClassifierGuidance(2.0)])
LABELS = [0, 1, 2, 0, 1]
DATA = DataSpec((1, 16, 16), ("a", "b", "c"))

Pair = tuple[Denoiser, NoisyClassifier]


@pytest.fixture(scope="module")
def on_cpu() -> Pair:
    denoiser = Denoiser(randomised(UNet(16, 1, 1, **SMALL), 0), Cosine(), "eps", DATA)
    classifier = NoisyClassifier(randomised(EncoderUNet(16, 1, 3, **SMALL), 1), Cosine(), DATA)
    return denoiser.eval(), classifier.eval()


@pytest.fixture
def pair(on_cpu: Pair, device: torch.device) -> Pair:
    denoiser, classifier = deepcopy(on_cpu)
    return denoiser.to(device), classifier.to(device)


def images(pair: Pair, sampler: Sampler | None = None, **options) -> Tensor:
    chunks = generate(pair[0], LABELS, sampler or DDPM(6), RULE, pair[1], seed=3, **options)
    return torch.cat([chunk for _, chunk in chunks]).int()


def test_noise_has_the_same_bits_on_every_device(device: torch.device) -> None:
    """Its random words; the normal numbers made of them are within a few roundings of log and cos.

    An image's stream may so be drawn anywhere.
    """
    counter = [torch.arange(1000) * step for step in (1, 7, 11, 13)]
    here = philox([each.to(device) for each in counter], (5, 6))
    for mine, theirs in zip(here, philox(counter, (5, 6)), strict=True):
        assert torch.equal(mine.cpu(), theirs)
    index = torch.tensor([0, 1, 2**33 + 5])
    ours, cpus = SeededNoise(9, index.to(device), (3, 64, 64)), SeededNoise(9, index, (3, 64, 64))
    for _ in range(3):
        torch.testing.assert_close(ours().cpu(), cpus(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "sampler", [DDIM(8), DDPM(8), DPMSolver(6)], ids=lambda s: type(s).__name__
)
def test_samples_agree_with_those_of_the_cpu(sampler: Sampler, pair: Pair, on_cpu: Pair) -> None:
    difference = (images(pair, sampler) - images(on_cpu, sampler)).abs()
    assert difference.max() <= 2  # grey levels of 255
    assert (difference > 0).float().mean() < 0.02


def test_edits_agree_with_those_of_the_cpu_and_keep_what_is_masked(
    pair: Pair, on_cpu: Pair
) -> None:
    generator = torch.Generator().manual_seed(0)
    originals = torch.randint(256, (5, 1, 16, 16), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(5, 1, 16, 16, dtype=torch.uint8)
    masks[..., 4:12] = 1
    options = {"start": Start(0.5), "images": originals, "masks": masks, "sampler": DDIM(8)}
    ours, cpus = images(pair, **options), images(on_cpu, **options)
    assert (ours - cpus).abs().max() <= 2
    kept = masks.expand_as(originals) == 0
    assert torch.equal(ours[kept], originals[kept].int())
    assert not torch.equal(ours, originals.int())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_float32(dtype: torch.dtype, pair: Pair) -> None:
    exact, rough = images(pair), images(pair, dtype=dtype)
    assert not torch.equal(exact, rough)
    assert (exact - rough).abs().median() <= 2


def test_channels_last_gives_the_same_samples(pair: Pair) -> None:
    before = images(pair)
    for model in pair:
        model.to(memory_format=torch.channels_last)
    assert (images(pair) - before).abs().max() <= 2


def test_compiled_networks_give_the_same_guided_samples(pair: Pair) -> None:
    """The classifier's gradient is taken through the compiled network too."""
    before = images(pair)
    for model in pair:
        model.network.compile(dynamic=False)
    assert (images(pair) - before).abs().max() <= 2


def test_the_likelihood_agrees_with_that_of_the_cpu(pair: Pair, on_cpu: Pair) -> None:
    index = torch.arange(2)
    x = 0.5 * SeededNoise(4, index, (1, 16, 16))()
    found = []
    for denoiser in (pair[0], on_cpu[0]):
        device = next(denoiser.parameters()).device
        noise = SeededNoise(1, index.to(device), (1, 16, 16))
        found.append(Likelihood(3)(denoiser, x.to(device), Cosine(), noise).cpu())
    torch.testing.assert_close(*found, rtol=1e-3, atol=0.5)


def test_a_step_waits_for_nothing(pair: Pair, device: torch.device) -> None:
    """The host waits as often in 12 steps as in 3: never in a step."""
    few, many = (waits(lambda n=n: images(pair, DDPM(n)), device) for n in (3, 12))
    assert few == many
    assert (many > 0) == (device.type == "cuda")  # the samples are copied at the end


def test_cuda_itself_finds_no_wait_between_the_first_step_and_the_last(
    pair: Pair, device: torch.device
) -> None:
    images(pair)  # warm
    guard, steps = NoWaits(device), []

    def progress() -> None:
        steps.append(1)
        guard.begin() if len(steps) == 1 else None
        guard.end() if len(steps) == 7 else None

    try:
        images(pair, DDPM(8), progress=progress)
    finally:
        guard.end()
    assert len(steps) == 8
