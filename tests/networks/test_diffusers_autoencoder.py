"""`DiffusersAutoencoder` is diffusers' `AutoencoderKL`: the same numbers, in a network of ours."""

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.errors import InputError
from cgd_lightning.networks import DiffusersAutoencoder
from cgd_lightning.networks.diffusers_autoencoder import SETTINGS

diffusers = pytest.importorskip("diffusers")

SIZES = {"image_size": 16, "in_channels": 3, "out_channels": 3}
SMALL: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "as Stable Diffusion 3's": {
        "latent_channels": 6,
        "layers_per_block": 2,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "with attention, none in the middle": {
        "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        "mid_block_add_attention": False,
        "act_fn": "mish",
    },
    "one level": {
        "block_out_channels": (8,),
        "down_block_types": ("DownEncoderBlock2D",),
        "up_block_types": ("UpDecoderBlock2D",),
    },
}


def network(**options: Any) -> DiffusersAutoencoder:
    torch.manual_seed(0)
    return DiffusersAutoencoder(**{**SIZES, **SMALL, **options}).eval()


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_it_computes_what_autoencoderkl_does(options: dict[str, Any]) -> None:
    net = network(**options)
    theirs = diffusers.AutoencoderKL(sample_size=16, **{**SMALL, **options}).eval()
    theirs.load_state_dict(
        {name.removeprefix("vae."): value for name, value in net.state_dict().items()}
    )
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        mean, log_variance = net.moments(x)
        posterior = theirs.encode(x).latent_dist
        torch.testing.assert_close(mean, posterior.mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(log_variance, posterior.logvar, rtol=0, atol=1e-6)
        assert mean.shape[1:] == net.latent_shape
        assert mean.std() > 0.01
        z = torch.randn(2, *net.latent_shape)
        images = theirs.decode(z).sample
        torch.testing.assert_close(net.decode(z), images, rtol=0, atol=1e-6)
        torch.testing.assert_close(net(x), theirs(x).sample, rtol=0, atol=1e-6)
        assert images.std() > 0.01


def test_its_defaults_are_those_of_diffusers() -> None:
    theirs = inspect.signature(diffusers.AutoencoderKL.__init__).parameters
    ours = inspect.signature(DiffusersAutoencoder.__init__).parameters
    for name in SETTINGS:
        if name not in ("in_channels", "out_channels"):
            assert ours[name].default == theirs[name].default, name


def test_a_checkpoint_of_it_says_how_it_is_built(tmp_path: Path) -> None:
    net = network(latent_channels=2)
    path = tmp_path / "best.ckpt"
    checkpoints.save(Autoencoder(net, DataSpec((3, 16, 16))), path)
    loaded = checkpoints.load(path, Autoencoder)
    assert isinstance(loaded.network, DiffusersAutoencoder)
    assert loaded.network.init_args == net.init_args
    assert loaded.latent_shape == (2, 8, 8)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(x), net(x), rtol=0, atol=1e-5)


def test_a_checkpoint_cannot_ask_for_a_huge_one(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    checkpoints.save(Autoencoder(network(), DataSpec((3, 16, 16))), path)
    for huge in ({"layers_per_block": 10**9}, {"block_out_channels": [8, 10**8]}):
        contents = torch.load(path, weights_only=True)
        contents["cgd"]["network"]["init_args"] |= huge
        torch.save(contents, tmp_path / "huge.ckpt")
        with pytest.raises(InputError, match=r"damaged|do not fit the network"):
            checkpoints.load(tmp_path / "huge.ckpt")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"down_block_types": ("DownBlock2D",) * 2}, "down_block_types 'DownBlock2D': known"),
        ({"up_block_types": ("os.system", "UpDecoderBlock2D")}, "up_block_types 'os.system'"),
        ({"up_block_types": ("UpDecoderBlock2D",)}, "up_block_types: 1 blocks for 2 levels"),
        ({"block_out_channels": ()}, "block_out_channels: no levels"),
        ({"block_out_channels": (8, 0)}, "block_out_channels 0: wanted 1 or more"),
        ({"latent_channels": 0}, "latent_channels 0: wanted 1 or more"),
        ({"layers_per_block": -1}, "layers_per_block -1: wanted 1 or more"),
        ({"norm_num_groups": 3}, "AutoencoderKL refuses these settings"),
        ({"act_fn": "exec"}, "act_fn 'exec': wanted one of silu"),
        ({"image_size": 15}, "image_size 15: 2 levels of block_out_channels halve it 1 times"),
        ({"image_size": 0}, "image_size 0: "),
    ],
)
def test_what_is_no_such_network_is_refused_in_a_line(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as refused:
        network(**options)
    assert "\n" not in str(refused.value)


def test_without_diffusers_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r'pip install "cgd-lightning\[diffusers\]"'):
        network()
