"""Several classes: guided by `log sum_k w_k p(k | x_t)` the prediction is exactly that of the
distribution that was asked for.
"""

import pytest
import torch

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Attribute, Chain, ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.diffusion.targets import (
    as_labels,
    check_targets,
    hit,
    log_target,
    parse_target,
    parse_targets,
    quoted,
)
from cgd_lightning.errors import InputError
from tests.conftest import (
    NAMES,
    PRIOR,
    Draws,
    ExactEps,
    ExactLogits,
    Mixture,
    exact_classifier,
    exact_denoiser,
)
from tests.diffusion.test_guidance import x_at
from tests.diffusion.test_samplers import sliced_wasserstein

ASKED = {
    "b": {"classes": [1]},
    "a|b": {"classes": [0, 1]},
    "!b": {"classes": [0, 2]},
    "!a|b": {"classes": [2]},
    "a+c": {"weights": (0.5, 0.0, 0.5)},
    "3*a+1*c+b": {"weights": (0.6, 0.2, 0.2)},
}


def labels_of(word: str, n: int = 16) -> torch.Tensor:
    target = parse_target(word, NAMES, PRIOR)
    return torch.tensor(
        [target] * n, dtype=torch.long if isinstance(target, int) else torch.float64
    )


@pytest.mark.parametrize("word", ASKED)
def test_a_target_gives_the_exact_prediction_of_its_mixture_at_every_level(
    word: str, schedule: NoiseSchedule
) -> None:
    guided = ClassifierGuidance(1.0).bind(
        exact_denoiser(schedule), exact_classifier(schedule), labels_of(word)
    )
    exact = exact_denoiser(schedule, **ASKED[word])
    for t in range(0, 1000, 9):
        level = schedule.level(t)
        x = x_at(level, t)
        ours, theirs = guided(x, level), exact(x, level)
        torch.testing.assert_close(ours.eps, theirs.eps, rtol=0, atol=1e-6)
        torch.testing.assert_close(
            level.alpha * ours.x0, level.alpha * theirs.x0, rtol=0, atol=1e-6 * max(1, level.sigma)
        )


def test_a_mixture_by_weights_without_the_prior_is_another_distribution() -> None:
    schedule, level = Linear(), Linear().level(300)
    x = x_at(level)
    wrong = torch.tensor([(0.5, 0.0, 0.5)] * 16, dtype=torch.float64)
    guided = ClassifierGuidance(1.0).bind(
        exact_denoiser(schedule), exact_classifier(schedule), wrong
    )
    assert (
        guided(x, level).eps - exact_denoiser(schedule, weights=(0.5, 0.0, 0.5))(x, level).eps
    ).abs().max() > 1e-3


def two_attributes(
    schedule: NoiseSchedule,
    module: type[Mixture],
    pairs: list[tuple[int, int]],
    by: int | None = None,
) -> Mixture:
    """An image whose upper row is one of two kinds A and whose lower row, independently, one of two
    kinds B; logits of A (0) or B (1).
    """
    network = module(schedule)
    means, variances = network.means.data.reshape(-1, 2), network.variances.data.reshape(-1, 2)
    shares = torch.tensor([0.7, 0.3, 0.4, 0.6], dtype=torch.float64)

    def both(values: torch.Tensor) -> torch.nn.Parameter:
        return torch.nn.Parameter(
            torch.stack([torch.cat([values[a], values[2 + b]]) for a, b in pairs])
        )

    network.means, network.variances = both(means), both(variances)
    weights = torch.stack([shares[a] * shares[2 + b] for a, b in pairs])
    network.weights = torch.nn.Parameter(weights / weights.sum())
    if by is not None:
        joint = network.joint
        kinds = torch.tensor([pair[by] for pair in pairs])
        network.joint = lambda x, t: torch.stack(
            [joint(x, t)[:, kinds == k].logsumexp(-1) for k in (0, 1)], dim=1
        )  # type: ignore[method-assign]
    return network.requires_grad_(False)


