import contextlib

import pytest
import torch

from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, Prediction
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance, SqrtBeta
from cgd_lightning.diffusion.guidance.classifier import class_gradient
from cgd_lightning.diffusion.samplers import DDIM, DDPM, Sampler
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, VarianceExploding
from tests.conftest import SCHEDULES, Draws, exact_classifier, exact_denoiser


def x_at(level, seed: int = 0) -> torch.Tensor:
    return level.radius * Draws(seed)()


def test_unit_scale_guidance_is_bayes_rule_at_every_level(schedule: NoiseSchedule) -> None:
    guided = {
        k: ClassifierGuidance(1.0).bind(
            exact_denoiser(schedule), exact_classifier(schedule), torch.full((16,), k)
        )
        for k in range(3)
    }
    conditional = {k: exact_denoiser(schedule, [k]) for k in range(3)}
    for t in range(1000):
        k, level = t % 3, schedule.level(t)
        x = x_at(level, t)
        ours, exact = guided[k](x, level), conditional[k](x, level)
        torch.testing.assert_close(ours.eps, exact.eps, rtol=0, atol=1e-6)
        torch.testing.assert_close(
            level.alpha * ours.x0, level.alpha * exact.x0, rtol=0, atol=1e-6 * max(1, level.sigma)
        )


def test_another_scale_is_not_bayes_rule() -> None:
    schedule, level = Linear(), Linear().level(300)
    guided = ClassifierGuidance(2.0).bind(
        exact_denoiser(schedule), exact_classifier(schedule), torch.full((16,), 1)
    )
    x = x_at(level)
    assert (guided(x, level).eps - exact_denoiser(schedule, [1])(x, level).eps).abs().max() > 1e-2


def test_every_image_is_steered_to_its_own_class() -> None:
    schedule, level = Linear(), Linear().level(300)
    y = torch.arange(16) % 3
    x = x_at(level)
    eps = (
        ClassifierGuidance(1.0)
        .bind(exact_denoiser(schedule), exact_classifier(schedule), y)(x, level)
        .eps
    )
    for k in range(3):
        torch.testing.assert_close(eps[y == k], exact_denoiser(schedule, [k])(x, level).eps[y == k])


@pytest.mark.parametrize("sampler", [DDIM(20), DDPM(20)], ids=["DDIM", "DDPM"])
def test_scale_zero_is_the_unguided_sampler_and_asks_no_classifier(sampler: Sampler) -> None:
    schedule = Cosine()
    classifier, denoiser = exact_classifier(schedule), exact_denoiser(schedule)
    rule = ClassifierGuidance(0.0)
    assert not rule.guides
    x = sampler(
        rule.bind(denoiser, classifier, torch.zeros(16, dtype=torch.long)), Draws(2), schedule
    )
    assert torch.equal(x, sampler(exact_denoiser(schedule), Draws(2), schedule))
    assert classifier.network.calls == 0
    assert denoiser.network.calls == 20


@pytest.mark.parametrize("theirs", SCHEDULES, ids=lambda s: type(s).__name__)
def test_a_classifier_of_another_schedule_is_met_at_equal_noise_angle(
    schedule: NoiseSchedule, theirs: NoiseSchedule
) -> None:
    """A classifier's own timestep is told in float32: its noise level is met to about 1e-5."""
    classifier, denoiser = exact_classifier(theirs), exact_denoiser(schedule)
    y = torch.arange(16) % 3
    for t in (100, 300, 600):
        level = schedule.level(t)
        assert classifier.covers(level)
        x = x_at(level)
        gradient, _ = class_gradient(classifier, x, level, y)
        expected, _ = class_gradient(exact_classifier(schedule), x, level, y)
        torch.testing.assert_close(gradient, expected, rtol=2e-4, atol=1e-5)
        eps = ClassifierGuidance(1.0).bind(denoiser, classifier, y)(x, level).eps
        torch.testing.assert_close(
            eps, denoiser(x, level).eps - level.sigma * expected, rtol=2e-4, atol=1e-5
        )


def test_a_classifier_has_no_weight_beyond_the_noise_it_knows() -> None:
    denoiser, classifier = (
        exact_denoiser(VarianceExploding(sigma_max=1e5)),
        exact_classifier(Linear()),
    )
    level = denoiser.schedule.level(999)
    assert not classifier.covers(level)
    x = x_at(level)
    guided = ClassifierGuidance(5.0).bind(denoiser, classifier, torch.zeros(16, dtype=torch.long))
    assert torch.equal(guided(x, level).eps, denoiser(x, level).eps)
    assert classifier.network.calls == 0


def test_the_tutorials_weight_is_a_fraction_of_bayes_weight() -> None:
    weight, schedule = SqrtBeta(), Linear()
    ratios = torch.tensor([weight(schedule.level(t)) for t in range(1000)])
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    sigma = schedule.sigma(torch.arange(1000, dtype=torch.float64))
    torch.testing.assert_close(ratios.double(), beta.sqrt() / sigma, rtol=1e-6, atol=1e-6)
    exploding = SqrtBeta(VarianceExploding())
    own, before = VarianceExploding().level(400), VarianceExploding().level(399)
    assert exploding(own) == pytest.approx((own.sigma**2 - before.sigma**2) ** 0.5 / own.sigma)
    assert ((ratios > 0.099) & (ratios < 0.20)).float().mean() > 0.95


