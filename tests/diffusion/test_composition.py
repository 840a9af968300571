"""Every rule works with every sampler; neither waits for the device."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import (
    Attribute,
    Autoguidance,
    Chain,
    Clamp,
    ClassifierFree,
    ClassifierGuidance,
    CleanGuidance,
    DiscriminatorGuidance,
    DynamicThreshold,
    EntropyScale,
    Interval,
    Projection,
    Ramp,
    Rescale,
    Rule,
    UnitGradient,
)
from cgd_lightning.diffusion.samplers import DDPM, Sampler
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.networks import Network
from tests.diffusion.test_samplers import SAMPLERS

SHAPE, NAMES = (1, 8, 8), ("a", "b", "c")
DATA = DataSpec(SHAPE, NAMES)
Y = torch.tensor([0, 1, 2])


every_sampler = pytest.mark.parametrize(
    "sampler", [*SAMPLERS.values(), DDPM(mean_shift=True)], ids=[*SAMPLERS, "DDPM-mean_shift"]
)


def few(sampler: Sampler) -> Sampler:
    """The same in four steps."""
    return replace(sampler, steps=4, spacing="uniform")


class Small(Network):
    """A convolution, told timestep and class; logits where the image shall have none."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        num_classes: int | None = None,
        logits: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes, self.logits = num_classes, logits
        self.into = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.time, self.label = nn.Linear(1, 8), nn.Embedding(num_classes or 1, 8)
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(8, out_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        h = self.into(x)
        h = h if t is None else h + self.time(t[:, None] / 1000)[:, :, None, None]
        h = h if y is None else h + self.label(y)[:, :, None, None]
        return self.out(h).mean(dim=(2, 3)) if self.logits else self.out(h)


def noisy(device: str = "cpu") -> NoisyClassifier:
    return NoisyClassifier(_random(Small(8, 1, 3, logits=True), 1, device), Linear(), DATA)


def clean(device: str = "cpu") -> CleanClassifier:
    return CleanClassifier(_random(Small(8, 1, 3, logits=True), 2, device), DATA)


def denoiser(device: str = "cpu") -> Denoiser:
    """Told the class, with a label for none, and with a learned variance."""
    return Denoiser(_random(Small(8, 1, 2, num_classes=4), 0, device), Linear(), "v", DATA, True)


def _random(network: nn.Module, seed: int, device: str) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.to(device).eval().requires_grad_(False)


def rules(device: str = "cpu") -> dict[str, tuple[Rule, NoisyClassifier | CleanClassifier | None]]:
    guide, strong = noisy(device), ClassifierGuidance(3.0)
    return {
        "classifier": (strong, guide),
        "interval": (ClassifierGuidance(3.0, Interval(-8.0, 8.0)), guide),
        "ramp": (ClassifierGuidance(3.0, Ramp()), guide),
        "entropy": (ClassifierGuidance(3.0, image_weight=EntropyScale()), guide),
        "unit gradient": (ClassifierGuidance(0.3, image_weight=UnitGradient()), guide),
        "attribute": (Attribute(strong, guide, "!a"), None),
        "clean": (CleanGuidance(3.0), clean(device)),
        "clean, detached": (
            CleanGuidance(3.0, through_denoiser=False, softplus=3.0),
            clean(device),
        ),
        "classifier-free": (ClassifierFree(3.0), None),
        "autoguidance": (Autoguidance(denoiser(device).requires_grad_(False), 0.0), None),
        "discriminator": (
            Chain([strong, DiscriminatorGuidance(noisy(device), generated="b")]),
            guide,
        ),
        "rescale": (Chain([strong, Rescale()]), guide),
        "threshold": (Chain([strong, DynamicThreshold()]), guide),
        "projection": (Chain([strong, Projection(0.0, 5.0, -0.5), Clamp()]), guide),
        "both families": (
            Chain(
                [ClassifierFree(2.0), strong, Attribute(strong, guide, "a|b"), Rescale(), Clamp()]
            ),
            guide,
        ),
    }


@every_sampler
def test_every_rule_works_with_every_sampler(sampler: Sampler) -> None:
    def run(rule: Rule, guide: NoisyClassifier | CleanClassifier | None) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        network = denoiser()
        with torch.inference_mode():
            return few(sampler)(
                rule.bind(network.bind(Y), guide, Y),
                lambda: torch.randn(3, *SHAPE, generator=generator),
                Linear(),
            )

    plain = run(Chain([]), None)
    for name, (rule, guide) in rules().items():
        x = run(rule, guide)
        assert x.isfinite().all(), name
        assert torch.equal(x, plain) == (name == "autoguidance"), name  # its scale is 0 here


@every_sampler
def test_no_step_waits_for_the_device(sampler: Sampler) -> None:
    """Tensors on the meta device hold no values: whoever asked for one would get an error."""
    y, network = Y.to("meta"), denoiser("meta")
    for rule, guide in rules("meta").values():
        with torch.no_grad():
            x = few(sampler)(
                rule.bind(network.bind(y), guide, y),
                lambda: torch.randn(3, *SHAPE, device="meta"),
                Linear(),
            )
        assert x.shape == (3, *SHAPE)
    with pytest.raises((RuntimeError, NotImplementedError)):  # releases of torch differ
        y.sum().item()
