"""Embedding, normalisation, resampling and residual blocks against their formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

from cgd_lightning.networks.layers import (
    Downsample,
    ResBlock,
    TimeEmbedding,
    Upsample,
    group_norm,
    sinusoid,
)


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module


def test_sinusoid_is_cosines_then_sines_of_falling_frequencies():
    found = sinusoid(torch.tensor([0.0, 7.5]), 6)
    frequencies = [math.exp(-math.log(10_000) * i / 3) for i in range(3)]
    expected = [
        [1.0] * 3 + [0.0] * 3,
        [f(7.5 * w) for f in (math.cos, math.sin) for w in frequencies],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_sinusoid_of_odd_channels_ends_with_zero():
    t = torch.tensor([3.0, 999.0])
    found = sinusoid(t, 7)
    assert found.shape == (2, 7)
    assert torch.equal(found[:, :6], sinusoid(t, 6))
    assert torch.equal(found[:, 6], torch.zeros(2))


def test_time_embedding_is_float32_under_autocast():
    torch.manual_seed(0)
    embed, t = TimeEmbedding(32, 64), torch.tensor([999.0, 998.5])
    expected = embed(t)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(embed(t), expected)


def test_bfloat16_time_embedding_tells_neighbouring_timesteps_apart():
    torch.manual_seed(0)
    embed, t = TimeEmbedding(32, 64), torch.tensor([999.0, 998.0])
    expected = embed(t)
    found = embed.to(torch.bfloat16)(t)
    assert found.dtype == torch.bfloat16
    step, expected_step = found[0].float() - found[1].float(), expected[0] - expected[1]
    assert (step - expected_step).norm() / expected_step.norm() < 0.1


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 32), (32, 32), (48, 24), (20, 20), (37, 1), (66, 22), (70, 14)]
)
def test_group_norm_has_the_largest_number_of_groups_up_to_32(channels, groups):
    norm = group_norm(channels)
    assert (norm.num_groups, norm.eps) == (groups, 1e-5)


def test_fresh_resblock_is_its_skip_connection():
    x, emb = torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    assert torch.equal(ResBlock(8, 8, 16)(x, emb), x)
    assert torch.equal(ResBlock(8, 8, 16, resample="down")(x, emb), F.avg_pool2d(x, 2))
    wider = ResBlock(8, 12, 16)
    assert torch.equal(wider(x, emb), wider.skip_connection(x))


@pytest.mark.parametrize("film", [True, False])
@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_resblock_equals_its_formula(film, resample):
    torch.manual_seed(0)
    block = randomise(ResBlock(8, 12, 16, use_scale_shift_norm=film, resample=resample)).eval()
    w = dict(block.named_parameters())
    x, emb = torch.randn(2, 8, 4, 4), torch.randn(2, 16)

    def resized(z):
        if resample == "up":
            return z.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return (
            z.unflatten(3, (2, 2)).unflatten(2, (2, 2)).mean(dim=(3, 5))
            if resample == "down"
            else z
        )

    def conv(name, z, padding=1):
        return F.conv2d(z, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    h = F.group_norm(x, 8, w["in_layers.0.weight"], w["in_layers.0.bias"])
    h = conv("in_layers.2", resized(h * h.sigmoid()))
    e = ((emb * emb.sigmoid()) @ w["emb_layers.1.weight"].T + w["emb_layers.1.bias"])[
        :, :, None, None
    ]
    h = F.group_norm(h if film else h + e, 12, w["out_layers.0.weight"], w["out_layers.0.bias"])
    if film:
        h = h * (1 + e[:, :12]) + e[:, 12:]
    expected = conv("skip_connection", resized(x), 0) + conv("out_layers.3", h * h.sigmoid())
    torch.testing.assert_close(block(x, emb), expected, rtol=1e-4, atol=1e-5)


def test_upsample_repeats_and_downsample_averages_without_convolution():
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    expected = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
    assert torch.equal(Upsample(1, with_conv=False)(x)[0, 0], expected)
    assert torch.equal(Downsample(1, with_conv=False)(x), torch.full((1, 1, 1, 1), 1.5))


def test_downsample_convolves_with_stride_2():
    layer, x = Downsample(4), torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(
        layer(x), F.conv2d(x, layer.op.weight, layer.op.bias, padding=1)[:, :, ::2, ::2]
    )