def test_and_of_two_classifiers_is_exact_where_the_attributes_are_independent(
    schedule: NoiseSchedule,
) -> None:
    pairs = [(a, b) for a in (0, 1) for b in (0, 1)]
    base = Denoiser(
        two_attributes(schedule, ExactEps, pairs), schedule, "eps", DataSpec((1, 2, 2), ("0", "1"))
    )
    first, second = (
        NoisyClassifier(
            two_attributes(schedule, ExactLogits, pairs, by), schedule, DataSpec((1, 2, 2), names)
        )
        for by, names in ((0, ("0", "1")), (1, ("plain", "striped")))
    )
    rule = Chain([ClassifierGuidance(1.0), Attribute(ClassifierGuidance(1.0), second, "striped")])
    guided = rule.bind(base, first, torch.zeros(16, dtype=torch.long))
    exact = Denoiser(
        two_attributes(schedule, ExactEps, [(0, 1)]), schedule, "eps", DataSpec((1, 2, 2))
    )
    one_only = ClassifierGuidance(1.0).bind(base, first, torch.zeros(16, dtype=torch.long))
    for t in range(0, 1000, 37):
        level = schedule.level(t)
        x = x_at(level, t)
        torch.testing.assert_close(guided(x, level).eps, exact(x, level).eps, rtol=0, atol=1e-6)
    level = schedule.level(300)
    assert (one_only(x_at(level), level).eps - exact(x_at(level), level).eps).abs().max() > 1e-2


def test_each_attribute_has_a_scale_of_its_own() -> None:
    schedule, level = Cosine(), Cosine().level(400)
    denoiser, classifier, x = (
        exact_denoiser(schedule),
        exact_classifier(schedule),
        x_at(Cosine().level(400)),
    )
    y = torch.zeros(16, dtype=torch.long)
    both = Chain(
        [
            ClassifierGuidance(2.0),
            Attribute(ClassifierGuidance(0.5), exact_classifier(schedule), "!c"),
        ]
    )
    base = denoiser(x, level).eps
    terms = [
        ClassifierGuidance(scale).bind(denoiser, classifier, labels)(x, level).eps - base
        for scale, labels in ((2.0, y), (0.5, labels_of("!c")))
    ]
    torch.testing.assert_close(
        both.bind(denoiser, classifier, y)(x, level).eps, base + terms[0] + terms[1]
    )


def test_samples_of_a_set_are_distributed_as_it_and_those_of_another_set_are_not() -> None:
    n, schedule = 20_000, Cosine()
    truth = [
        Mixture(schedule, [0, 1]).sample(n, torch.Generator().manual_seed(seed)) for seed in (1, 2)
    ]

    def distance(word: str) -> float:
        denoise = ClassifierGuidance(1.0).bind(
            exact_denoiser(schedule), exact_classifier(schedule), labels_of(word, n)
        )
        return sliced_wasserstein(DDIM(100, eta=1.0)(denoise, Draws(3, n), schedule), truth[0])

    by_chance = sliced_wasserstein(*truth)
    assert distance("a|b") < 3 * by_chance
    assert distance("b|c") > 6 * by_chance


NAMED = ("a", "b", "king, crowned", "3", 'x"y', "é", "猫", "p|q", "!b")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('"king, crowned",a', [2, 0]),
        ("king, crowned", [2]),  # the name wins
        ('a,"king, crowned", "p|q" ,b', [0, 2, 7, 1]),
        ('!"p|q"|a', [(0, 1, 1, 1, 1, 1, 1, 0, 1)]),
        ('"!b",!b', [8, 8]),
        ('"p|q"|"king, crowned"', [(0, 0, 1, 0, 0, 0, 0, 1, 0)]),
        ('3*"king, crowned" + "p|q"', [(0, 0, 6.75, 0, 0, 0, 0, 2.25, 0)]),
        ('"x""y"', [4]),
        ('x"y', [4]),  # within a name it opens nothing
        ("猫,é", [6, 5]),
        ('"3",3,2', [3, 3, 2]),
    ],
)
def test_a_name_in_quotes_stands_for_itself_whatever_is_in_it(text: str, wanted: list) -> None:
    made, _ = parse_targets(text, NAMED, len(wanted))
    assert made == [pytest.approx(t) if isinstance(t, tuple) else t for t in wanted]


