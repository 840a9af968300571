"""How U-Net and encoder behave: errors, precision, memory formats, frozen weights, checkpointing,
compilation.
"""

import copy

import pytest
import torch
import torch.nn.functional as F

from cgd_lightning.errors import InputError
from cgd_lightning.networks import EncoderUNet, Network, UNet
from cgd_lightning.networks.attention import AttentionBlock
from cgd_lightning.networks.blocks import Stage
from cgd_lightning.networks.layers import ResBlock

SMALL = {
    "image_size": 16,
    "in_channels": 3,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": (1, 2),
    "attention_resolutions": (2,),
    "num_heads": 2,
}
NETWORKS = pytest.mark.parametrize("network", [UNet, EncoderUNet])
X, T = (
    torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)),
    torch.tensor([3.0, 998.5]),
)


def trained(network: type[Network] = UNet, **options) -> Network:
    """A small network in eval mode whose weights are nowhere zero."""
    torch.manual_seed(0)
    net = network(**{**SMALL, **options}).eval()
    for name, parameter in net.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.1)
    return net


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found.float() - expected).norm() / expected.norm()).item()


def test_fresh_unet_predicts_zero():
    assert torch.equal(UNet(**SMALL)(X, T), torch.zeros(2, 4, 16, 16))


def test_adaptive_classifier_starts_undecided():
    assert torch.equal(EncoderUNet(**SMALL, pool="adaptive")(X, T), torch.zeros(2, 4))


@NETWORKS
def test_dropout_is_active_in_training_alone(network):
    net = trained(network, dropout=0.5)
    assert torch.equal(net(X, T), net(X, T))
    net.train()
    assert not torch.equal(net(X, T), net(X, T))


@NETWORKS
def test_output_depends_on_the_timestep(network):
    net = trained(network)
    assert relative_error(net(X, T - 1), net(X, T)) > 1e-3


def test_output_depends_on_the_label_of_its_own_image():
    net = trained(num_classes=10)
    first, second = net(X, T, torch.tensor([1, 2])), net(X, T, torch.tensor([1, 3]))
    assert torch.equal(first[0], second[0])
    assert relative_error(second[1], first[1]) > 1e-3


def test_labels_are_an_error_where_missing_or_superfluous():
    with pytest.raises(InputError, match="conditioned on 10 classes"):
        trained(num_classes=10)(X, T)
    with pytest.raises(InputError, match="this network has no classes"):
        trained()(X, T, torch.tensor([1, 2]))


@NETWORKS
@pytest.mark.parametrize(
    "options", [{"image_size": 15}, {"image_size": 18, "patch_size": 2}, {"channel_mult": (1,) * 6}]
)
def test_image_size_that_does_not_divide_is_an_error(network, options):
    with pytest.raises(
        InputError, match=r"image_size 1\d: patch_size \d and \d levels .* multiple of \d+; give"
    ):
        network(**{**SMALL, **options})


@NETWORKS
@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"num_head_channels": 24}, {"num_head_channels": 128}]
)
def test_heads_that_do_not_divide_the_channels_are_an_error(network, options):
    with pytest.raises(InputError, match=r"num_head(s|_channels) \d+: attention over 64 channels"):
        network(**{**SMALL, **options})


def test_unknown_pool_is_an_error():
    with pytest.raises(InputError, match="pool 'max': there are adaptive"):
        EncoderUNet(**SMALL, pool="max")


def test_heads_follow_their_channels_or_the_way_up():
    def heads(net):
        return [
            [m.num_heads for m in part.modules() if isinstance(m, AttentionBlock)]
            for part in (net.input_blocks, net.output_blocks)
        ]

    assert heads(UNet(**SMALL, num_heads_upsample=8)) == [[2], [8, 8]]
    assert heads(UNet(**SMALL, num_heads_upsample=8, num_head_channels=16)) == [[4], [4, 4]]


@pytest.mark.parametrize("pool", ["adaptive", "attention", "spatial", "spatial_v2"])
def test_grey_28_px_images_get_logits_from_every_pool(pool):
    options = {
        **SMALL,
        "image_size": 28,
        "in_channels": 1,
        "channel_mult": (1, 2, 2),
        "attention_resolutions": (4,),
    }
    net = trained(EncoderUNet, **options, pool=pool)
    logits = net(torch.randn(2, 1, 28, 28), T)
    assert logits.shape == (2, 4)
    assert logits.std() > 0


def test_spatial_pool_reads_the_means_of_all_stages():
    net, means = trained(EncoderUNet, pool="spatial"), []
    for stage in [*net.input_blocks, net.middle_block]:
        stage.register_forward_hook(lambda _, __, h: means.append(h.mean(dim=(2, 3))))
    torch.testing.assert_close(net(X, T), net.out(torch.cat(means, dim=1)))
    assert len(means) == 5


@pytest.mark.parametrize("model_channels", [20, 36, 37])
@pytest.mark.parametrize("resblock_updown", [False, True])
def test_grey_28_px_images_pass_through_odd_numbers_of_channels(model_channels, resblock_updown):
    options = {
        "image_size": 28,
        "in_channels": 1,
        "out_channels": 1,
        "num_heads": 1,
        "channel_mult": (1, 2, 2),
    }
    net = trained(**options, model_channels=model_channels, resblock_updown=resblock_updown)
    found = net(torch.randn(2, 1, 28, 28), T)
    assert found.shape == (2, 1, 28, 28)
    assert 0 < found.std() < float("inf")


