"""Edits against what is known: nothing changes, all comes back, one Gaussian becomes another."""

import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.guidance.keep import keep
from cgd_lightning.diffusion.guidance.proximal import proximal
from cgd_lightning.diffusion.level import CLEAN, Level
from cgd_lightning.diffusion.samplers import (
    DDIM,
    DDPM,
    AnnealedLangevin,
    DPMSolver,
    DPMSolverSDE,
    Euler,
    Heun,
    LangevinCorrector,
    Sampler,
)
from cgd_lightning.diffusion.samplers.resampling import resampled
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, VarianceExploding
from cgd_lightning.diffusion.start import Start
from cgd_lightning.errors import InputError
from tests.conftest import SHAPE, Draws, Mixture, exact_classifier
from tests.diffusion.closed_form import closed_form, with_variance

SPREAD = torch.tensor([0.05, 0.1, 0.2, 0.4]).double()
"""The variances of both classes where one is brought to the other."""

SOME = [Linear(), Cosine(), VarianceExploding()]


def kind(value: object) -> str:
    return type(value).__name__


def images(schedule: NoiseSchedule) -> Tensor:
    return Mixture(schedule).sample(16, torch.Generator().manual_seed(5))


def edited(
    start: Start,
    sampler: Sampler,
    schedule: NoiseSchedule,
    x0: Tensor,
    inverted: Denoise,
    denoise: Denoise | None = None,
) -> Tensor:
    levels = start.levels(sampler, schedule)
    steps = start.walk(x0, levels, inverted, sampler, denoise or inverted, Draws(3))
    return [x0, *steps][-1]


def guided(schedule: NoiseSchedule, label: int, spread: Tensor | None = None) -> Denoise:
    """The exact denoiser under the exact classifier's guidance to `label`, at scale 1."""
    denoiser, classifier = closed_form(schedule), exact_classifier(schedule)
    if spread is not None:
        for model in (denoiser, classifier):
            model.network.variances.data.copy_(spread.expand(3, 4))
    return ClassifierGuidance(1.0).bind(denoiser, classifier, torch.full((16,), label))


@pytest.mark.parametrize("by", ["inversion", "noise"])
def test_at_strength_0_nothing_is_asked_and_nothing_changes(by: str) -> None:
    denoiser, x0 = closed_form(Cosine()), images(Cosine())
    start = Start(0, by)
    assert start.levels(DDIM(20), Cosine()) == [CLEAN]
    assert torch.equal(edited(start, DDIM(20), Cosine(), x0, denoiser), x0)
    assert denoiser.network.calls == start.count(DDIM(20)) == 0


@pytest.mark.parametrize("by", ["inversion", "noise"])
def test_a_round_goes_up_from_where_the_last_one_ended(by: str) -> None:
    schedule, x0, sampler = Cosine(), images(Cosine()), DDIM(6)
    up, down = guided(schedule, 0), guided(schedule, 1)
    twice, draws, x = Start(0.6, by, rounds=2), Draws(3), x0
    levels = twice.levels(sampler, schedule)
    for _ in range(2):
        *_, x = Start(0.6, by).walk(x, levels, up, sampler, down, draws)
    found = list(twice.walk(x0, levels, up, sampler, down, Draws(3)))
    torch.testing.assert_close(found[-1], x, rtol=0, atol=0)
    assert len(found) == twice.count(sampler)
    assert len([*Start(0, rounds=3).walk(x0, [CLEAN], up, sampler, down, Draws(3))]) == 0


