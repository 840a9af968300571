"""Discriminator guidance, with the exact classifier of real and generated: the data's score."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import (
    Chain,
    ClassifierGuidance,
    DiscriminatorGuidance,
    Interval,
)
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.diffusion.start import Start
from tests.conftest import NAMES, PRIOR, SHAPE, Mixture, exact_classifier, exact_denoiser
from tests.diffusion.test_guidance import x_at
from tests.diffusion.test_terms import told

WRONG = (0.1, 0.3, 0.6)
"""The proportions in which the noise predictor draws the classes, instead of PRIOR."""

Y = torch.arange(16) % 3


class ExactOrigin(Mixture):
    """log p(x_t, class) of each class of the data, and of what is generated, `share` times it."""

    def __init__(self, schedule: NoiseSchedule, place: int = 3, share: float = 1.0) -> None:
        super().__init__(schedule)
        self.made, self.place, self.share = Mixture(schedule, None, WRONG), place, share

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        real = self.joint(x_t, t)
        made = self.made.joint(x_t, t).logsumexp(dim=1, keepdim=True)
        made = made + torch.tensor(self.share).log()
        return torch.cat([real[:, : self.place], made, real[:, self.place :]], dim=1)


def discriminator(
    schedule: NoiseSchedule, place: int = 3, share: float = 1.0, word: str = "generated"
) -> NoisyClassifier:
    names = (*NAMES[:place], word, *NAMES[place:])
    network = ExactOrigin(schedule, place, share).requires_grad_(False)
    return NoisyClassifier(network, schedule, DataSpec(SHAPE, names))


@pytest.mark.parametrize(("place", "share"), [(3, 1.0), (0, 1.0), (1, 0.05)])
def test_at_scale_1_the_score_of_what_is_drawn_becomes_that_of_the_data(
    schedule: NoiseSchedule, place: int, share: float
) -> None:
    """Whatever the class's place, and however many generated images there were."""
    wrong, right = exact_denoiser(schedule, weights=WRONG), exact_denoiser(schedule)
    guided = DiscriminatorGuidance(discriminator(schedule, place, share)).bind(wrong, None, Y)
    furthest = 0.0
    for t in range(0, 1000, 37):
        level = schedule.level(t)
        x = x_at(level, t)
        torch.testing.assert_close(
            guided(x, level).eps, right(x, level).eps, rtol=0, atol=1e-9 / min(1, level.sigma)
        )
        furthest = max(furthest, float((wrong(x, level).eps - right(x, level).eps).abs().max()))
    assert furthest > 0.05


def test_with_a_class_asked_for_it_is_bayes_rule_on_the_data() -> None:
    schedule, level = Cosine(), Cosine().level(400)
    x, wrong = x_at(level), exact_denoiser(schedule, weights=WRONG)
    rule = Chain([DiscriminatorGuidance(discriminator(schedule)), ClassifierGuidance(1.0)])
    guided = rule.bind(wrong, exact_classifier(schedule), Y)(x, level)
    for k in range(3):
        right = exact_denoiser(schedule, [k])(x, level).eps
        torch.testing.assert_close(guided.eps[k == Y], right[k == Y], rtol=0, atol=1e-9)
    assert rule.scaled(4.0).parts()[0] == rule.parts()[0]
    assert rule.scaled(4.0).strength == 4.0


def test_at_scale_2_it_goes_as_far_again() -> None:
    schedule, level = Cosine(), Cosine().level(400)
    x, wrong = x_at(level), exact_denoiser(schedule, weights=WRONG)
    before = wrong(x, level).eps
    after = [
        DiscriminatorGuidance(discriminator(schedule), scale).bind(wrong, None, Y)(x, level).eps
        for scale in (1.0, 2.0)
    ]
    torch.testing.assert_close(after[1] - before, 2 * (after[0] - before))


def test_the_samples_are_the_datas_in_the_datas_proportions() -> None:
    schedule, n = Cosine(), 3000
    wrong, exact = exact_denoiser(schedule, weights=WRONG), Mixture(schedule)
    rule = DiscriminatorGuidance(discriminator(schedule))

    def shares(guided: DiscriminatorGuidance | Chain) -> Tensor:
        x = torch.cat(
            [
                start_and_image[1].double() / 127.5 - 1
                for start_and_image in generate(
                    wrong, ["a"] * n, DDIM(steps=60, eta=1.0), guided, None, batch_size=n, seed=1
                )
            ]
        )
        posterior = exact.joint(x, torch.zeros(len(x))).softmax(-1)
        return posterior.mean(dim=0).detach()

    torch.testing.assert_close(
        shares(Chain([])), torch.tensor(WRONG, dtype=torch.float64), rtol=0, atol=0.035
    )
    torch.testing.assert_close(
        shares(rule), torch.tensor(PRIOR, dtype=torch.float64), rtol=0, atol=0.035
    )


