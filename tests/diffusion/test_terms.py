"""Other terms than a noisy classifier's: each against its formula on exact distributions, and the
distribution where there is one.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import CleanClassifier, Preprocessed
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, Prediction
from cgd_lightning.diffusion.guidance import (
    Attribute,
    Autoguidance,
    Chain,
    ClassifierFree,
    ClassifierGuidance,
    CleanGuidance,
    EntropyScale,
    Interval,
    Ramp,
    UnitGradient,
)
from cgd_lightning.diffusion.guidance.classifier import class_gradient
from cgd_lightning.diffusion.guidance.clean import softened
from cgd_lightning.diffusion.schedules import Cosine, Level, Linear, NoiseSchedule
from tests.conftest import NAMES, SHAPE, ExactEps, Mixture, exact_classifier, exact_denoiser
from tests.diffusion.test_guidance import x_at

Y = torch.arange(16) % 3


class Told(Mixture):
    """eps of class y, or of all classes for y = 3: a class-conditional network trained with label
    dropout, in its limit.
    """

    num_classes = 4

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        answers = torch.stack(
            [ExactEps(self.schedule, classes)(x_t, t) for classes in ([0], [1], [2], [0, 1, 2])]
        )
        return answers[y, torch.arange(len(x_t))]


def told(schedule: NoiseSchedule) -> Denoiser:
    return Denoiser(Told(schedule), schedule, "eps", DataSpec(SHAPE, NAMES))


def test_classifier_free_guidance_at_unit_scale_is_bayes_rule_and_asks_once(
    schedule: NoiseSchedule,
) -> None:
    denoiser = told(schedule)
    guided = ClassifierFree(1.0).bind(denoiser.bind(Y), None, Y)
    for t in range(0, 1000, 111):
        level = schedule.level(t)
        x = x_at(level, t)
        for k in range(3):
            exact = exact_denoiser(schedule, [k])(x, level)
            torch.testing.assert_close(
                guided(x, level).eps[k == Y], exact.eps[k == Y], rtol=0, atol=1e-6
            )


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
def test_classifier_free_guidance_is_its_formula_and_that_of_the_implied_classifier(
    scale: float,
) -> None:
    schedule, level = Linear(), Linear().level(400)
    denoiser, x = told(schedule), x_at(Linear().level(400))
    guided = ClassifierFree(scale).bind(denoiser.bind(Y), None, Y)(x, level)
    assert denoiser.network.calls == 1
    plain = exact_denoiser(schedule)(x, level)
    gradient, _ = class_gradient(exact_classifier(schedule), x, level, Y)
    torch.testing.assert_close(
        guided.eps, plain.eps - scale * level.sigma * gradient, rtol=0, atol=1e-6
    )
    torch.testing.assert_close(level.alpha * guided.x0 + level.sigma * guided.eps, x)


def test_both_families_add_up() -> None:
    schedule, level = Linear(), Linear().level(400)
    x = x_at(level)
    rule = Chain([ClassifierFree(2.0), ClassifierGuidance(1.5)])
    guided = rule.bind(told(schedule).bind(Y), exact_classifier(schedule), Y)(x, level)
    gradient, _ = class_gradient(exact_classifier(schedule), x, level, Y)
    torch.testing.assert_close(
        guided.eps,
        exact_denoiser(schedule)(x, level).eps - 3.5 * level.sigma * gradient,
        rtol=0,
        atol=1e-6,
    )


def test_classifier_free_guidance_in_an_interval_leaves_the_labels_outside_it() -> None:
    schedule = Linear()
    denoiser = told(schedule)
    rule = ClassifierFree(3.0, Interval(0, 2))
    for t, inside in ((900, False), (300, False), (170, True)):
        level = schedule.level(t)
        assert Interval(0, 2)(level) == inside
        x = x_at(level)
        changed = (
            rule.bind(denoiser.bind(Y), None, Y)(x, level).eps - denoiser(x, level, Y).eps
        ).abs().max() > 1e-4
        assert changed == inside


def test_classifier_free_guidance_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs a class-conditional"):
        ClassifierFree(2.0).bind(exact_denoiser(Cosine()), None, Y)
    without = told(Cosine())
    without.network.num_classes = 3
    with pytest.raises(ValueError, match="without label dropout"):
        ClassifierFree(2.0).bind(without.bind(Y), None, Y)
    with pytest.raises(ValueError, match="several classes"):
        told(Cosine()).bind(torch.ones(16, 3))


def test_autoguidance_is_its_formula_whatever_the_weak_models_schedule() -> None:
    schedule, level = Cosine(), Cosine().level(300)
    x = x_at(level)
    weak = exact_denoiser(schedule, weights=(0.2, 0.2, 0.6))
    good, bad = exact_denoiser(schedule)(x, level), weak(x, level)
    for other in (weak, exact_denoiser(Linear(), weights=(0.2, 0.2, 0.6))):
        guided = Autoguidance(other, 1.5).bind(exact_denoiser(schedule), None, Y)(x, level)
        torch.testing.assert_close(
            guided.eps, good.eps + 1.5 * (good.eps - bad.eps), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(
            guided.x0, good.x0 + 1.5 * (good.x0 - bad.x0), rtol=1e-4, atol=1e-5
        )
    with pytest.raises(ValueError, match="autoguidance by runs/weak"):
        Autoguidance("runs/weak").bind(exact_denoiser(schedule), None, Y)


class LinearLogits(nn.Module):
    """f_k(z) = a_k . z"""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64),
            requires_grad=False,
        )

    def forward(self, z: Tensor) -> Tensor:
        return z.flatten(1) @ self.weight.T


MEAN, VARIANCE = 0.3, 0.4


def gaussian(x_t: Tensor, level: Level, mean: Tensor | float = MEAN) -> Prediction:
    gain = level.alpha * VARIANCE / (level.alpha**2 * VARIANCE + level.sigma**2)
    return Prediction.from_x0(x_t, level, mean + gain * (x_t - level.alpha * mean))


def test_clean_guidance_through_the_denoiser_is_exact_where_the_log_likelihood_is_linear(
    schedule: NoiseSchedule,
) -> None:
    """N(m, v) tilted by exp(a . x) is N(m + v a, v)."""
    classifier = CleanClassifier(LinearLogits(), DataSpec(class_names=NAMES))
    guided = CleanGuidance(conditional_temperature=0.0).bind(gaussian, classifier, Y)
    moved = MEAN + VARIANCE * classifier.network.weight[Y].reshape(16, *SHAPE)
    for t in range(0, 1000, 37):
        level = schedule.level(t)
        x = x_at(level, t)
        with torch.no_grad():
            ours = guided(x, level)
        torch.testing.assert_close(ours.eps, gaussian(x, level, moved).eps, rtol=0, atol=1e-6)
        assert not ours.eps.requires_grad


def test_clean_guidance_is_its_formula_with_and_without_the_denoisers_derivative() -> None:
    schedule, level = Linear(), Linear().level(300)
    classifier = CleanClassifier(LinearLogits(), DataSpec(class_names=NAMES))
    denoiser, x = exact_denoiser(schedule), x_at(level)

    def log_p(x0: Tensor) -> Tensor:
        logits = classifier.logits(x0)
        return (0.7 * logits.gather(1, Y[:, None])[:, 0] - (0.5 * logits).logsumexp(-1)).sum()

    base = gaussian(x, level)
    for through in (True, False):
        z = x.clone().requires_grad_()
        x0 = gaussian(z, level).x0 if through else z
        (gradient,) = torch.autograd.grad(log_p(x0 if through else z + base.x0 - x), z)
        rule = CleanGuidance(
            2.0, through_denoiser=through, joint_temperature=0.7, conditional_temperature=0.5
        )
        torch.testing.assert_close(
            rule.bind(gaussian, classifier, Y)(x, level).eps, base.eps - 2 * level.sigma * gradient
        )
    CleanGuidance(2.0, through_denoiser=False).bind(denoiser, classifier, Y)(x, level)
    assert denoiser.network.calls == 1


def test_a_network_of_another_library_gets_its_size_normalisation_and_channels() -> None:
    seen = []

    class Foreign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean(dim=(2, 3))

    grey = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    Preprocessed(Foreign(), 16, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1))(grey)
    assert seen[0].shape == (2, 3, 16, 16)
    torch.testing.assert_close(
        seen[0][:, :, 0, 0], torch.tensor([[-1.0, -2.0, -3.0], [1.0, 3.0, 7.0]])
    )


def test_softening_takes_every_relu_and_leaves_the_original() -> None:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 3), nn.ReLU())
    ).double()
    classifier = CleanClassifier(network, DataSpec(class_names=NAMES))
    soft, x = softened(classifier, 3.0), x_at(Cosine().level(0))
    hidden = nn.functional.softplus(network[1](x.flatten(1)), beta=3)
    torch.testing.assert_close(
        soft.logits(x), nn.functional.softplus(network[3][0](hidden), beta=3)
    )
    torch.testing.assert_close(classifier.logits(x), network(x))
    one = nn.ReLU()
    twice = CleanClassifier(nn.Sequential(one, nn.Linear(4, 4), one), DataSpec(class_names=NAMES))
    assert not any(isinstance(layer, nn.ReLU) for layer in softened(twice, 3.0).network)
    with pytest.raises(ValueError, match="no ReLU"):
        CleanGuidance(softplus=3.0).bind(
            gaussian, CleanClassifier(LinearLogits(), DataSpec(class_names=NAMES)), Y
        )


def test_a_classifier_of_the_wrong_kind_is_named() -> None:
    noisy, clean = (
        exact_classifier(Cosine()),
        CleanClassifier(LinearLogits(), DataSpec(class_names=NAMES)),
    )
    with pytest.raises(
        ValueError, match="knows clean images alone; guide with it by CleanGuidance"
    ):
        ClassifierGuidance().bind(gaussian, clean, Y)
    with pytest.raises(ValueError, match="knows noisy images; guide with it by ClassifierGuidance"):
        CleanGuidance().bind(gaussian, noisy, Y)
    with pytest.raises(ValueError, match="none was given"):
        CleanGuidance().bind(gaussian, None, Y)


def test_the_entropy_scale_is_the_papers_factor_in_each_image() -> None:
    schedule, level = Cosine(), Cosine().level(500)
    denoiser, classifier, x = exact_denoiser(schedule), exact_classifier(schedule), x_at(level)
    gradient, log_p = class_gradient(classifier, x, level, Y)
    factor = math.log(3) / torch.distributions.Categorical(logits=log_p).entropy()
    assert factor.std() > 0.1
    guided = ClassifierGuidance(2.0, image_weight=EntropyScale()).bind(denoiser, classifier, Y)(
        x, level
    )
    expected = denoiser(x, level).eps - 2 * level.sigma * factor[:, None, None, None] * gradient
    torch.testing.assert_close(guided.eps, expected)
    sure = torch.tensor([[0.0] + 99 * [-800.0]])
    assert EntropyScale(50.0)(torch.zeros(1, 1, 2, 2), sure, level).tolist() == [50.0]


def test_unit_gradients_push_every_image_by_the_scale() -> None:
    schedule, level = Cosine(), Cosine().level(500)
    denoiser, classifier, x = exact_denoiser(schedule), exact_classifier(schedule), x_at(level)
    guided = ClassifierGuidance(0.3, image_weight=UnitGradient()).bind(denoiser, classifier, Y)(
        x, level
    )
    push = guided.eps - denoiser(x, level).eps
    torch.testing.assert_close(
        push.flatten(1).square().mean(1).sqrt(), torch.full((16,), 0.3, dtype=torch.float64)
    )
    gradient, _ = class_gradient(classifier, x, level, Y)
    torch.testing.assert_close(
        nn.functional.cosine_similarity(push.flatten(1), -gradient.flatten(1)),
        torch.ones(16, dtype=torch.float64),
    )


def test_gradients_whose_squares_vanish_are_unit_gradients_too() -> None:
    level, gradient = Linear().level(100), torch.full((3, 1, 2, 2), 1e-30)
    gradient[2] = 0
    term = (
        level.sigma
        * UnitGradient()(gradient, torch.zeros(3, 3), level)[:, None, None, None]
        * gradient
    )
    torch.testing.assert_close(term.amax(dim=(1, 2, 3)), torch.tensor([1.0, 1.0, 0.0]))


def test_an_interval_is_open_within_and_closed_without() -> None:
    inside, schedule = Interval(-1.0, 2.0), Cosine()
    for t in range(0, 1000, 50):
        level = schedule.level(t)
        assert inside(level) == (-1 <= level.log_snr < 2)
    classifier, denoiser = exact_classifier(schedule), exact_denoiser(schedule)
    level = schedule.level(900)
    ClassifierGuidance(5.0, inside).bind(denoiser, classifier, Y)(x_at(level), level)
    assert classifier.network.calls == 0
    assert denoiser.network.calls == 1


def test_a_ramp_goes_straight_over_the_log_snr() -> None:
    ramp, schedule = Ramp(-2.0, 4.0, 0.5, 2.0), Cosine()
    for log_snr, factor in ((-9.0, 0.5), (-2.0, 0.5), (1.0, 1.25), (4.0, 2.0), (9.0, 2.0)):
        assert ramp(schedule.level(schedule.timestep(log_snr))) == pytest.approx(factor, abs=1e-6)
    assert Ramp(0, 1, 2, 0)(schedule.level(0)) == 0


@pytest.mark.parametrize("wrong", [(2.0, 2.0), (3.0, 1.0), (0.0, math.inf)])
def test_an_empty_interval_is_refused(wrong: tuple[float, float]) -> None:
    for weight in (Interval, Ramp):
        with pytest.raises(ValueError, match="empty interval"):
            weight(*wrong)


def test_an_interval_that_no_level_of_the_walk_falls_into_is_refused() -> None:
    levels, outside = Cosine().levels(10), Interval(50, 60)
    for rule in (
        ClassifierGuidance(2.0, outside),
        CleanGuidance(2.0, outside),
        ClassifierFree(2.0, outside),
        Autoguidance("weak", 2.0, outside),
    ):
        with pytest.raises(ValueError, match="0 at all 10 levels of the walk"):
            Chain([rule]).check(levels)
    Chain(
        [ClassifierGuidance(0.0, outside), ClassifierFree(1.0, outside), ClassifierGuidance(2.0)]
    ).check(levels)
    with pytest.raises(ValueError, match="0 at all"):
        Attribute(ClassifierGuidance(2.0, outside), exact_classifier(Cosine()), "a").check(levels)


def test_a_weak_model_is_not_asked_beyond_the_noise_it_knows() -> None:
    weak, level = exact_denoiser(Linear()), Cosine().level(999)
    x = x_at(level)
    guided = Autoguidance(weak, 2.0).bind(exact_denoiser(Cosine()), None, Y)(x, level)
    assert torch.equal(guided.eps, exact_denoiser(Cosine())(x, level).eps)
    assert weak.network.calls == 0


def test_a_weak_model_of_other_classes_is_refused() -> None:
    weak = told(Cosine())
    weak.data = replace(weak.data, class_names=("a", "b", "d"))
    with pytest.raises(ValueError, match="the weak model knows the classes a, b, d"):
        Autoguidance(weak).bind(told(Cosine()).bind(Y), None, Y)


def test_an_attribute_wants_a_classifier_and_a_rule_that_asks_one() -> None:
    with pytest.raises(ValueError, match="ClassifierFree asks no classifier"):
        Attribute(ClassifierFree(), exact_classifier(Cosine()), "a")
    assert Attribute(ClassifierGuidance(), exact_classifier(Cosine()), 2).label == "2"
    rule = Attribute(ClassifierGuidance(), "runs/diffusion", "a")
    with pytest.raises(
        ValueError, match="runs/diffusion: a diffusion model, and Attribute wants a classifier"
    ):
        rule.with_models({"runs/diffusion": exact_denoiser(Cosine())})


OFF = {
    "scale 0": ClassifierGuidance(0.0),
    "clean": CleanGuidance(0.0),
    "auto": Autoguidance("nowhere", 0.0),
    "attribute": Attribute(ClassifierGuidance(0.0), "nowhere", "a"),
    "all": Chain([ClassifierGuidance(0.0), Attribute(CleanGuidance(0.0), "nowhere", "a")]),
}


@pytest.mark.parametrize("rule", OFF.values(), ids=OFF)
def test_a_rule_that_is_off_is_the_denoiser_itself(rule) -> None:
    denoiser = exact_denoiser(Cosine())
    assert rule.models == ()
    assert rule.bind(denoiser, None, Y) is denoiser


def test_guidance_skips_the_level_that_is_noise_alone() -> None:
    level = Level(0.0, 1.0, 999.0)

    def from_v(x_t: Tensor, level: Level) -> Prediction:
        return Prediction.from_v(x_t, level, 0.1 * x_t)

    x = x_at(level)
    for rule, classifier in (
        (ClassifierGuidance(3.0), exact_classifier(Linear(zero_terminal_snr=True))),
        (CleanGuidance(3.0), CleanClassifier(LinearLogits(), DataSpec(class_names=NAMES))),
    ):
        ours = rule.bind(from_v, classifier, Y)(x, level)
        assert torch.equal(ours.x0, from_v(x, level).x0)
        assert torch.equal(ours.eps, from_v(x, level).eps)
