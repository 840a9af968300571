"""The U-Net's forward pass equals diffusers' `UNet2DModel` with the same weights: an independent
implementation.
"""

from typing import Any

import pytest
import torch

from cgd_lightning.errors import InputError
from cgd_lightning.exchange.diffusers_unets import to_ours, to_theirs, unet_settings
from cgd_lightning.networks import UNet

diffusers = pytest.importorskip("diffusers")

SMALL = {"model_channels": 32, "num_res_blocks": 1, "channel_mult": (1, 2)}

ALIKE: dict[str, dict[str, Any]] = {
    "as ADM's at 64 pixels": {
        "num_res_blocks": 2,
        "channel_mult": (1, 2, 2),
        "attention_resolutions": (2, 4),
        "num_classes": 10,
        "num_head_channels": 16,
        "resblock_updown": True,
        "use_new_attention_order": True,
        "out_channels": 6,
    },
    "the legacy order of heads": {"num_head_channels": 16, "num_classes": 3},
    "an added embedding": {"use_scale_shift_norm": False, "resblock_updown": True},
    "convolutions and attention everywhere": {"attention_resolutions": (1, 2), "num_heads": 1},
    "no attention but in the middle": {"attention_resolutions": (), "num_heads": 4},
    "heads of two sizes, one each": {"attention_resolutions": (1, 2), "model_channels": 64},
    "other groups": {"norm_groups": 8, "channel_mult": (1, 1, 3)},
    "one level": {"channel_mult": (1,), "conv_resample": False},
    "three blocks, one channel": {"num_res_blocks": 3, "in_channels": 1, "out_channels": 1},
    "an odd number of features": {"model_channels": 33, "norm_groups": 3, "num_heads": 3},
}


def unet(**options: Any) -> UNet:
    torch.manual_seed(0)
    sizes = {"image_size": 16, "in_channels": 3, "out_channels": 3}
    net = UNet(**{**sizes, **SMALL, **options}).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize("options", ALIKE.values(), ids=ALIKE)
def test_unet_equals_diffusers_with_the_same_weights(options: dict[str, Any]) -> None:
    net = unet(**options)
    reference = diffusers.UNet2DModel(**unet_settings(net)).eval()
    reference.load_state_dict(to_theirs(net))
    x, t = torch.randn(2, net.init_args["in_channels"], 16, 16), torch.tensor([3.0, 998.0])
    labels = () if net.num_classes is None else (torch.tensor([1, net.num_classes - 1]),)
    with torch.no_grad():
        ours, theirs = net(x, t, *labels), reference(x, t, *labels).sample
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", ALIKE.values(), ids=ALIKE)
def test_weights_come_back_from_diffusers_as_they_went(options: dict[str, Any]) -> None:
    net = unet(**options)
    back = to_ours(net, to_theirs(net))
    state = net.state_dict()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"patch_size": 2}, "patch_size 2"),
        ({"channel_mult": (0.5, 1)}, "channel_mult 0.5 of the first level"),
        ({"num_res_blocks": 0}, "num_res_blocks 0"),
        ({"conv_resample": False}, "conv_resample false"),
        ({"norm_groups": 24}, "norm_groups 24"),
        ({"attention_resolutions": (1,), "num_heads": 2}, "heads of 16 and 32 channels"),
        ({"num_heads": 4, "num_heads_upsample": 2}, "heads of 16 and 32 channels"),
    ],
)
def test_what_diffusers_cannot_express_is_refused_by_name(
    options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"^[^:]*{named}.*UNet2DModel"):
        unet_settings(unet(**options))
