"""ADM's upsampler: a U-Net of twice the channels, which reads a small image beside a noisy one."""

import numpy as np
import pytest
import torch

from cgd_lightning.errors import InputError
from cgd_lightning.networks import SuperRes, UNet
from tests.diffusion.test_generate import randomised
from tests.networks.test_adm_networks import COMMON, DIFFUSION, on_meta, shapes

SMALL = {
    "model_channels": 8,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2,),
    "num_classes": 3,
}


def resized(small: np.ndarray, size: int) -> np.ndarray:
    """(..., h, h) -> (..., size, size), bilinearly: pixels are areas, and the border goes on."""
    side = small.shape[-1]
    places = ((np.arange(size) + 0.5) * side / size - 0.5).clip(0, side - 1)
    below = np.floor(places).astype(int)
    above, part = np.minimum(below + 1, side - 1), places - below
    weights = np.zeros((size, side))
    weights[np.arange(size), below] += 1 - part
    weights[np.arange(size), above] += part
    return weights @ small @ weights.T


@pytest.mark.parametrize("small_size", [3, 4])
def test_it_is_the_u_net_of_both_images(small_size: int) -> None:
    network = randomised(SuperRes(8, 2, 4, small_size, **SMALL), 0)
    plain = UNet(8, 4, 4, **SMALL)
    plain.load_state_dict(network.state_dict())
    x, small = torch.randn(3, 2, 8, 8), torch.randn(3, 2, small_size, small_size)
    t, y = torch.tensor([1.0, 500.0, 999.0]), torch.tensor([0, 2, 1])
    large = torch.from_numpy(resized(small.double().numpy(), 8)).float()
    torch.testing.assert_close(
        network(x, t, y, small),
        plain.eval()(torch.cat([x, large], dim=1), t, y),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("name", "small_size"), [("64_256_upsampler", 64), ("128_512_upsampler", 128)]
)
def test_the_published_upsamplers_fit(name: str, small_size: int) -> None:
    settings = {**COMMON, **DIFFUSION[name][0], "out_channels": 6}
    ours = on_meta(SuperRes, **{**settings, "in_channels": 3})
    assert shapes(ours) == shapes(on_meta(UNet, **settings))
    assert ours.low_res_shape == (3, small_size, small_size)


def test_a_small_image_is_wanted_and_smaller() -> None:
    network = SuperRes(8, 2, 4, 4, **SMALL)
    with pytest.raises(InputError, match=r"no low_res: this network enlarges images of shape \(2"):
        network(torch.randn(1, 2, 8, 8), torch.zeros(1), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(InputError, match="small_size 8 of image_size 8: wanted 1 to 7"):
        SuperRes(8, 2, 4, 8, **SMALL)