@pytest.mark.parametrize("sampler", [DDIM(6), DDPM(6), DPMSolver(6)], ids=kind)
def test_shrinkage_is_what_a_predicted_change_loses(sampler: Sampler) -> None:
    schedule, x0 = Cosine(), images(Cosine())
    seen: list[tuple[Tensor, Tensor]] = []

    def near(x_t: Tensor, level: Level) -> Prediction:
        far, close = down(x_t, level), proximal(down, x0, 0.2)(x_t, level)
        again = level.alpha * close.x0 + level.sigma * close.eps
        torch.testing.assert_close(again, x_t)
        assert close.base is not None
        seen.append((far.x0 - x0, close.x0 - x0))
        return close

    down = guided(schedule, 1)
    ended = edited(Start(0.6), sampler, schedule, x0, guided(schedule, 0), near)
    for change, left in seen:
        torch.testing.assert_close(left, change.sign() * (change.abs() - 0.2).clamp(min=0))
    torch.testing.assert_close(ended, x0 + seen[-1][1])
    assert 0 < (seen[-1][1] == 0).double().mean() < 1


@pytest.mark.parametrize("schedule", SOME, ids=kind)
def test_without_guidance_an_inversion_with_refinements_comes_back(
    schedule: NoiseSchedule,
) -> None:
    x0, denoiser = images(schedule), closed_form(schedule)
    roughly, nearly = (
        (edited(Start(0.7, refinements=n), DDIM(12), schedule, x0, denoiser) - x0).abs().max()
        for n in (0, 30)
    )
    assert nearly < 1e-6 < roughly


@pytest.mark.parametrize(
    ("schedule", "strength"),
    [(Linear(), 1.0), (Cosine(), 0.4), (Cosine(), 1.0), (VarianceExploding(), 0.6)],
    ids=["linear", "cosine part", "cosine", "exploding part"],
)
def test_under_source_and_target_one_gaussian_is_brought_to_the_other(
    schedule: NoiseSchedule, strength: float
) -> None:
    """x' = x + (I - alpha S^1/2 (alpha^2 S + sigma^2 I)^-1/2) (m_1 - m_0), to the first order.

    The flow of N(m, S) takes x to alpha m + (alpha^2 S + sigma^2 I)^1/2 S^-1/2 (x - m).
    """
    means = Mixture(schedule).means.detach()
    draws = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)).double()
    x0 = (means[0] + SPREAD.sqrt() * draws).reshape(16, *SHAPE)
    source, target = (guided(schedule, label, SPREAD) for label in (0, 1))
    errors = []
    for steps in (40, 80):
        sampler, start = DDIM(steps), Start(strength)
        alpha, sigma, _ = start.levels(sampler, schedule)[0]
        kept = alpha * (SPREAD / (alpha**2 * SPREAD + sigma**2)).sqrt()
        moved = ((1 - kept) * (means[1] - means[0])).reshape(1, *SHAPE)
        found = edited(start, sampler, schedule, x0, source, target)
        errors.append(((found - x0 - moved).abs().max() / moved.abs().max()).item())
    assert errors[0] < 0.15
    assert 1.8 < errors[0] / errors[1] < 2.1
    if strength == 1:
        assert kept.max() < 0.05  # which leaves the translation by m_1 - m_0


def test_an_unguided_inversion_returns_to_the_target_class_too() -> None:
    schedule, x0 = Cosine(), images(Cosine())
    denoiser, classifier = closed_form(schedule), exact_classifier(schedule)
    found = edited(Start(0.9), DDIM(40), schedule, x0, denoiser, guided(schedule, 1))
    least = schedule.level(0)
    before, after = (classifier.log_prob_at(x, least)[:, 1].exp() for x in (x0, found))
    assert before.mean() < 0.6
    assert after.mean() > 0.95
    under = edited(Start(0.9), DDIM(40), schedule, x0, guided(schedule, 0), guided(schedule, 1))
    assert (found - under).abs().max() > 0.05


def test_by_noise_the_images_stand_at_the_level_with_seeded_noise() -> None:
    schedule, x0 = Cosine(), images(Cosine())
    levels = Start(0.5, "noise").levels(DDIM(10), schedule)
    (x,) = Start(0.5, "noise").rise(x0, levels, closed_form(schedule), Draws(3))
    assert levels[0].t == 499
    assert torch.equal(x, levels[0].alpha * x0 + levels[0].sigma * Draws(3)())