def test_a_discriminator_of_another_schedule_is_asked_at_equal_noise() -> None:
    level = Cosine().level(300)
    x, wrong = x_at(level), exact_denoiser(Cosine(), weights=WRONG)
    own, other = (
        DiscriminatorGuidance(discriminator(schedule)).bind(wrong, None, Y)(x, level).eps
        for schedule in (Cosine(), Linear())
    )
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_off_outside_its_interval_and_beyond_the_noise_it_knows_nothing_is_asked() -> None:
    level, wrong = Cosine().level(999), exact_denoiser(Cosine(), weights=WRONG)
    x = x_at(level)
    off = DiscriminatorGuidance("nowhere", 0.0)
    assert off.models == ()
    assert off.bind(wrong, None, Y) is wrong
    for rule, asked in (
        (DiscriminatorGuidance(discriminator(Linear())), Linear()),
        (DiscriminatorGuidance(discriminator(Cosine()), weight=Interval(-2, 9)), Cosine()),
    ):
        assert asked.covers(level) == (asked == Cosine())
        guided = rule.bind(wrong, None, Y)(x, level)
        assert torch.equal(guided.eps, wrong(x, level).eps)
        assert rule.discriminator.network.calls == 0
    with pytest.raises(ValueError, match="0 at all"):
        DiscriminatorGuidance("a", weight=Interval(50, 60)).check(Cosine().levels(10))


def test_an_inversion_without_a_source_is_corrected_as_the_way_back_is() -> None:
    """Else a picture of the data would not come back at scale 0."""
    schedule = Cosine()
    wrong = exact_denoiser(schedule, weights=WRONG)
    x0 = Mixture(schedule).sample(64, torch.Generator().manual_seed(4)).clamp(-1, 1)
    images = ((x0 + 1) * 127.5).round().to(torch.uint8)
    off = Chain([DiscriminatorGuidance(discriminator(schedule)), ClassifierGuidance(0.0)])
    changes = []
    for rule in (Chain([ClassifierGuidance(0.0)]), off):
        options = {"start": Start(1.0, by="inversion"), "images": images, "batch_size": 64}
        ((_, back),) = generate(wrong, ["a"] * 64, DDIM(steps=200), rule, None, **options)
        changes.append((back.int() - images.int()).abs().double().mean())
    assert changes[0] < 2
    assert changes[1] < 2 * changes[0] + 1


def test_what_is_no_discriminator_is_refused() -> None:
    exact = exact_classifier(Cosine())
    with pytest.raises(
        ValueError, match="discriminator: knows a, b, c; wanted a class 'generated'"
    ):
        DiscriminatorGuidance(exact)
    other = exact_denoiser(Cosine())
    other.data = replace(other.data, class_names=("a", "b"))
    assert DiscriminatorGuidance(exact, generated="c").bind(other, None, Y) is not other
    for model, says in (
        (told(Cosine()), "this diffusion model is told the class"),
        (other, "knows the classes a, b, c beside generated, and the diffusion model a, b;"),
    ):
        with pytest.raises(ValueError, match=says):
            DiscriminatorGuidance(discriminator(Cosine())).bind(model.bind(Y % 2), None, Y)
        rules = [ClassifierGuidance(1.0), DiscriminatorGuidance(discriminator(Cosine()))]
        with pytest.raises(ValueError, match=says):
            Chain(rules).check_denoiser(model)
        DiscriminatorGuidance(discriminator(Cosine()), 0.0).check_denoiser(model)
    rule = DiscriminatorGuidance("runs/a")
    assert rule.models == ("runs/a",)
    with pytest.raises(ValueError, match="discriminator runs/a: knows a, b, c"):
        rule.with_models({"runs/a": exact})
    with pytest.raises(ValueError, match="discriminator runs/a: a Denoiser; wanted a classifier"):
        rule.with_models({"runs/a": exact_denoiser(Cosine())})
    clean: Any = CleanClassifier(exact.network, exact.data)
    with pytest.raises(ValueError, match="discriminator: a CleanClassifier; wanted a classifier"):
        DiscriminatorGuidance(clean)
    with pytest.raises(ValueError, match="discriminator runs/a: not loaded"):
        rule.bind(exact_denoiser(Cosine()), None, Y)
    assert rule.with_models({"runs/a": str(Path("/runs/a"))}).models == ("/runs/a",)
