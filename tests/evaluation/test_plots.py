import pytest
import torch
from PIL import Image
from torch import Tensor

from cgd_lightning.evaluation.plots import Block, grid, grid_places, sheet, stack, to_picture


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_shows_every_image_in_its_row(channels: int) -> None:
    rows = [torch.randint(256, (n, channels, 8, 8), dtype=torch.uint8) for n in (3, 2)]
    picture = grid(rows, ["cat", "a dog"], cell=16)
    width = max(map(len, rows)) * 18
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            left = picture.width - width + 18 * x
            cell = picture.crop((left, 2 + 18 * y, left + 16, 18 + 18 * y)).resize((8, 8), 0)
            assert torch.equal(stack([cell])[0], image)


def ink(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """The box of what is not white."""
    return picture.convert("L").point(lambda value: 255 - value).getbbox()


@pytest.mark.parametrize(("side", "count"), [(8, 1), (8, 2), (64, 10), (256, 2)])
def test_a_heading_stands_above_the_images_at_every_size_and_is_not_cut_off(
    side: int, count: int
) -> None:
    rows = [torch.full((count, 1, side, side), 90, dtype=torch.uint8)] * count
    plain, headed = grid(rows, ["3"] * count), grid(rows, ["3"] * count, "unguided")
    head = headed.height - plain.height
    below = headed.crop((0, head, plain.width, headed.height))
    assert below.tobytes() == plain.tobytes()
    box = ink(headed.crop((0, 0, headed.width, head)))
    assert box is not None
    left, top, right, bottom = box
    assert left > 0
    assert right < headed.width or side > 8
    assert top > 0
    assert bottom < head
    assert bottom - top >= 11  # the height of its letters, in pixels


def test_a_heading_wider_than_its_columns_moves_the_next_ones() -> None:
    row = [torch.zeros(1, 1, 8, 8, dtype=torch.uint8)]
    narrow, wide = (
        sheet([Block(row, word), Block(row, "b")], [""], apart=0) for word in ("a", "W" * 20)
    )
    assert narrow.width == 102
    assert wide.width > 250
    assert ink(wide.crop((wide.width - 50, wide.height - 50, wide.width - 2, wide.height - 2))) == (
        *(0, 0),
        *(48, 48),
    )


def test_a_long_name_takes_several_lines_beside_its_row() -> None:
    row = torch.full((1, 1, 48, 48), 255, dtype=torch.uint8)
    picture = grid([row, row], ["tench, Tinca tinca and all the others", "b"])
    assert picture.width < 300
    lines = picture.crop((0, 2, picture.width, 50)).point(lambda value: 255 - value)
    shares = [any(lines.crop((0, y, picture.width, y + 1)).tobytes()) for y in range(48)]
    blocks = sum(b and not a for a, b in zip([False, *shares], shares))
    assert blocks == 2


def test_a_grid_has_a_row_a_class_and_its_first_images() -> None:
    assert grid_places([2, 0, 2, 0, 2], columns=2) == {2: [0, 2], 0: [1, 3]}
    assert grid_places([0, 1, 2], rows=2) == {0: [0], 1: [1]}


def test_a_picture_keeps_every_byte() -> None:
    image: Tensor = torch.randint(256, (3, 5, 4), dtype=torch.uint8)
    assert torch.equal(stack([to_picture(image)])[0], image)


def test_the_word_in_the_corner_has_room_of_its_own() -> None:
    block = Block([torch.zeros(2, 1, 8, 8, dtype=torch.uint8)], "0")
    plain, told = (sheet([block], [""], corner=word) for word in ("", "a long word"))
    assert told.width > plain.width + 40
