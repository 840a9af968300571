"""`DiffusersUNet` is diffusers' `UNet2DModel`: the same numbers, in a network of ours."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.errors import InputError
from cgd_lightning.networks import DiffusersUNet
from cgd_lightning.networks.diffusers_unet import SETTINGS

diffusers = pytest.importorskip("diffusers")

SIZES = {"image_size": 16, "in_channels": 3, "out_channels": 3}
SMALL: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
}
DDPM = {
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "attention_head_dim": None,
    "norm_eps": 1e-6,
}
"""As the models of Ho et al. 2020 were brought to diffusers."""

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "as DDPM's": DDPM,
    "with classes": {"num_classes": 4},
    "scaled and shifted": {
        "resnet_time_scale_shift": "scale_shift",
        "attn_norm_num_groups": 16,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "down_block_types": ("AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        "up_block_types": ("ResnetUpsampleBlock2D", "AttnUpBlock2D"),
    },
    "with skips": {
        "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        "center_input_sample": True,
        "act_fn": "mish",
    },
    "a plain middle": {"add_attention": False, "mid_block_scale_factor": 1.5},
    "no middle, another embedding": {"mid_block_type": None, "time_embedding_dim": 48},
    "old names": {"down_block_types": ("UNetResDownBlock2D", "UNetResAttnDownBlock2D")},
}


def network(**options: Any) -> DiffusersUNet:
    torch.manual_seed(0)
    return DiffusersUNet(**{**SIZES, **SMALL, **options}).eval()


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_it_computes_what_unet2dmodel_does_bit_for_bit(options: dict[str, Any]) -> None:
    net = network(**options)
    theirs = {**SMALL, **options}
    theirs["num_class_embeds"] = theirs.pop("num_classes", None)
    reference = diffusers.UNet2DModel(sample_size=16, **theirs).eval()
    reference.load_state_dict(
        {name.removeprefix("unet."): value for name, value in net.state_dict().items()}
    )
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 501.5])
    labels = torch.tensor([0, 3]) if net.num_classes else None
    with torch.no_grad():
        ours = net(x, t) if labels is None else net(x, t, labels)
        assert torch.equal(ours, reference(x, t, class_labels=labels).sample)
        assert ours.std() > 0.01


def test_its_defaults_are_those_of_diffusers() -> None:
    theirs = inspect.signature(diffusers.UNet2DModel.__init__).parameters
    ours = inspect.signature(DiffusersUNet.__init__).parameters
    for name in SETTINGS:
        if name not in ("in_channels", "out_channels"):
            assert ours[name].default == theirs[name].default, name


def test_a_checkpoint_of_it_says_how_it_is_built(tmp_path: Path) -> None:
    net = network(num_classes=4, **DDPM)
    data = DataSpec((3, 16, 16), tuple("abcd"))
    checkpoints.save(Denoiser(net, Linear(), "eps", data), tmp_path / "best.ckpt")
    loaded = checkpoints.load(tmp_path / "best.ckpt", Denoiser)
    assert isinstance(loaded.network, DiffusersUNet)
    assert loaded.network.init_args == net.init_args
    x, t, y = torch.randn(2, 3, 16, 16), torch.tensor([0.0, 999.0]), torch.tensor([1, 2])
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(x, t, y), net(x, t, y), rtol=1e-5, atol=1e-6)


def test_it_takes_images_and_timesteps_whatever_its_precision() -> None:
    net = network().to(torch.bfloat16)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 999.0])
    assert net(x, t).dtype == torch.bfloat16
    x.requires_grad_()
    net(x, t).float().square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}, "CrossAttnDownBlock2D"),
        ({"up_block_types": ("os.system", "UpBlock2D")}, "up_block_types 'os.system'"),
        ({"down_block_types": ("DownBlock2D",)}, "down_block_types: 1 blocks for 2 levels"),
        ({"block_out_channels": ()}, "block_out_channels: no levels"),
        ({"block_out_channels": (0, 32)}, "block_out_channels 0"),
        ({"layers_per_block": 0}, "layers_per_block 0"),
        ({"attention_head_dim": 0}, "attention_head_dim 0"),
        ({"attention_head_dim": 128}, "attention_head_dim 128"),
        ({"norm_num_groups": 24}, "UNet2DModel refuses these settings"),
        ({"act_fn": "exec"}, "act_fn 'exec'"),
        ({"resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift 'spatial'"),
        ({"mid_block_type": "UNetMidBlock2DCrossAttn"}, "mid_block_type"),
        ({"image_size": 15}, "image_size 15"),
        ({"in_channels": 0}, "in_channels 0: wanted 1 or more"),
        ({"out_channels": -1}, "out_channels -1: wanted 1 or more"),
        ({"num_classes": 0}, "num_classes 0: wanted 1 or more"),
        ({"time_embedding_dim": 0}, "time_embedding_dim 0: wanted 1 or more"),
        ({"downsample_padding": 2}, "downsample_padding 2: wanted 0 or 1"),
        ({"freq_shift": 16}, "freq_shift 16: wanted 0 or 1"),
        ({"norm_eps": 0.0}, r"norm_eps 0\.0: wanted a number above 0"),
        ({"norm_eps": float("nan")}, "norm_eps nan"),
        ({"mid_block_scale_factor": -1.0}, r"mid_block_scale_factor -1\.0"),
        ({"dropout": 1.5}, r"dropout 1\.5"),
        (
            {
                "block_out_channels": (2, 4),
                "norm_num_groups": 1,
                "attention_head_dim": None,
                "freq_shift": 1,
            },
            "block_out_channels 2 of the first level: wanted 4 or more",
        ),
        ({"up_block_types": ("A\nB" * 99, "UpBlock2D")}, r"up_block_types 'A\\nBA"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_such_network_is_refused_in_a_line(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as refused:
        network(**options)
    assert "\n" not in str(refused.value)


def test_labels_are_given_if_and_only_if_it_has_classes() -> None:
    x, t, y = torch.randn(1, 3, 16, 16), torch.tensor([3.0]), torch.tensor([0])
    with pytest.raises(InputError, match="labels y given: this network knows no classes"):
        network()(x, t, y)
    with pytest.raises(InputError, match="no labels y: this network knows 4 classes"):
        network(num_classes=4)(x, t)


@pytest.mark.parametrize(
    "huge",
    [
        {"layers_per_block": 10**9},
        {"block_out_channels": [32, 10**7]},
        {"num_classes": 10**12},
        {"time_embedding_dim": 10**9},
    ],
)
def test_a_checkpoint_cannot_ask_for_a_huge_one(huge: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    data = DataSpec((3, 16, 16), tuple("abcd"))
    checkpoints.save(Denoiser(network(num_classes=4), Linear(), "eps", data), path)
    contents = torch.load(path, weights_only=True)
    contents["cgd"]["network"]["init_args"] |= huge
    torch.save(contents, path)
    with pytest.raises(InputError, match=r"damaged|do not fit the network"):
        checkpoints.load(path)


def test_diffusers_is_imported_only_when_one_is_built() -> None:
    code = "import sys, cgd_lightning.networks; print('diffusers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_diffusers_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r'pip install "cgd-lightning\[diffusers\]"'):
        network()