def test_patches_are_pixels_folded_into_channels():
    net = trained(patch_size=2, in_channels=3, out_channels=4)
    plain = UNet(**{**SMALL, "image_size": 8, "in_channels": 12, "out_channels": 16}).eval()
    plain.load_state_dict(net.state_dict())
    folded = (
        X.unflatten(3, (8, 2)).unflatten(2, (8, 2)).permute(0, 1, 3, 5, 2, 4).reshape(2, 12, 8, 8)
    )
    unfolded = (
        plain(folded, T).reshape(2, 4, 2, 2, 8, 8).permute(0, 1, 4, 2, 5, 3).reshape(2, 4, 16, 16)
    )
    torch.testing.assert_close(net(X, T), unfolded)


def test_encoder_folds_patches_like_the_unet():
    net = trained(EncoderUNet, patch_size=2)
    plain = EncoderUNet(**{**SMALL, "image_size": 8, "in_channels": 12}).eval()
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(X, T), plain(F.pixel_unshuffle(X, 2), T))


@NETWORKS
def test_frozen_weights_leave_the_gradient_of_the_image(network):
    net, x = trained(network), X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(x, T).square().sum(), x)
    net.requires_grad_(False)
    (found,) = torch.autograd.grad(net(x, T).square().sum(), x)
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() > 0


@NETWORKS
def test_gradient_of_a_sum_is_each_images_own(network):
    net, x = trained(network), X.clone().requires_grad_()
    (together,) = torch.autograd.grad(net(x, T).square().sum(), x)
    (alone,) = torch.autograd.grad(net(x[:1], T[:1]).square().sum(), x)
    torch.testing.assert_close(
        together[:1], alone[:1], rtol=1e-3, atol=1e-4 * together.abs().max().item()
    )


@NETWORKS
@pytest.mark.parametrize("frozen", [False, True])
def test_gradient_checkpointing_changes_no_output_and_no_gradient(network, frozen):
    plain, saving = (
        trained(network, dropout=0.3),
        trained(network, dropout=0.3, use_checkpoint=True),
    )
    saving.load_state_dict(plain.state_dict())
    passes = []
    saving.middle_block[0].register_forward_hook(lambda *_: passes.append(1))
    results = []
    for net in (plain, saving):
        net.train().requires_grad_(not frozen)
        x = X.clone().requires_grad_()
        torch.manual_seed(5)
        out = net(x, T)
        gradients = torch.autograd.grad(
            out.square().sum(), [x, *(p for p in net.parameters() if p.requires_grad)]
        )
        results.append([out, *gradients])
    torch.testing.assert_close(results[1], results[0])
    assert len(passes) == 2, "the stages of the checkpointed network are computed a second time"


@NETWORKS
def test_autocast_output_is_close_to_float32(network):
    net = trained(network)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(X, T)
    assert 0 < relative_error(found, net(X, T)) < 0.03


@NETWORKS
def test_bfloat16_weights_take_float32_images_and_timesteps(network):
    net = trained(network)
    found = copy.deepcopy(net).to(torch.bfloat16)(X, T)
    assert found.dtype == torch.bfloat16
    assert 0 < relative_error(found, net(X, T)) < 0.03


@NETWORKS
@pytest.mark.parametrize("resblock_updown", [False, True])
def test_channels_last_passes_through_and_changes_nothing(network, resblock_updown):
    net = trained(network, resblock_updown=resblock_updown)
    expected = net(X, T)
    net = net.to(memory_format=torch.channels_last)
    kept = []
    for module in net.modules():
        if isinstance(module, (Stage, ResBlock, AttentionBlock)):
            module.register_forward_hook(
                lambda _, __, h: kept.append(h.is_contiguous(memory_format=torch.channels_last))
            )
    torch.testing.assert_close(
        net(X.to(memory_format=torch.channels_last), T), expected, rtol=1e-4, atol=1e-5
    )
    assert len(kept) > 8
    assert all(kept)


@pytest.mark.slow
@NETWORKS
@pytest.mark.parametrize("use_checkpoint", [False, True])
def test_compiled_network_is_one_graph_and_equals_eager(network, use_checkpoint):
    """`fullgraph` turns a graph break into an error; the eager backend leaves the code generator
    out, which is slow.
    """
    net, x = (
        trained(network, use_checkpoint=use_checkpoint, patch_size=2),
        X.clone().requires_grad_(),
    )
    expected = net(x, T)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    names = list(net.state_dict())
    net.compile(fullgraph=True, backend="eager")
    found = net(x, T)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), x)[0], gradient)
    assert list(net.state_dict()) == names


@pytest.mark.parametrize("network", [UNet, EncoderUNet])
def test_the_number_of_groups_changes_the_normalisation_and_no_weight(network):
    few = network(16, 1, 2, **SMALL_GROUPS, norm_groups=2)
    many = network(16, 1, 2, **SMALL_GROUPS)
    groups = {
        module.num_groups for module in few.modules() if isinstance(module, torch.nn.GroupNorm)
    }
    assert groups == {2}
    assert {
        module.num_groups for module in many.modules() if isinstance(module, torch.nn.GroupNorm)
    } >= {24, 32}
    assert {name: w.shape for name, w in few.state_dict().items()} == {
        name: w.shape for name, w in many.state_dict().items()
    }
    torch.manual_seed(0)
    many.load_state_dict({name: torch.randn_like(w) / 10 for name, w in many.state_dict().items()})
    few.load_state_dict(many.state_dict())
    x, t = torch.randn(2, 1, 16, 16), torch.zeros(2)
    assert not torch.allclose(few.eval()(x, t), many.eval()(x, t))


SMALL_GROUPS = {
    "model_channels": 24,
    "num_res_blocks": 1,
    "channel_mult": [1, 4],
    "attention_resolutions": [2],
}
