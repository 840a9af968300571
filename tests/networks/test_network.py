"""A network remembers its constructor arguments and is built again from them."""

import copy
import io
import pickle

import pytest
import torch

from cgd_lightning.networks import EncoderUNet, Network, UNet

SMALL = {
    "model_channels": 16,
    "num_res_blocks": 1,
    "channel_mult": [1, 2],
    "attention_resolutions": [2],
}


class Affine(Network):
    def __init__(
        self, image_size: int, in_channels: int, out_channels: int, width: int = 3, **extra: int
    ) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(in_channels, width)


class Wide(Affine):
    def __init__(
        self, image_size: int, in_channels: int, out_channels: int, factor: int = 2
    ) -> None:
        super().__init__(image_size, in_channels, out_channels, width=10 * factor)


def test_init_args_hold_names_and_defaults():
    net = Affine(8, 1, out_channels=2, depth=4)
    assert net.init_args == {
        "image_size": 8,
        "in_channels": 1,
        "out_channels": 2,
        "width": 3,
        "depth": 4,
    }


def test_init_args_are_those_of_the_outermost_class():
    net = Wide(8, 1, 2)
    assert net.init_args == {"image_size": 8, "in_channels": 1, "out_channels": 2, "factor": 2}
    assert Wide(**net.init_args).layer.out_features == 20


def test_init_args_keep_lists_and_ignore_later_changes_of_them():
    mult = [1, 2]
    net = UNet(16, 1, 1, **{**SMALL, "channel_mult": mult})
    mult.append(4)
    assert net.init_args["channel_mult"] == [1, 2]
    assert UNet(16, 1, 1).init_args["channel_mult"] == (1, 2, 4)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize(
    ("network", "options"),
    [(UNet, {"num_classes": 3, "use_checkpoint": True}), (EncoderUNet, {"pool": "spatial_v2"})],
)
def test_a_copy_rebuilds_an_equal_network(network, options, duplicate):
    net = network(16, 1, 2, **SMALL, **options)
    twin = duplicate(net)
    assert twin.init_args == net.init_args
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.state_dict().values(), twin.state_dict().values(), strict=True)
    )
    rebuilt = type(twin)(**twin.init_args)
    rebuilt.load_state_dict(net.state_dict())
    x, t = torch.randn(2, 1, 16, 16), torch.tensor([1.0, 999.0])
    labels = [torch.tensor([0, 2])] if network is UNet else []
    assert torch.equal(net.eval()(x, t, *labels), rebuilt.eval()(x, t, *labels))


def test_init_args_survive_a_file_of_plain_data():
    file = io.BytesIO()
    torch.save(UNet(16, 1, 1, **SMALL).init_args, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == UNet(16, 1, 1, **SMALL).init_args


def test_unknown_argument_names_the_class():
    with pytest.raises(TypeError, match=r"UNet.*unexpected keyword argument 'widht'"):
        UNet(16, 1, 1, widht=3)
