"""Attention in both orders against explicit sums, with ADM's scale ch^(-1/4) on queries and on
keys.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from cgd_lightning.networks.attention import AttentionBlock, AttentionPool2d


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def attend(qkv: torch.Tensor, heads: int, new_order: bool) -> torch.Tensor:
    """Attention of `qkv` (B, 3 C, T), head by head: (B, C, T)."""
    channels = qkv.shape[1] // 3
    d = channels // heads
    outputs = []
    for head in range(heads):
        starts = (
            [i * channels + head * d for i in range(3)]
            if new_order
            else [(3 * head + i) * d for i in range(3)]
        )
        q, k, v = (qkv[:, start : start + d] for start in starts)
        weight = torch.einsum("bct,bcs->bts", q * d**-0.25, k * d**-0.25).softmax(dim=-1)
        outputs.append(torch.einsum("bts,bcs->bct", weight, v))
    return torch.cat(outputs, dim=1)


def einsum_block(block: AttentionBlock, x: torch.Tensor, new_order: bool) -> torch.Tensor:
    h = F.group_norm(x.flatten(2), block.norm.num_groups, block.norm.weight, block.norm.bias)
    h = attend(F.conv1d(h, block.qkv.weight, block.qkv.bias), block.num_heads, new_order)
    return x + F.conv1d(h, block.proj_out.weight, block.proj_out.bias).reshape(x.shape)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("new_order", [False, True])
@pytest.mark.parametrize("training", [False, True], ids=["fused", "with gradients"])
def test_attention_equals_explicit_sums(heads, new_order, training):
    torch.manual_seed(0)
    block, x = (
        randomise(AttentionBlock(16, heads, new_order)).requires_grad_(training),
        torch.randn(2, 16, 3, 5),
    )
    torch.testing.assert_close(block(x), einsum_block(block, x, new_order), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 4])
def test_orders_differ_if_and_only_if_there_are_several_heads(heads):
    torch.manual_seed(0)
    legacy, new = (
        randomise(AttentionBlock(16, heads)),
        AttentionBlock(16, heads, use_new_attention_order=True),
    )
    new.load_state_dict(legacy.state_dict())
    x = torch.randn(2, 16, 3, 3)
    assert torch.allclose(legacy(x), new(x), atol=1e-5) == (heads == 1)


def test_fresh_attention_changes_nothing():
    x = torch.randn(2, 16, 3, 3)
    assert torch.equal(AttentionBlock(16, 2)(x), x)


def test_heads_reach_the_fused_kernel():
    """The kernel wants the channels of a head side by side; another layout falls back to the slow
    path silently.
    """
    block, x = AttentionBlock(16, 2), torch.randn(2, 16, 3, 3)
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        block(x)


def test_attention_pool_is_the_first_token_of_attention_over_the_mean_and_the_pixels():
    torch.manual_seed(0)
    pool, x = (
        randomise(AttentionPool2d(size=3, channels=16, out_channels=5, num_heads=4)),
        torch.randn(2, 16, 3, 3),
    )
    h = x.flatten(2)
    h = torch.cat([h.mean(dim=2, keepdim=True), h], dim=2) + pool.positional_embedding
    h = attend(F.conv1d(h, pool.qkv_proj.weight, pool.qkv_proj.bias), 4, new_order=True)
    expected = F.conv1d(h, pool.c_proj.weight, pool.c_proj.bias)[:, :, 0]
    torch.testing.assert_close(pool(x), expected, rtol=1e-4, atol=1e-5)


def test_second_derivative_exists_under_the_math_kernel():
    torch.manual_seed(0)
    block = randomise(AttentionBlock(8, 2)).double()
    x = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(block, x)
