"""What is not finite in a chunk of samples is named: which network, or the scale, and the step."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoise, Denoiser
from cgd_lightning.diffusion.faults import Faults
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import (
    Attribute,
    Autoguidance,
    Chain,
    Clamp,
    ClassifierFree,
    ClassifierGuidance,
    CleanGuidance,
    DiscriminatorGuidance,
    Rule,
)
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.likelihood import Likelihood
from cgd_lightning.diffusion.samplers import DDIM, DPMSolver, Heun, Sampler
from cgd_lightning.diffusion.samplers.sampler import Noise
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.diffusion.start import Start

DATA = DataSpec((1, 2, 2), ("a", "b"))
FIVE = DDIM(5)


class Shrinks(nn.Module):
    """x_t times a weight, and `bad` where t is below `under` or the label is `of`."""

    def __init__(self, under: float = -1.0, bad: float = math.nan, of: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5), requires_grad=False)
        self.under, self.bad, self.of = under, bad, of
        self.num_classes = None if of is None else 3

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            return torch.where((labels == self.of)[:, None, None, None], self.bad, x * self.weight)
        return x * (self.bad if self.under > 0 and t[0] < self.under else self.weight)


class Logits(nn.Module):
    """Logits whose value or whose gradient alone is not finite where t is below `under`."""

    def __init__(self, under: float = -1.0, kink: bool = False, power: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()), requires_grad=False)
        self.under, self.kink, self.power = under, kink, power

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        mean = (x**self.power).flatten(1).mean(1) * self.weight
        broken = t is None or bool(t[0] < self.under)
        if self.kink and broken:  # its value is 0, and its slope infinite times 0
            mean = mean + (x.flatten(1).sum(1) * 0).sqrt()
        elif broken and self.under > 0:
            mean = mean * math.nan
        return torch.stack([mean, -mean], dim=1)


def denoiser(**options: Any) -> Denoiser:
    return Denoiser(Shrinks(**options), Cosine(), "x0", DATA).eval()


def noisy(**options: Any) -> NoisyClassifier:
    return NoisyClassifier(Logits(**options), Cosine(), DATA).eval()


def said(
    model: Denoiser, rule: Rule, guide: Any = None, sampler: Sampler = FIVE, **options: Any
) -> str:
    with pytest.raises(FloatingPointError) as caught:
        list(generate(model, [0, 1], sampler, rule, guide, **options))
    return str(caught.value)


CASES = {
    "the classifier's log p, and with it its gradient, is not finite at step 4 of 5 (t = 249.75)": (
        denoiser(),
        ClassifierGuidance(1.0),
        noisy(under=400),
    ),
    "the classifier's gradient is not finite at step 4 of 5 (t = 249.75)": (
        denoiser(),
        ClassifierGuidance(1.0),
        noisy(under=400, kink=True),
    ),
    "the classifier's gradient is not finite at step 1 of 5 (t = 999)": (
        denoiser(),
        CleanGuidance(1.0),
        CleanClassifier(Logits(kink=True), DATA).eval(),
    ),
    "the diffusion model's prediction is not finite at step 4 of 5 (t = 249.75)": (
        denoiser(under=400),
        ClassifierGuidance(1.0),
        noisy(under=400),
    ),
    "the diffusion model's prediction without a label is not finite at step 1 of 5 (t = 999)": (
        denoiser(of=2),
        ClassifierFree(2.0),
        None,
    ),
    "classifier of Attribute: the gradient is not finite at step 4 of 5 (t = 249.75)": (
        denoiser(),
        Attribute(ClassifierGuidance(1.0), noisy(under=400, kink=True), "a"),
        None,
    ),
    "discriminator of DiscriminatorGuidance: the gradient is not finite at step 4 of 5": (
        denoiser(),
        Chain([Clamp(), DiscriminatorGuidance(noisy(under=400, kink=True), generated="b")]),
        None,
    ),
    "weak of Autoguidance: the prediction is not finite at step 4 of 5 (t = 249.75)": (
        denoiser(),
        Chain([Autoguidance(denoiser(under=400)), Clamp()]),
        None,
    ),
}


@pytest.mark.parametrize("says", CASES)
def test_the_network_that_is_not_finite_is_named(says: str) -> None:
    assert said(*CASES[says]).startswith(says)


@pytest.mark.parametrize("sampler", [Heun(5), DPMSolver(5)], ids=lambda each: type(each).__name__)
def test_it_is_named_under_every_kind_of_sampler(sampler: Sampler) -> None:
    text = said(denoiser(), ClassifierGuidance(1.0), noisy(under=400), sampler)
    assert text.startswith(
        "the classifier's log p, and with it its gradient, is not finite at step"
    )


def test_it_is_named_in_an_edit_on_the_way_up_too() -> None:
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    options = {"start": Start(0.8, by="inversion", source="a"), "images": images}
    text = said(denoiser(), ClassifierGuidance(1.0), noisy(under=200), **options)
    assert text.startswith("the classifier's log p, and with it its gradient, is not finite at")
    assert "step 1 of " in text


def test_a_scale_that_drives_a_sample_away_is_told_with_the_step() -> None:
    """Also where the classifier overflows first: it should not have been asked there."""
    for scale, how in ((1e20, "having grown"), (math.inf, "where every network is")):
        text = said(denoiser(), ClassifierGuidance(scale), noisy(power=3))
        assert text.startswith("the sample is not finite from step ")
        assert how in text
        assert f"at scale {scale:g}: try a smaller one" in text


def test_a_sampler_that_overflows_by_itself_has_no_scale_to_blame() -> None:
    class Overflows(DDIM):
        def walk(
            self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise
        ) -> Iterator[Tensor]:
            for step, after in enumerate(super().walk(denoise, x, levels, noise)):
                yield after / 0 if step == 2 else after

    text = said(denoiser(), Chain(()), sampler=Overflows(4))
    assert text.startswith("the sample is not finite from step 3 of 4 on; nothing guides it")


def test_a_likelihood_says_what_is_not_finite_too() -> None:
    x = torch.full((2, 1, 2, 2), 0.5)
    with pytest.raises(
        FloatingPointError, match=r"^the diffusion model's prediction is not .*\(t = 0\)"
    ):
        Likelihood(3)(denoiser(under=400), x, Cosine())
    steep = denoiser()
    steep.network.weight.fill_(-1e15)
    with pytest.raises(
        FloatingPointError, match=r"^the likelihood is not finite .* try more steps"
    ):
        Likelihood(3)(steep, x, Cosine())


def test_looking_waits_for_no_device() -> None:
    """Tensors on the meta device hold no values: whoever asked for one would get an error."""
    model = Denoiser(Shrinks().to("meta"), Cosine(), "x0", DATA)
    faults = Faults(torch.device("meta"))
    noise = torch.empty(2, 1, 2, 2, device="meta")
    for x in DDIM(5).trajectory(faults.watched(model), lambda: noise, Cosine()):
        faults.step(x)
    assert faults.steps == 5
    with pytest.raises((RuntimeError, NotImplementedError)):  # releases of torch differ
        faults.found()
