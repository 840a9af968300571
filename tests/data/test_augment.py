"""Changes of training images that keep their class."""

import pytest
import torch
from torch import Tensor

from cgd_lightning import Digits
from cgd_lightning.data.augment import mirrored, shifted
from cgd_lightning.errors import InputError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(image: Tensor, down: int, across: int) -> Tensor:
    """`image` (C, H, W), read at one pixel after the other."""
    _, height, width = image.shape
    result = torch.empty_like(image)
    for row in range(height):
        for column in range(width):
            source = image[:, min(max(row + down, 0), height - 1)]
            result[:, row, column] = source[:, min(max(column + across, 0), width - 1)]
    return result


def test_every_shift_is_one_of_those_allowed_and_all_occur() -> None:
    image = torch.arange(2 * 5 * 7, dtype=torch.uint8).view(2, 5, 7)
    moved = shifted(image.expand(400, -1, -1, -1), 1, generator())
    wanted = {
        (down, across): by_hand(image, down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)
    }
    counts = {key: sum(torch.equal(one, other) for one in moved) for key, other in wanted.items()}
    assert sum(counts.values()) == 400
    # 400 / 9 = 44.4, standard deviation 6.3
    assert all(20 < count < 70 for count in counts.values()), counts


def test_half_of_the_images_are_mirrored() -> None:
    image = torch.arange(12, dtype=torch.uint8).view(1, 3, 4)
    result = mirrored(image.expand(400, -1, -1, -1), generator())
    swapped = sum(torch.equal(one, image.flip(2)) for one in result)
    kept = sum(torch.equal(one, image) for one in result)
    assert swapped + kept == 400
    assert 150 < swapped < 250


class Training:
    """As much of a trainer as noising asks for."""

    def __init__(self, training: bool) -> None:
        self.training, self.predicting, self.global_rank, self.world_size = training, False, 0, 1
        self.fit_loop = self.epoch_loop = self.batch_progress = self.total = self
        self.ready = 3


@pytest.mark.parametrize("change", [{"shift": 2}, {"mirror": True}])
def test_noise_and_timesteps_are_those_without_and_held_out_images_stay(
    change: dict[str, int],
) -> None:
    plain, changed = Digits(), Digits(**change)
    batch = plain.split("train").__getitems__(list(range(8)))
    for training in (True, False):
        # A real trainer is in training only within a fit.
        plain.trainer = changed.trainer = Training(training)  # type: ignore[assignment]
        one = plain.on_after_batch_transfer(batch, 0)
        other = changed.on_after_batch_transfer(batch, 0)
        assert torch.equal(one.t, other.t)
        assert torch.equal(one.eps, other.eps)
        assert torch.equal(one.x0, other.x0) is not training
        alpha, sigma = (v[:, None, None, None] for v in changed.schedule.alpha_sigma(other.t))
        torch.testing.assert_close(other.x_t, alpha * other.x0 + sigma * other.eps)


def test_a_shift_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="shift -1: wanted 0 pixels or more"):
        Digits(shift=-1)


def test_a_shift_as_large_as_the_image_is_refused_once_it_trains() -> None:
    with pytest.raises(InputError, match="shift 16: wanted less than the side of an image, 16"):
        Digits(shift=16).train_dataloader()
    assert len(Digits(shift=16).val_dataloader()) > 0
