"""What a diagnosis says and shows: the verdict, the table, the picture."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cgd_lightning.diffusion.level import Level
from cgd_lightning.evaluation.diagnosis import Diagnosis, diagnose, figures
from cgd_lightning.evaluation.diagnosis.calibration import Calibration
from cgd_lightning.evaluation.diagnosis.measure import LevelReport
from cgd_lightning.evaluation.diagnosis.weakest import weakest, weakest_in_words
from tests.evaluation.diagnosis.mixture import classifier, denoiser, images

NOTHING = 2.3
"""Entropy of the classes of the reports below, in nats."""


def report(t: float, mine: float, means: float) -> LevelReport:
    def calibrated(accuracy: float, cross_entropy: float) -> Calibration:
        return Calibration(accuracy, cross_entropy, 0.0, 1.0, cross_entropy, (), ())

    return LevelReport(
        Level(0.8, 0.6, t), calibrated(0.75, mine), calibrated(0.5, means), 1.0, None
    )


@pytest.fixture(scope="module")
def pair() -> Diagnosis:
    return diagnose(classifier(), *images(200), denoiser(), levels=5)


@pytest.fixture(scope="module")
def alone() -> Diagnosis:
    return diagnose(classifier(), *images(200), levels=5)


def test_the_weakest_level_is_that_of_the_least_gain_over_what_costs_nothing() -> None:
    reports = [report(0, 0.1, 0.5), report(300, 0.9, 1.0), report(600, 1.9, 2.1)]
    assert weakest(reports, NOTHING) is reports[1]
    assert weakest_in_words(reports[1], NOTHING) == (
        "its weakest noise level is t = 300, where it gains least over the class means alone "
        "(accuracy 75.0% against 50.0%, cross-entropy 0.900 against 1.000)"
    )


def test_a_level_where_the_class_means_do_better_is_said_to_be_no_better() -> None:
    reports = [report(0, 0.1, 0.5), report(300, 1.2, 1.0)]
    assert "where it does no better than the class means alone" in weakest_in_words(
        weakest(reports, NOTHING), NOTHING
    )


def test_class_means_that_know_less_than_nothing_are_no_rival() -> None:
    said = weakest_in_words(report(300, 2.0, 2.4), NOTHING)
    assert said.endswith(
        "gains least over guessing by how frequent the classes are "
        "(cross-entropy 2.000 against 2.300)"
    )


def test_pure_noise_where_there_is_nothing_to_see_is_not_the_weakest_level() -> None:
    reports = [report(0, 0.1, 0.5), report(600, 2.0, 2.05), report(999, 2.31, 2.3)]
    assert weakest(reports, NOTHING) is reports[1]
    assert weakest(reports[2:], NOTHING) is reports[2]


def test_a_verdict_without_fault_says_with_how_many_images(pair: Diagnosis) -> None:
    assert pair.faults == ()
    level = weakest(pair.levels, pair.entropy).level
    assert pair.verdict[1].startswith(
        f"no fault found with 200 images: its weakest noise level is t = {level.t:.0f}, where"
    )


def test_every_column_of_the_table_is_explained_below_it(alone: Diagnosis) -> None:
    head, *rows = alone.table().splitlines()
    legend = rows[len(alone.levels) + 1 :]
    explained = {line.split()[0] for line in legend if not line.startswith(" ")}
    assert explained == set(head.split()) - {"t", "log", "SNR", "accuracy"}
    assert f"{alone.entropy:.3f}" in "\n".join(legend)
    assert "nan" not in alone.table()
    assert max(map(len, alone.table().splitlines())) <= 110


def test_the_picture_has_a_panel_for_each_thing_that_was_measured(
    pair: Diagnosis, alone: Diagnosis
) -> None:
    titles = [axes.get_title(loc="left") for axes in figures.draw(alone).axes]
    assert [title.split(" (")[0].split(":")[0] for title in titles] == [
        "accuracy",
        "cross-entropy",
        "calibration error, ECE",
        "best temperature",
        "length",
    ]
    assert len(figures.draw(pair).axes) == 9


def test_the_picture_shows_the_numbers_of_the_diagnosis(pair: Diagnosis) -> None:
    accuracy = figures.draw(pair).axes[0]
    lines = {line.get_label(): line for line in accuracy.get_lines()}
    assert list(lines["classifier"].get_ydata()) == [each.found.accuracy for each in pair.levels]
    assert list(lines["class means"].get_ydata()) == [
        each.baseline.accuracy for each in pair.levels
    ]
    assert list(lines["chance"].get_ydata()) == [1 / 3, 1 / 3]


def test_one_that_cannot_guide_has_a_picture_without_a_shade(
    alone: Diagnosis, tmp_path: Path
) -> None:
    hopeless = replace(alone, advice=None)
    figures.save(hopeless, tmp_path / "diagnosis.png")
    with Image.open(tmp_path / "diagnosis.png") as picture:
        assert picture.size == (round(3 * 4.6 * 110), round(2 * 3.4 * 110))
    shaded, plain = (figures.draw(each).axes[0] for each in (alone, hopeless))
    assert len(shaded.patches) == len(plain.patches) + 1
