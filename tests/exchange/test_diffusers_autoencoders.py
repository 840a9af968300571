"""An `AutoencoderKL` of diffusers becomes an autoencoder of ours, with the same latents."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.errors import InputError
from cgd_lightning.exchange import diffusers as world
from cgd_lightning.exchange.diffusers_files import WEIGHTS
from cgd_lightning.exchange.imported import Imported
from cgd_lightning.networks import DiffusersAutoencoder
from tests.exchange.diffusers_folders import change

diffusers = pytest.importorskip("diffusers")

Cgd = Callable[..., tuple[int, str, str]]

IMAGES = torch.randint(
    256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
)


def vae_folder(folder: Path, **settings: Any) -> tuple[Path, Any]:
    """(folder with an AutoencoderKL of random weights, the AutoencoderKL itself)."""
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 4,
        "sample_size": 16,
    }
    vae = diffusers.AutoencoderKL(**{**small, **settings}).eval()
    vae.save_pretrained(folder)
    return folder, vae


def read(folder: Path, **given: Any) -> Imported:
    assert world.recognise(folder)
    [imported] = world.read(folder, given)
    return imported


def autoencoder(folder: Path, **given: Any) -> Autoencoder:
    model = read(folder, **given).model
    assert isinstance(model, Autoencoder)
    return model


FACTORS: dict[str, dict[str, Any]] = {
    "by default": {},
    "as Stable Diffusion XL's": {"scaling_factor": 0.13025},
    "shifted": {"scaling_factor": 0.3611, "shift_factor": 0.1159, "latent_channels": 2},
    "of no convolutions of single pixels": {
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "mid_block_add_attention": False,
    },
}


@pytest.mark.parametrize("settings", FACTORS.values(), ids=FACTORS)
def test_its_normalised_latents_and_their_images_are_those_of_diffusers(
    settings: dict[str, Any], tmp_path: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, vae = vae_folder(tmp_path / "pipe" / "vae", **settings)
    code, out, err = cgd("convert", "pipe/vae", "--out=runs/kl")
    assert (code, err) == (0, "")
    channels = settings.get("latent_channels", 4)
    assert f"autoencoder with latents {channels} x 8 x 8, images 3 x 16 x 16" in out
    assert out.splitlines()[-1] == (
        "next: cgd fit --config latent-diffusion.yaml --data.root IMAGES --data.image_size 16 "
        "--data.autoencoder runs/kl"
    )
    assert checkpoints.read(checkpoints.find("runs/kl")).source == (
        "AutoencoderKL of diffusers: pipe/vae"
    )
    loaded = checkpoints.load("runs/kl", Autoencoder)
    codec = checkpoints.latents_of(loaded, "runs/kl")
    shift, scale = settings.get("shift_factor", 0.0), settings.get("scaling_factor", 0.18215)
    with torch.no_grad():
        z = vae.encode(PIXELS.encode(IMAGES)).latent_dist.mean
        x0 = (z - shift) * scale
        torch.testing.assert_close(codec.encode(IMAGES), x0, rtol=1e-6, atol=1e-6)
        theirs = PIXELS.decode(vae.decode(x0 / scale + shift).sample)
    grey_levels = (codec.decode(x0).int() - theirs.int()).abs()
    assert grey_levels.max() <= 1
    assert theirs.float().std() > 5
    assert x0.std() > 0.01


def test_moments_and_decoder_are_theirs_bit_for_bit(tmp_path: Path) -> None:
    folder, vae = vae_folder(tmp_path)
    model = autoencoder(folder)
    assert model.data == DataSpec((3, 16, 16))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    x = PIXELS.encode(IMAGES)
    with torch.no_grad():
        mean, log_variance = model.moments(x)
        posterior = vae.encode(x).latent_dist
        assert torch.equal(mean, posterior.mean)
        assert torch.equal(log_variance, posterior.logvar)
        assert torch.equal(model.decode(mean), vae.decode(mean).sample)


def test_it_reads_images_of_another_size_if_it_is_told(tmp_path: Path) -> None:
    folder, _ = vae_folder(tmp_path, sample_size=512)
    imported = read(folder)
    assert imported.model.image_shape == (3, 512, 512)
    assert imported.notes == (
        "images of 512 x 512, as its settings say; --image_size takes others",
    )
    model = autoencoder(folder, image_size=16)
    assert (model.image_shape, model.latent_shape) == ((3, 16, 16), (4, 8, 8))
    assert read(folder, image_size=16).notes == ()
    change(folder / "config.json", "sample_size")
    assert world.told(folder)["needed"] == ["image_size"]
    with pytest.raises(InputError, match="sample_size is not told; give --image_size"):
        world.read(folder, {})
    assert autoencoder(folder, image_size=8).latent_shape == (4, 4, 4)
    for size, said in ((15, "image_size 15: 2 levels"), (0, "--image_size 0: wanted a number")):
        with pytest.raises(InputError, match=said):
            world.read(folder, {"image_size": size})


def test_older_folders_are_read(tmp_path: Path) -> None:
    """Without later settings, with the names that layers of attention had, in half precision."""
    folder, vae = vae_folder(tmp_path)
    later = ("latents_mean", "latents_std", "shift_factor", "scaling_factor", "force_upcast")
    quant = ("use_quant_conv", "use_post_quant_conv", "mid_block_add_attention")
    change(folder / "config.json", *later, *quant)
    state = {}
    for name, value in load_file(folder / WEIGHTS[0]).items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value")):
            name = name.replace(f".{new}.", f".{old}.")
        state[name.replace(".to_out.0.", ".proj_attn.")] = value.half()
    assert any(".proj_attn." in name for name in state)
    (folder / WEIGHTS[0]).unlink()
    torch.save(state, folder / WEIGHTS[3])
    imported = read(folder)
    assert "weights in float16 are read as float32" in imported.notes
    model = imported.model
    assert isinstance(model, Autoencoder)
    torch.testing.assert_close(model.variance, torch.full((4,), 0.18215**-2))
    x = PIXELS.encode(IMAGES)
    with torch.no_grad():
        mean = vae.half().float().encode(x).latent_dist.mean
        torch.testing.assert_close(model.moments(x)[0], mean, rtol=0, atol=1e-6)


def test_info_says_what_it_is(tmp_path: Path, cgd: Cgd) -> None:
    folder, _ = vae_folder(tmp_path / "vae", shift_factor=0.5)
    code, out, err = cgd("info", str(folder))
    assert (code, err) == (0, "")
    facts = yaml.safe_load(out)
    assert facts["format"] == "AutoencoderKL of diffusers"
    assert (facts["image_shape"], facts["latent_shape"]) == ([3, 16, 16], [4, 8, 8])
    assert (facts["scaling_factor"], facts["shift_factor"]) == (0.18215, 0.5)
    assert facts["network"]["init_args"]["norm_num_groups"] == 4
    assert facts["needed"] == []


def config(**changes: Any) -> Any:
    return lambda folder: change(folder / "config.json", **changes)


def weights(change_them: Any) -> Any:
    def damage(folder: Path) -> None:
        state = load_file(folder / WEIGHTS[0])
        change_them(state)
        save_file(state, folder / WEIGHTS[0])

    return damage


BROKEN: dict[str, tuple[Any, str]] = {
    "a class of a stranger": (config(class_path="os.system"), "the setting 'class_path'"),
    "another autoencoder": (config(_class_name="AsymmetricAutoencoderKL"), "'AsymmetricAuto"),
    "no variance": (config(double_z=False), "double_z False, where True alone can be read"),
    "means by channel": (config(latents_mean=[0.0] * 4), "latents_mean a list, where None alone"),
    "deviations by channel": (config(latents_std=[1.0] * 4), "latents_std a list, where None"),
    "an unknown block": (config(down_block_types=["X", "Y"]), "down_block_types 'X': known"),
    "a word for a number": (config(layers_per_block="2"), "layers_per_block"),
    "a word for the scale": (config(scaling_factor="1\n2"), r"scaling_factor '1\\n2': wanted a"),
    "no scale": (config(scaling_factor=None), "scaling_factor None: wanted a number, 1e-06 to"),
    "a scale of nothing": (config(scaling_factor=0), "scaling_factor 0: wanted a number"),
    "a scale below zero": (config(scaling_factor=-1.0), r"scaling_factor -1\.0: wanted a number"),
    "a huge shift": (
        config(shift_factor=1e9),
        r"shift_factor 1000000000\.0: wanted a number, -1e\+06",
    ),
    "no autoencoder": (config(out_channels=1), "in_channels 3 and out_channels 1: not an auto"),
    "no square": (config(sample_size=[16, 32]), "sample_size 16 x 32: images must be square"),
    "an odd size": (config(sample_size=17), "image_size 17: 2 levels"),
    "a huge network": (
        config(block_out_channels=[8, 10**8]),
        r"config\.json: a network of more than 1,000,000,000 parameters",
    ),
    "endless layers": (config(layers_per_block=10**9), "a network of more than 5,000 layers"),
    "endless levels": (
        config(block_out_channels=[8] * 9999),
        r"config\.json: .*(more than 10000 values|blocks for 9999 levels)",
    ),
    "no settings": (lambda folder: (folder / "config.json").unlink(), r"config\.json: no such"),
    "no weights": (lambda folder: (folder / WEIGHTS[0]).unlink(), "no weights; wanted"),
    "another width": (config(block_out_channels=[8, 24]), "do not fit the settings.*is of shape"),
    "weights of another": (
        weights(lambda state: state.update({"quant_conv.bias": torch.zeros(2)})),
        r"do not fit the settings beside them: quant_conv\.bias is of shape",
    ),
    "a weight missing": (
        weights(lambda state: state.pop("quant_conv.bias")),
        r"1 missing, as quant_conv\.bias",
    ),
    "not a number": (
        weights(lambda state: state["quant_conv.bias"].fill_(torch.inf)),
        r"its weights are not finite, beginning with vae\.quant_conv\.bias",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    break_it, named = BROKEN[kind]
    folder, _ = vae_folder(tmp_path)
    break_it(folder)
    assert world.recognise(folder)
    with pytest.raises(InputError, match=named) as refused:
        world.read(folder, {})
    assert str(refused.value).startswith(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_options_of_diffusion_models_are_refused(tmp_path: Path) -> None:
    folder, _ = vae_folder(tmp_path)
    for name, value in (("schedule", "linear"), ("class_names", "a,b")):
        with pytest.raises(InputError, match=f"--{name}: says nothing of an autoencoder"):
            world.read(folder, {name: value})


def test_a_latent_pipeline_says_where_its_autoencoder_is(tmp_path: Path) -> None:
    vae_folder(tmp_path / "vae")
    parts = {"unet": ["diffusers", "UNet2DModel"], "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "LDM", **parts}))
    with pytest.raises(InputError, match="of this one, the autoencoder alone: its folder vae"):
        world.read(tmp_path, {})


def test_a_latent_model_is_trained_in_it_and_both_are_shared(
    tmp_path: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    vae_folder(tmp_path / "vae", in_channels=1, out_channels=1)
    assert cgd("convert", "vae", "--out=runs/kl")[0] == 0
    code, _, err = cgd(
        *("fit", "--config=diffusion.yaml", "--data.image_size=16", "--data.autoencoder=runs/kl"),
        *("--model.network.patch_size=1", "--model.network.attention_resolutions=[]"),
        *("--model.network.model_channels=12", "--trainer.max_steps=2", "--data.batch_size=16"),
        *("--trainer.val_check_interval=2", "--trainer.limit_val_batches=1"),
        "--trainer.accelerator=cpu",
        *("--trainer.enable_progress_bar=false", "--guided_sampler.every_n_validations=0"),
    )
    assert code == 0, err
    codec = checkpoints.load("runs/diffusion", Denoiser).data.codec
    assert isinstance(codec, Latents)
    assert (codec.latent_shape, codec.scale) == ((4, 8, 8), pytest.approx([0.18215] * 4))
    sampled = ("--scale=0", "--num_samples=2", "--steps=2", "--device=cpu", "--out=samples")
    assert cgd("sample", "--ckpt=runs/diffusion", *sampled)[0] == 0

    code, _, err = cgd("export", "runs/kl", "--out=shared")
    assert code == 0, err
    text = Path("shared/README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert (front["tags"], "pipeline_tag" in front) == (
        ["latent-diffusion", "cgd-lightning"],
        False,
    )
    assert (
        "--data.root IMAGES --data.channels 1 --data.image_size 16 --data.autoencoder shared"
        in (text)
    )
    before, after = (checkpoints.load(name, Autoencoder) for name in ("runs/kl", "shared"))
    assert isinstance(after.network, DiffusersAutoencoder)
    assert checkpoints.hash_weights(before) == checkpoints.hash_weights(after)

    shutil.rmtree("shared")
    for form, said in (
        ("adm", "--to adm: an autoencoder; guided-diffusion has diffusion models and"),
        ("diffusers", "is no diffusion model, and only these are written for"),
    ):
        code, _, err = cgd("export", "runs/kl", f"--to={form}", "--out=shared")
        assert (code, err.count("\n"), Path("shared").exists()) == (1, 1, False), err
        assert said in err
    code, _, err = cgd("export", "runs/diffusion", "--to=diffusers", "--out=shared")
    assert (code, Path("shared").exists()) == (1, False)
    assert "codec Latents: not to be written for diffusers" in err