def test_the_weight_multiplies_the_gradient() -> None:
    schedule, level = Linear(), Linear().level(200)
    y, x = torch.zeros(16, dtype=torch.long), x_at(Linear().level(200))
    denoiser, classifier = exact_denoiser(schedule), exact_classifier(schedule)
    base = denoiser(x, level).eps
    full = ClassifierGuidance(1.0).bind(denoiser, classifier, y)(x, level).eps - base
    weak = ClassifierGuidance(4.0, SqrtBeta()).bind(denoiser, classifier, y)(x, level).eps - base
    torch.testing.assert_close(weak, 4 * SqrtBeta()(level) * full)


def test_clamp_bounds_x0_and_keeps_x_t_the_sum_of_both() -> None:
    level = Cosine().level(400)
    x, wild = x_at(level), 3 * x_at(level, 5)
    clamped = Clamp().bind(
        lambda x, level: Prediction.from_x0(x, level, wild), None, torch.zeros(16)
    )(x, level)
    assert torch.equal(clamped.x0, wild.clamp(-1, 1))
    torch.testing.assert_close(level.alpha * clamped.x0 + level.sigma * clamped.eps, x)


def test_a_chain_clamps_inside_or_outside_the_guidance() -> None:
    schedule, level = Cosine(), Cosine().level(700)
    denoiser, classifier, y = (
        exact_denoiser(schedule),
        exact_classifier(schedule),
        torch.zeros(16, dtype=torch.long),
    )
    x = 3 * x_at(level)
    inside = Chain([Clamp(-0.1, 0.1), ClassifierGuidance(5.0)]).bind(denoiser, classifier, y)(
        x, level
    )
    outside = Chain([ClassifierGuidance(5.0), Clamp(-0.1, 0.1)]).bind(denoiser, classifier, y)(
        x, level
    )
    assert inside.x0.abs().max() > 0.1
    assert outside.x0.abs().max() <= 0.1


CONTEXTS = {
    "grad": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_guidance_works_in_every_gradient_mode(context) -> None:
    schedule, level = Cosine(), Cosine().level(500)
    expected, _ = class_gradient(
        exact_classifier(schedule), x_at(level), level, torch.ones(16, dtype=torch.long)
    )
    with context():
        gradient, _ = class_gradient(
            exact_classifier(schedule), x_at(level), level, torch.ones(16, dtype=torch.long)
        )
    assert torch.equal(gradient, expected)
    assert gradient.abs().max() > 0


def test_the_gradient_is_differentiable_when_asked() -> None:
    schedule, level = Cosine(), Cosine().level(500)
    classifier, y, x = (
        exact_classifier(schedule),
        torch.ones(16, dtype=torch.long),
        x_at(level).requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda x: class_gradient(classifier, x, level, y)[0], x)


def test_the_gradient_of_a_network_can_be_differentiated_through_its_attention() -> None:
    from cgd_lightning.diffusion.classifier import NoisyClassifier
    from cgd_lightning.networks import EncoderUNet

    network = EncoderUNet(
        4,
        1,
        3,
        model_channels=8,
        channel_mult=(1, 1),
        attention_resolutions=(1, 2),
        num_res_blocks=1,
    ).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    classifier = NoisyClassifier(
        network.requires_grad_(False), Cosine(), DataSpec(class_names=tuple("abc"))
    )
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    gradient, _ = class_gradient(classifier, x, Cosine().level(300), torch.tensor([0, 1]))
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert second.abs().max() > 0


def test_guidance_without_a_classifier_says_so() -> None:
    with pytest.raises(ValueError, match="needs a classifier"):
        ClassifierGuidance(1.0).bind(exact_denoiser(Cosine()), None, torch.zeros(1))


def test_a_classifier_refuses_images_of_another_shape() -> None:
    with pytest.raises(
        ValueError, match=r"\(1, 3, 3\): this classifier was trained on \(1, 2, 2\)"
    ):
        exact_classifier(Cosine()).log_prob(torch.zeros(1, 1, 3, 3), torch.zeros(1))


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_eps_x0_and_v_say_the_same(schedule: NoiseSchedule, prediction: str) -> None:
    level = schedule.level(321)
    x = x_at(level)
    truth = exact_denoiser(schedule)(x, level)
    raw = {"eps": truth.eps, "x0": truth.x0, "v": level.alpha * truth.eps - level.sigma * truth.x0}[
        prediction
    ]

    class Raw(torch.nn.Module):
        def forward(self, x, t):
            return raw

    answer = Denoiser(Raw(), schedule, prediction)(x, level)
    torch.testing.assert_close(answer.x0, truth.x0)
    torch.testing.assert_close(answer.eps, truth.eps)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_a_network_that_hits_its_target_denoises_perfectly(
    schedule: NoiseSchedule, prediction: str
) -> None:
    from cgd_lightning.diffusion.process import NoisyBatch, add_noise

    x0, eps = (
        torch.rand(4, 1, 2, 2, dtype=torch.float64) * 2 - 1,
        torch.randn(4, 1, 2, 2, dtype=torch.float64),
    )
    t = torch.full((4,), 250.0, dtype=torch.float64)
    batch = NoisyBatch(x0, add_noise(x0, t, eps, schedule), t, eps, torch.zeros(4), torch.arange(4))

    class Perfect(torch.nn.Module):
        def forward(self, x, t):
            return Denoiser(self, schedule, prediction).target(batch)

    answer = Denoiser(Perfect(), schedule, prediction)(batch.x_t, schedule.level(250))
    torch.testing.assert_close(answer.x0, x0)
    torch.testing.assert_close(answer.eps, eps)
