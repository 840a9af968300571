import torch

from cgd_lightning.diffusion.noise import SeededNoise, philox


def test_philox_gives_the_authors_known_answers() -> None:
    known = {
        ((0, 0, 0, 0), (0, 0)): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2): "408f276d 41c83b0e a20bc7c6 6d5451fd",
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
        ): "d16cfe09 94fdcceb 5001e420 24126ea1",
    }
    for (counter, key), words in known.items():
        assert (
            " ".join(
                f"{word.item():08x}" for word in philox([torch.tensor([c]) for c in counter], key)
            )
            == words
        )


def test_an_image_has_its_noise_whatever_batch_it_stands_in() -> None:
    together = SeededNoise(3, torch.arange(10), (3, 5, 5))
    alone = SeededNoise(3, torch.tensor([7]), (3, 5, 5))
    for _ in range(3):
        assert torch.equal(together()[7:8], alone())


def test_seeds_images_and_draws_give_different_noise() -> None:
    noise = SeededNoise(0, torch.tensor([0, 1, 2**40]), (4, 8, 8))
    first, second = noise(), noise()
    other = SeededNoise(1, torch.tensor([0]), (4, 8, 8))()
    draws = torch.stack([*first, *second, *other]).flatten(1)
    correlation = torch.corrcoef(draws) - torch.eye(len(draws))
    assert correlation.abs().max() < 0.3


def test_noise_is_standard_normal() -> None:
    values = SeededNoise(5, torch.arange(500), (1, 20, 20))().flatten().double()
    error = len(values) ** -0.5
    assert abs(values.mean()) < 4 * error
    assert abs(values.var() - 1) < 4 * 2**0.5 * error
    assert abs((values**3).mean()) < 4 * 15**0.5 * error
    assert abs((values**4).mean() - 3) < 4 * 96**0.5 * error
    assert 4.0 < values.abs().max() < 6.7