def test_a_start_takes_all_steps_in_its_part_of_the_timesteps() -> None:
    for spacing in ("uniform", "trailing", "log_snr", "karras", "10,5", "ddim15"):
        levels = Start(0.3).levels(DDIM(15, spacing=spacing), Cosine())
        assert len(levels) == 16
        assert levels[-1] == CLEAN
        t = [level.t for level in levels[:-1]]
        assert t == sorted(t, reverse=True)
        assert 280 <= t[0] <= 299
        if spacing not in ("ddim15",):
            assert t[0] == 299
    assert Start(1).levels(DDIM(7), Cosine()) == Cosine().levels(7)
    assert Start(0.015).levels(DDIM(15), Cosine())[0].t == 14
    with pytest.raises(InputError, match=r"strength 0.01: that is 10 of 1000 timesteps, too few"):
        Start(0.01).levels(DDIM(15), Cosine())
    with pytest.raises(InputError, match=r"take fewer steps, or a strength of at least 1$"):
        Start(0.9).levels(DDIM(1000), Cosine())
    with pytest.raises(InputError, match=r"too few for 100000 steps; take fewer steps$"):
        Start(0.5).levels(DDIM(100_000), Cosine())


SAMPLERS = [
    DDIM(8),
    DDIM(8, eta=1.0),
    DDPM(8),
    DDPM(8, "fixed_large", mean_shift=True),
    DDPM(8, "learned"),
    Euler(8),
    Heun(8),
    DPMSolver(8),
    DPMSolverSDE(8),
    LangevinCorrector(8),
    AnnealedLangevin(8),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_what_may_not_change_comes_back_from_every_sampler(sampler: Sampler) -> None:
    schedule, x0 = Cosine(), images(Cosine())
    changes = torch.rand(16, 1, 2, 2, generator=torch.Generator().manual_seed(1)) < 0.5
    denoise = with_variance(guided(schedule, 1))
    for start in (Start(0.8), Start(0.8, "noise")):
        found = edited(start, sampler, schedule, x0, denoise, keep(denoise, x0, changes))
        assert (found - x0)[~changes].abs().max() < 1e-12
        assert (found - x0)[changes].abs().mean() > 0.05


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_where_all_may_change_a_mask_changes_nothing(sampler: Sampler) -> None:
    schedule, x0 = Cosine(), images(Cosine())
    denoise = with_variance(guided(schedule, 1))
    everywhere = torch.ones(16, 1, 2, 2, dtype=torch.bool)
    with_mask = edited(Start(0.8), sampler, schedule, x0, denoise, keep(denoise, x0, everywhere))
    assert torch.equal(with_mask, edited(Start(0.8), sampler, schedule, x0, denoise))


def test_a_prediction_with_what_is_known_is_still_one_of_x_t() -> None:
    schedule, level = Cosine(), Cosine().level(400)
    x0, x_t = images(schedule), Draws(1)()
    changes = torch.rand(16, 1, 2, 2, generator=torch.Generator().manual_seed(1)) < 0.5
    rule = Chain([ClassifierGuidance(3.0), Clamp()])
    free = rule.bind(closed_form(schedule), exact_classifier(schedule), torch.arange(16) % 3)
    found = keep(free, x0, changes)(x_t, level)
    for each in (found, found.base):
        assert isinstance(each, Prediction)
        torch.testing.assert_close(level.alpha * each.x0 + level.sigma * each.eps, x_t)
        assert torch.equal(each.x0[~changes], x0[~changes])


def test_resampling_draws_what_may_change_as_the_rest_of_the_image_wants_it() -> None:
    """Of a Gaussian in two places: nearer to p(a | b) than replacement alone."""
    schedule = Cosine()
    covariance = torch.tensor([[0.5, 0.45], [0.45, 0.5]]).double()

    def exact(x_t: Tensor, level: Level) -> Prediction:
        noisy = level.alpha**2 * covariance + level.sigma**2 * torch.eye(2).double()
        gain = level.alpha * covariance @ torch.linalg.inv(noisy)
        return Prediction.from_x0(x_t, level, (x_t.flatten(1) @ gain.T).reshape(x_t.shape))

    x0 = torch.full((4000, 1, 1, 2), 0.7).double()
    changes = torch.tensor([True, False]).expand(4000, 1, 1, 2)
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        return torch.randn(x0.shape, generator=generator).double()

    errors = []
    for resamplings in (0, 8):
        start = Start(1.0, "noise", resamplings=resamplings)
        sampler = DDPM(40)
        levels = start.levels(sampler, schedule)
        *_, x = start.walk(x0, levels, exact, sampler, keep(exact, x0, changes), noise)
        errors.append(abs(x[:, 0, 0, 0].mean().item() - 0.9 * 0.7))
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.05


def test_no_resampling_is_the_sampler_itself_and_steps_are_counted_once() -> None:
    schedule, denoiser = Cosine(), closed_form(Cosine())
    levels = schedule.levels(6)
    x = Draws(1)()
    for sampler in (DDIM(6), DDIM(6, eta=1.0), DDPM(6), Heun(6)):
        assert sampler.one_step
        stepwise = x
        for level, below in zip(levels, levels[1:]):
            noise = Draws(2)
            (stepwise,) = sampler.walk(denoiser, stepwise, [level, below], noise)
        *_, whole = sampler.walk(denoiser, x, levels, lambda: Draws(2)())
        assert torch.equal(stepwise, whole)
        assert len(list(resampled(sampler, 3, denoiser, x, levels, Draws(4)))) == 6
    for start, sampler in ((Start(), DDIM(6)), (Start(by="noise"), DDPM(6))):
        found = list(
            start.walk(x, start.levels(sampler, schedule), denoiser, sampler, denoiser, Draws(0))
        )
        assert len(found) == start.count(sampler)


WRONG = {
    "strength 1.5: wanted a share": {"strength": 1.5},
    "strength -0.1: wanted": {"strength": -0.1},
    "strength nan: wanted": {"strength": float("nan")},
    "strength 'half': wanted": {"strength": "half"},
    "strength True: wanted": {"strength": True},
    "by 'magic': wanted one of inversion, noise": {"by": "magic"},
    "refinements -1: wanted an integer, 0 to 10,000": {"refinements": -1},
    "refinements 2.0: wanted": {"refinements": 2.0},
    "resamplings 10001: wanted": {"resamplings": 10001},
    "rounds 2: the way up is guided by what an image shows": {"rounds": 2, "source": "3"},
    "rounds 0: wanted an integer, 1 to 10,000": {"rounds": 0},
    "shrinkage -0.1: wanted a part": {"shrinkage": -0.1},
    "shrinkage nan: wanted a part": {"shrinkage": float("nan")},
    "shrinkage True: wanted a part": {"shrinkage": True},
    "source 3: wanted a class as text": {"source": 3},
    "refinements 2: are of an inversion": {"by": "noise", "refinements": 2},
}


@pytest.mark.parametrize(("says", "values"), WRONG.items(), ids=WRONG)
def test_values_out_of_range_are_refused(says: str, values: dict) -> None:
    with pytest.raises(InputError, match=says):
        Start(**values)


def test_a_sampler_that_remembers_does_not_take_its_steps_again() -> None:
    for sampler in (DPMSolver(8), LangevinCorrector(8), DDPM(8, mean_shift=True)):
        Start().check(sampler)
        with pytest.raises(InputError, match=f"resamplings 2: a step of {kind(sampler)}"):
            Start(resamplings=2).check(sampler)


def test_all_but_the_source_is_written_as_labels_are() -> None:
    assert Start().others is None
    assert Start(source="3").others == "!3"
    assert Start(source="cat, 3|7,!5").others == "!cat,!3|7,5"
