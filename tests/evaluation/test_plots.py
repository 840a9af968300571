import pytest
import torch
from torch import Tensor

from cgd_lightning.evaluation.plots import grid, grid_places, stack, to_picture


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


def test_a_grid_has_a_row_a_class_and_its_first_images() -> None:
    assert grid_places([2, 0, 2, 0, 2], columns=2) == {2: [0, 2], 0: [1, 3]}
    assert grid_places([0, 1, 2], rows=2) == {0: [0], 1: [1]}


def test_a_picture_keeps_every_byte() -> None:
    image: Tensor = torch.randint(256, (3, 5, 4), dtype=torch.uint8)
    assert torch.equal(stack([to_picture(image)])[0], image)
