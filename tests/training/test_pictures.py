"""Which images of which classes a picture shows, and which are measured."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from cgd_lightning.evaluation.plots import Block, sheet
from cgd_lightning.training.notices import Notices
from cgd_lightning.training.pictures import Layout

LETTERS = tuple("abc")


def test_with_a_row_for_each_class_the_images_of_the_grid_are_the_first_that_are_measured() -> None:
    layout = Layout(LETTERS, columns=2, unguided_columns=1, num_metric_samples=8)
    assert layout.shown(2) == [0, 1, 2, 0, 1, 2]
    assert layout.guided == [0, 1, 2, 0, 1, 2, 0, 1]
    assert layout.labels.tolist() == layout.guided


def test_with_more_classes_than_rows_all_classes_are_measured_beside_the_grid() -> None:
    layout = Layout(tuple(map(str, range(25))), 1, 1, num_metric_samples=30)
    assert layout.shown(1) == list(range(20))
    assert layout.guided == [*range(20), *range(25), *range(5)]
    assert layout.labels.tolist() == [*range(25), *range(5)]


def test_fewer_images_are_measured_than_shown_or_none() -> None:
    few = Layout(LETTERS, 2, 1, num_metric_samples=4)
    assert len(few.guided) == 6
    assert few.labels.tolist() == [0, 1, 2, 0]
    assert len(Layout(LETTERS, 2, 1, num_metric_samples=0).labels) == 0


def test_a_row_is_a_class_and_the_same_noise_has_the_same_place() -> None:
    layout = Layout(LETTERS, columns=2, unguided_columns=1, num_metric_samples=0)
    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1)
    assert layout.by_class(images).flatten(1).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_picture_has_a_gap_between_unguided_and_guided_columns() -> None:
    plain = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    guided = torch.full((8, 1, 4, 4), 100, dtype=torch.uint8)

    def greys(layout: Layout, guided: torch.Tensor | None) -> list[int]:
        """Of the middle of each cell in the first row."""
        picture = layout.picture(plain, guided)
        step = 50
        columns = (picture.width - picture.width % step) // step
        left, top = picture.width - columns * step, picture.height - 3 * step
        middles = [left + step * x + step // 2 - 1 for x in range(columns)]
        return np.asarray(picture.convert("L"))[top + step // 2, middles].tolist()

    layout = Layout(LETTERS, columns=2, unguided_columns=1, num_metric_samples=8)
    assert greys(layout, guided) == [0, 255, 100, 100]
    assert greys(layout, None) == [0]
    assert greys(Layout(LETTERS, 2, 0, 8), guided) == [100, 100]


def test_words_above_the_columns_tell_what_is_guided_and_rows_are_named_if_they_were_asked() -> (
    None
):
    """The picture is that of the same blocks with these words, to the pixel."""
    plain = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    guided = torch.full((6, 1, 4, 4), 100, dtype=torch.uint8)
    layout = Layout(LETTERS, columns=2, unguided_columns=1, num_metric_samples=0)
    left, right = list(plain[:, None]), list(layout.by_class(guided))
    for made, blocks, names in (
        (layout.picture(plain, None), [Block(left, "unguided")], ["", "", ""]),
        (layout.picture(plain, None, told=True), [Block(left, "unguided")], LETTERS),
        (
            layout.picture(plain, guided, 5.0),
            [Block(left, "unguided"), Block(right, "scale 5")],
            LETTERS,
        ),
    ):
        wanted = sheet(blocks, names)
        assert (made.size, made.tobytes()) == (wanted.size, wanted.tobytes())


def test_a_notice_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)
    notices = Notices("somebody")
    capsys.readouterr()
    for text in ("one  thing", "one thing", "another"):
        notices.once(text, trainer)
    for value in (1, 2):
        notices.once(f"value {value}", trainer, key="value")
    assert capsys.readouterr().err.splitlines() == [
        "somebody: one thing",
        "somebody: another",
        "somebody: value 1",
    ]