def test_every_name_is_asked_for_as_it_is_written() -> None:
    names = (*NAMED, "", " a", '"', '""', ",", '",a', "a+b", "2*a", "a\nb", '"a"')
    text = ",".join(quoted(name) for name in names)
    assert parse_targets(text, names, len(names))[0] == list(range(len(names)))
    assert quoted("7") == "7"
    assert quoted("tench") == "tench"
    assert quoted("king, crowned") == '"king, crowned"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"king, crowned', "the double quote that opens it is not closed"),
        ('"2"', 'label "2": wanted a class name'),  # in quotes there is no index
        ("crowned,a", 'a name with such signs stands in quotes, as in "king, crowned"'),
    ],
)
def test_what_is_wrong_with_quotes_is_said(text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_targets(text, NAMED, 2)
    assert says in str(refused.value)


def test_targets_are_written_as_classes_sets_and_mixtures() -> None:
    names = ("0", "1", "7", "cat|dog", "3*a")
    assert parse_target("1", names) == 1
    assert parse_target("7", names) == 2  # the name wins
    assert parse_target("3", names) == 3
    assert parse_target("cat|dog", names) == 3
    assert parse_target("3*a", names) == 4
    assert parse_target("0 | 7", names) == (1, 0, 1, 0, 0)
    assert parse_target("!7", names) == (1, 1, 0, 1, 1)
    assert parse_target("0+1", names) == pytest.approx((2.5, 2.5, 0, 0, 0))
    assert parse_target("3*0 + 1", names, (0.5, 0.25, 0.25, 0, 0)) == pytest.approx(
        (1.5, 1, 0, 0, 0)
    )
    targets, written = parse_targets("1,!7", names, 3)
    assert targets == [1, (1, 1, 0, 1, 1), 1]
    assert written == {1: "1", (1, 1, 0, 1, 1): "!7"}
    assert parse_targets(None, names, 6)[0] == [0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize(
    "word", ["²", "d", "a|d", "!d", "a+d", "3", "!a|b|c", "0*a", "", "a|", "a,", "-1*a+b"]
)
def test_a_target_that_no_image_can_meet_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="label"):
        parse_targets(word, NAMES, 3)


def test_wrong_weights_are_refused() -> None:
    for target in ((1.0, 0.0), (0.0, 0.0, 0.0), (-1.0, 1.0, 1.0)):
        with pytest.raises(ValueError, match="wanted 3 weights"):
            check_targets([0, target], NAMES)
    with pytest.raises(ValueError, match="weights of 2 classes: this classifier knows 3"):
        ClassifierGuidance(1.0).bind(
            exact_denoiser(Cosine()), exact_classifier(Cosine()), torch.ones(1, 2)
        )


def test_plain_classes_and_their_weights_are_the_same_target() -> None:
    log_p = torch.randn(4, 3, dtype=torch.float64).log_softmax(-1)
    plain, weights = as_labels([0, 2, 1, 1], 3), as_labels([0, 2, 1, (0.0, 1.0, 0.0)], 3)
    assert plain.dtype == torch.int64
    torch.testing.assert_close(log_target(log_p, plain), log_target(log_p, weights))
    assert hit(torch.tensor([0, 1, 2, 1]), [0, 2, (1.0, 0.0, 1.0), (0.5, 0.0, 0.5)]).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_a_model_without_classes_makes_what_it_was_trained_on() -> None:
    targets, written = parse_targets(None, (), 3)
    assert targets == [0, 0, 0]
    assert written == {0: "all"}
    check_targets(targets, ())
    with pytest.raises(InputError, match="label 3: this model knows no classes; leave it out"):
        parse_targets("3", (), 2)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("a+" + "1" * 100_000 + "x", "wanted a class name"),  # looked at once, not at every split
        ("1" * 400 + "*a+b", "wanted a class name"),
        ("1" * 5000, "wanted a class name or an index"),
        ("0*a+0*b", "wanted proportions above 0"),
        ("a+", "label 'a.': a class is missing"),
    ],
)
def test_numbers_without_end_are_no_proportions_and_no_classes(word: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as told:
        parse_target(word, ("a", "b"))
    assert len(str(told.value)) < 400


def test_a_quoted_name_may_hold_a_line_break_behind_a_proportion() -> None:
    assert parse_target('2*"x\ny"+a', ("a", "x\ny")) == pytest.approx((2 / 3, 4 / 3))
    assert parse_target(' .5 * a + 1.5*"b*c"', ("a", "b*c")) == pytest.approx((0.5, 1.5))
