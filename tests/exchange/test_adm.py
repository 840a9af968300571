"""Files of guided-diffusion become the networks that its README builds, with the same outputs."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from torch.nn import functional as F

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear
from cgd_lightning.errors import InputError
from cgd_lightning.exchange import adm
from cgd_lightning.exchange.adm_keys import Told, read_keys
from cgd_lightning.exchange.adm_published import PUBLISHED
from cgd_lightning.exchange.diffusers_unets import to_theirs
from cgd_lightning.networks import EncoderUNet, UNet
from tests.exchange.adm_files import (
    FLAGS,
    GIVEN,
    UPSAMPLERS,
    network,
    saved,
    shapes,
    small,
    small_classifier,
)

CONVERTED = [name for name in FLAGS if name not in UPSAMPLERS]


def test_the_table_has_all_published_files() -> None:
    assert set(PUBLISHED) == set(FLAGS)
    assert len(PUBLISHED) == 15


@pytest.mark.parametrize("name", FLAGS)
def test_the_keys_of_a_published_file_build_a_network_of_exactly_its_shapes(name: str) -> None:
    wanted = shapes(network(name, real=True))
    told = read_keys(wanted)
    assert told.image_size in (None, FLAGS[name][2]["image_size"])
    cls = UNet if told.kind == "diffusion" else EncoderUNet
    with torch.device("meta"):
        made = cls(**told.network, image_size=FLAGS[name][2]["image_size"])
    assert shapes(made) == wanted
    assert told.network == dict(PUBLISHED[name].told)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTED)
def test_a_published_file_converts_by_its_name_alone_with_the_same_outputs(
    name: str, tmp_path: Path
) -> None:
    net = network(name)
    (imported,) = adm.read(saved(net, tmp_path / f"{name}.pt"), {})
    checkpoints.save(imported.model, tmp_path / "m.ckpt", source=imported.source)
    loaded = checkpoints.load(tmp_path / "m.ckpt")
    size = FLAGS[name][2]["image_size"]
    assert loaded.image_shape == (3, size, size)
    assert loaded.schedule == (Cosine() if name.startswith("64x64") else Linear())
    # A convolutional network takes any size, which a pool with positions does not; 64 keeps it
    # quick, and every level has pixels enough to attend to.
    side = size if "classifier" in name else 64
    x, t = torch.randn(1, 3, side, side), torch.tensor([321.0])
    labels = [torch.tensor([207])] if net.num_classes else []
    with torch.no_grad():
        wanted, came = net(x, t, *labels), loaded.network(x, t, *labels)
    assert wanted.std() > 0.05
    torch.testing.assert_close(came, wanted, rtol=1e-5, atol=1e-5)
    arguments = loaded.network.init_args
    assert arguments["dropout"] == FLAGS[name][2].get("dropout", 0.0)
    if "classifier" in name or net.num_classes:
        assert loaded.class_names[207] == "golden retriever"
    if isinstance(loaded, Denoiser):
        assert (loaded.learned_variance, loaded.prediction) == (True, "eps")


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_an_upsampler_reads_the_small_image_beside_the_noisy_one(name: str, tmp_path: Path) -> None:
    net = network(name)
    file = saved(net, tmp_path / f"{name}.pt")
    assert "upsampler" in str(adm.told(file)["what"])
    (imported,) = adm.read(file, {})
    small, size = (int(part) for part in name.removesuffix("_upsampler").split("_"))
    assert imported.model.image_shape == (3, size, size)
    assert imported.model.low_res_shape == (3, small, small)
    assert imported.model.learned_variance
    x, low_res = torch.randn(1, 3, 64, 64), torch.rand(1, 3, 16, 16)
    t, y = torch.tensor([321.0]), torch.tensor([207])
    large = F.interpolate(low_res, (64, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        wanted = net(torch.cat([x, large], dim=1), t, y)
        came = imported.model.network(x, t, y, low_res=low_res)
    torch.testing.assert_close(came, wanted, rtol=1e-5, atol=1e-5)


def test_an_upsampler_of_another_name_does_not_tell_what_it_enlarges(tmp_path: Path) -> None:
    file = saved(small(in_channels=6), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"give --small_size PIXELS"):
        adm.read(file, GIVEN)
    (imported,) = adm.read(file, {**GIVEN, "small_size": 8})
    assert imported.model.low_res_shape == (3, 8, 8)
    with pytest.raises(InputError, match=r"--small_size 8: .* enlarges no images"):
        adm.read(saved(small(), tmp_path / "n.pt"), {**GIVEN, "small_size": 8})


@pytest.mark.parametrize(("name", "value"), [("schedule", "scaled_linear"), ("prediction", "v")])
def test_what_guided_diffusion_does_not_have_is_no_setting(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"--{name} {value}: guided-diffusion has"):
        adm.read(saved(small(), tmp_path / "m.pt"), {**GIVEN, name: value})


def test_imagenets_names_are_a_thousand_and_none_is_there_twice() -> None:
    from cgd_lightning.exchange.class_names import imagenet, unique

    names = imagenet()
    assert (len(names), len(set(names))) == (1000, 1000)
    assert (names[0], names[999]) == ("tench", "toilet tissue")
    assert unique(["crane", "bus", "crane"]) == ("crane 0", "bus", "crane 2")


def test_a_file_gives_what_diffusers_gives_with_its_weights(tmp_path: Path) -> None:
    """An independent implementation of a network in the new attention order."""
    net = small(
        channel_mult=(1, 2, 2),
        num_res_blocks=2,
        attention_resolutions=(2, 4),
        num_classes=10,
        num_head_channels=16,
        resblock_updown=True,
    )
    given = {k: v for k, v in GIVEN.items() if k != "num_heads"}
    given |= {"num_head_channels": 16, "attention_order": "new"}
    (imported,) = adm.read(saved(net, tmp_path / "m.pt"), given)
    reference = UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        layers_per_block=2,
        num_class_embeds=10,
        block_out_channels=(32, 64, 64),
        attention_head_dim=16,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        attn_norm_num_groups=32,
        upsample_type="resnet",
        downsample_type="resnet",
        norm_eps=1e-5,
    ).eval()
    reference.load_state_dict(to_theirs(imported.model.network))
    x, t, y = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 998.0]), torch.tensor([1, 7])
    with torch.no_grad():
        ours, theirs = imported.model.network(x, t, y), reference(x, t, class_labels=y).sample
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


VARIED: list[dict[str, Any]] = [
    {"out_channels": 3},
    {"num_classes": 7},
    {"resblock_updown": True},
    {"conv_resample": False},
    {"use_scale_shift_norm": False},
    {"attention_resolutions": ()},
    {"attention_resolutions": (1, 2), "resblock_updown": True},
    {"channel_mult": (1,), "attention_resolutions": (1,)},
    {"channel_mult": (1, 1, 1), "num_res_blocks": 2, "resblock_updown": True},
    {"channel_mult": (2, 1, 3), "num_res_blocks": 3},
    {"channel_mult": (1.5, 3), "model_channels": 64},
    {"in_channels": 1, "out_channels": 1},
]


@pytest.mark.parametrize("changes", VARIED, ids=str)
def test_what_the_keys_tell_is_read_from_them(changes: dict[str, Any], tmp_path: Path) -> None:
    net = small(**changes)
    (imported,) = adm.read(saved(net, tmp_path / "model010000.pt"), GIVEN)
    model = imported.model
    assert isinstance(model, Denoiser)
    assert model.learned_variance == (net.init_args["out_channels"] == 6)
    x, t = torch.randn(2, *model.image_shape), torch.tensor([3.0, 700.0])
    labels = [torch.tensor([1, 6])] if net.num_classes else []
    with torch.no_grad():
        assert torch.equal(model.network(x, t, *labels), net(x, t, *labels))


@pytest.mark.parametrize("pool", ["adaptive", "attention", "spatial", "spatial_v2"])
@pytest.mark.parametrize("updown", [True, False])
def test_every_pool_is_read_from_the_keys(pool: str, updown: bool, tmp_path: Path) -> None:
    net = small_classifier(pool=pool, resblock_updown=updown)
    given = {name: value for name, value in GIVEN.items() if name != "prediction"}
    if pool == "attention":
        del given["image_size"]
    (imported,) = adm.read(saved(net, tmp_path / "c.pt"), given)
    assert isinstance(imported.model, NoisyClassifier)
    assert imported.model.image_shape == (3, 16, 16)
    assert imported.model.class_names == tuple("01234")
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        assert torch.equal(imported.model.network(x, t), net(x, t))


def test_a_classifier_whose_levels_nothing_shows_wants_its_blocks(tmp_path: Path) -> None:
    net = small_classifier(
        channel_mult=(1, 1, 1), resblock_updown=True, attention_resolutions=(), pool="adaptive"
    )
    file = saved(net, tmp_path / "c.pt")
    given = {name: value for name, value in GIVEN.items() if name != "prediction"}
    with pytest.raises(InputError, match="give --num_res_blocks: num_res_blocks may be 1 or 2 or"):
        adm.read(file, given)
    (imported,) = adm.read(file, {**given, "num_res_blocks": 1})
    assert imported.model.network.init_args["channel_mult"] == [1, 1, 1]
    other = saved(small(), tmp_path / "d.pt")
    with pytest.raises(InputError, match=r"--num_res_blocks 3: .* has 1 in a level"):
        adm.read(other, {**GIVEN, "num_res_blocks": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_heads", 4), ("attention_order", "new"), ("num_heads_upsample", 1)],
)
def test_a_wrong_flag_loads_and_changes_the_output_so_nothing_is_guessed(
    name: str, value: object, tmp_path: Path
) -> None:
    file = saved(small(), tmp_path / "m.pt")
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([500.0])
    (right,), (wrong,) = adm.read(file, GIVEN), adm.read(file, {**GIVEN, name: value})
    with torch.no_grad():
        difference = right.model.network(x, t) - wrong.model.network(x, t)
    assert difference.abs().max() > 1e-3
    if name in GIVEN:
        with pytest.raises(InputError, match=f"--{name}"):
            adm.read(file, {key: said for key, said in GIVEN.items() if key != name})


@pytest.mark.parametrize("left_out", GIVEN)
def test_a_file_that_leaves_a_setting_open_is_refused_with_the_option(
    left_out: str, tmp_path: Path
) -> None:
    file = saved(small(), tmp_path / "m.pt")
    with pytest.raises(InputError, match=rf"m\.pt: its keys do not tell all; give --{left_out} "):
        adm.read(file, {name: value for name, value in GIVEN.items() if name != left_out})
    with pytest.raises(InputError, match=r"--image_size .* --num_heads .* --prediction") as refused:
        adm.read(file, {})
    assert "--num_heads 4 --attention_order legacy" in str(refused.value)


def test_with_a_single_head_the_order_is_no_question(tmp_path: Path) -> None:
    net = small(num_heads=1)
    given = {k: v for k, v in GIVEN.items() if k != "attention_order"} | {"num_heads": 1}
    (imported,) = adm.read(saved(net, tmp_path / "m.pt"), given)
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([500.0])
    net.init_args["use_new_attention_order"] = True
    other = UNet(**net.init_args).eval()
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(imported.model.network(x, t), other(x, t))


def test_rescaled_timesteps_are_those_of_a_thousand(tmp_path: Path) -> None:
    net = small()
    file = saved(net, tmp_path / "m.pt")
    given = {**GIVEN, "timesteps": 4000}
    with pytest.raises(InputError, match="give --rescale_timesteps true or false"):
        adm.read(file, given)
    (imported,) = adm.read(file, {**given, "rescale_timesteps": True})
    (plain,) = adm.read(file, {**given, "rescale_timesteps": False})
    assert isinstance(imported.model, Denoiser)
    assert imported.model.schedule == Cosine(4000)
    checkpoints.save(imported.model, tmp_path / "m.ckpt")
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([3000.0])
    with torch.no_grad():
        wanted = net(x, t / 4)
        torch.testing.assert_close(imported.model.network(x, t), wanted)
        torch.testing.assert_close(checkpoints.load(tmp_path / "m.ckpt").network(x, t), wanted)
        assert torch.equal(plain.model.network(x, t), net(x, t))
    assert (wanted - net(x, t)).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_precisions_are_read_as_float32_and_say_so(
    dtype: torch.dtype, zipped: bool, tmp_path: Path
) -> None:
    net = small().to(dtype)
    file = saved(net, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    (imported,) = adm.read(file, GIVEN)
    name = str(dtype).removeprefix("torch.")
    assert f"weights in {name} are read as float32" in imported.notes
    for key, weight in imported.model.network.state_dict().items():
        assert torch.equal(weight, net.state_dict()[key].float())
        assert weight.dtype == torch.float32


@pytest.mark.parametrize("inside", ["state_dict", "model", "ddp", "parameters", "legacy"])
def test_forks_keep_the_same_weights_in_other_ways(inside: str, tmp_path: Path) -> None:
    net = small()
    state = net.state_dict()
    contents: Any = state
    if inside in ("state_dict", "model"):
        contents = {inside: state, "step": 10_000, "lr": 1e-4}
    elif inside == "ddp":
        contents = {f"module.{name}": weight for name, weight in state.items()}
    elif inside == "parameters":
        contents = dict(net.named_parameters())
    file = tmp_path / "ema_0.9999_010000.pt"
    torch.save(contents, file, _use_new_zipfile_serialization=inside != "legacy")
    (imported,) = adm.read(file, GIVEN)
    for name, weight in imported.model.network.state_dict().items():
        assert torch.equal(weight, state[name])


def test_a_changed_weight_never_reaches_the_file(tmp_path: Path) -> None:
    file = saved(small(), tmp_path / "m.pt")
    before = file.read_bytes()
    (imported,) = adm.read(file, GIVEN)
    with torch.no_grad():
        for weight in imported.model.parameters():
            weight.add_(1)
    assert file.read_bytes() == before
    (again,) = adm.read(file, GIVEN)
    torch.testing.assert_close(
        next(imported.model.parameters()), next(again.model.parameters()) + 1
    )


def test_a_file_that_is_written_while_its_memory_is_given_back_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgd_lightning.checkpoints.files.PART", 1000)
    (imported,) = adm.read(saved(small(), tmp_path / "m.pt"), GIVEN)
    calls = []

    def let_go() -> None:
        calls.append(1)
        imported.let_go()

    checkpoints.save(imported.model, tmp_path / "a.ckpt", let_go=let_go)
    checkpoints.save(imported.model, tmp_path / "b.ckpt")
    assert len(calls) > 10
    one, other = (checkpoints.load(tmp_path / f"{name}.ckpt").state_dict() for name in "ab")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_file_is_published_by_name_or_by_word_and_what_is_typed_wins(tmp_path: Path) -> None:
    net = network("256x256_diffusion_uncond")
    file = saved(net, tmp_path / "renamed.pt")
    (imported,) = adm.read(file, {"published": "lsun_cat"})
    assert imported.dataset == "lsun-cat"
    assert imported.model.network.init_args["dropout"] == 0.1
    assert "num_head_channels 64" in imported.notes[0]
    (typed,) = adm.read(file, {"published": "lsun_cat", "num_heads": 2, "schedule": "cosine"})
    assert isinstance(typed.model, Denoiser)
    assert typed.model.schedule == Cosine()
    assert typed.model.network.init_args["num_head_channels"] == -1
    assert "num_head_channels" not in typed.notes[0]
    with pytest.raises(InputError, match="--published lsun_dog: wanted one of 64x64_diffusion, "):
        adm.read(file, {"published": "lsun_dog"})
    with pytest.raises(InputError, match="another network: num_classes None, where that has 1000"):
        adm.read(file, {"published": "256x256_diffusion"})


def test_what_the_user_says_against_the_keys_is_refused(tmp_path: Path) -> None:
    classifier = saved(small_classifier(), tmp_path / "c.pt")
    given = {name: value for name, value in GIVEN.items() if name != "prediction"}
    for extra, message in (
        ({"image_size": 32}, "--image_size 32: the attention pool .* is of images of 16 pixels"),
        ({"prediction": "eps"}, "--prediction: .* is a classifier, which has none"),
        ({"num_heads": 3}, r"c\.pt: num_heads 3: attention over 64 channels"),
        ({"class_names": "a,b"}, "--class_names: 2 names, and the model has 5 classes"),
        ({"class_names": "a,b,c,d,a"}, "'a' is there twice"),
        ({"dropout": 2.0}, "--dropout 2.0: wanted"),
        ({"timesteps": 1, "rescale_timesteps": False}, "timesteps 1: a schedule has 2 to"),
    ):
        with pytest.raises(InputError, match=message):
            adm.read(classifier, {**given, **extra})
    diffusion = saved(small(), tmp_path / "d.pt")
    for size in (15, 0, 8192):
        with pytest.raises(InputError, match=f"--image_size {size}: .* wanted a multiple of 2, at"):
            adm.read(diffusion, {**GIVEN, "image_size": size})


def test_classes_are_named_as_guided_diffusion_counts_them(tmp_path: Path) -> None:
    """By the beginnings of the names of files, in whatever folder, in order (image_datasets.py)."""
    images = tmp_path / "images"
    for name in ("b/zebra_1.png", "b/cat_2.JPEG", "a/dog_7_x.jpg", "cat_1.gif", "a/notes.txt"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    file = saved(small(num_classes=3), tmp_path / "m.pt")
    (imported,) = adm.read(file, {**GIVEN, "images": images})
    assert imported.model.class_names == ("cat", "dog", "zebra")
    two = saved(small(num_classes=2), tmp_path / "two.pt")
    (imported,) = adm.read(two, {**GIVEN, "images": images})
    assert imported.model.class_names == ("a", "b")
    many = saved(small(num_classes=9), tmp_path / "many.pt")
    with pytest.raises(
        InputError, match=r"3 classes by the beginnings .* 2 by the sub-folders; the"
    ):
        adm.read(many, {**GIVEN, "images": images})
    with pytest.raises(InputError, match="no such folder"):
        adm.read(many, {**GIVEN, "images": tmp_path / "none"})
    (plain,) = adm.read(many, GIVEN)
    assert plain.model.class_names == tuple("012345678")
    assert any("called 0 to 8" in note for note in plain.notes)


def test_notes_tell_of_averages_beside_and_of_a_fixed_variance(tmp_path: Path) -> None:
    net = small(out_channels=3)
    saved(net, tmp_path / "ema_0.9999_010000.pt")
    (imported,) = adm.read(saved(net, tmp_path / "model010000.pt"), GIVEN)
    notes = " ".join(imported.notes)
    assert "ema_0.9999_010000.pt beside it" in notes
    assert "--sampler.variance fixed_large" in notes


def broken(name: str, state: dict[str, torch.Tensor]) -> Any:
    """The weights of a small network, with something wrong."""
    if name == "nan":
        state["middle_block.0.in_layers.2.weight"][0, 0] = torch.nan
    elif name == "double beyond float32":
        state["time_embed.0.bias"] = torch.full((128,), 1e300, dtype=torch.float64)
    elif name == "integers":
        state["time_embed.0.bias"] = torch.zeros(128, dtype=torch.int64)
    elif name == "missing":
        del state["middle_block.1.qkv.weight"]
    elif name == "unexpected":
        state["middle_block.3.weight"] = torch.zeros(2)
    elif name == "shape":
        state["out.2.weight"] = torch.zeros(6, 32, 1, 1)
    elif name == "optimizer":
        return {"state": {0: {"exp_avg": torch.zeros(1)}}, "param_groups": []}
    elif name == "resnet":
        return {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(10)}
    elif name == "no tensors":
        return {"a": "text"}
    elif name == "narrow":
        return small(model_channels=16, norm_groups=16).state_dict()
    elif name == "channels":
        return small(in_channels=4, out_channels=4).state_dict()
    elif name == "outputs":
        return small(out_channels=5).state_dict()
    return state


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", r"not finite, beginning with middle_block\.0\.in_layers\.2\.weight"),
        ("double beyond float32", r"not finite, beginning with time_embed\.0\.bias"),
        ("integers", r"time_embed\.0\.bias holds torch\.int64, no weights"),
        ("missing", r"nearest to \w+\.pt .*: middle_block\.1\.qkv\.weight is missing"),
        ("unexpected", r"nearest to .*: middle_block\.3\.weight fits no such network"),
        ("shape", r"out\.2\.weight is of shape \[6, 32, 1, 1\], and \[6, 32, 3, 3\] was wanted"),
        ("optimizer", "the state of an optimizer; give model"),
        ("resnet", r"not a file of guided-diffusion, nor .*: conv1\.weight is no tensor of such"),
        ("no tensors", "holds no weights by name; 'a' is no tensor"),
        ("narrow", "a level of 16 channels, no multiple of 32"),
        ("channels", "reads 4 channels; wanted images of 1 or 3"),
        ("outputs", "gives 5 channels for images of 3"),
    ],
)
def test_weights_that_are_none_of_ours_are_refused_in_one_line(
    name: str, message: str, tmp_path: Path
) -> None:
    torch.save(broken(name, small().state_dict()), tmp_path / "m.pt")
    with pytest.raises(InputError, match=rf"m\.pt: .*{message}") as refused:
        adm.read(tmp_path / "m.pt", GIVEN)
    assert str(refused.value).isprintable()


def test_the_nearest_published_file_is_named(tmp_path: Path) -> None:
    state = network("64x64_classifier").state_dict()
    del state["out.2.c_proj.bias"]
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"64x64_classifier\.pt among .*c_proj\.bias is missing"):
        adm.read(tmp_path / "m.pt", {})


@pytest.mark.parametrize("zipped", [True, False])
def test_half_a_file_is_refused_in_one_line(zipped: bool, tmp_path: Path) -> None:
    file = saved(small(), tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.99):
        file.write_bytes(whole[: int(share * len(whole))])
        assert not adm.recognise(file)
        with pytest.raises(InputError, match=r"m\.pt: "):
            adm.read(file, GIVEN)


def test_a_flipped_bit_is_found_by_its_checksum(tmp_path: Path) -> None:
    file = saved(small(), tmp_path / "m.pt")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"m\.pt: .*checksum"):
        adm.read(file, GIVEN)


def test_keys_at_random_are_read_or_refused_and_nothing_else() -> None:
    """Names and shapes that somebody made up, of which many are nearly those of a network."""
    generator = random.Random(0)
    nets = [small(), small(resblock_updown=True, num_classes=3), small_classifier()]
    for _ in range(600):
        state = shapes(generator.choice(nets))
        for _ in range(generator.randint(1, 6)):
            name = generator.choice(list(state))
            shape = state.pop(name)
            change = generator.random()
            if change < 0.3:
                digits = str(generator.choice([0, 1, 2, 5, 99, 9999]))
                name = name.replace(generator.choice("0123"), digits, 1)
            elif change < 0.6 and shape:
                place = generator.randrange(len(shape))
                shape = (*shape[:place], generator.choice([0, 1, 32, 10**6]), *shape[place + 1 :])
            elif change < 0.8:
                shape = shape[: generator.randint(0, 2)]
            if change < 0.9:
                state[name] = shape
        try:
            assert isinstance(read_keys(state), Told)
        except ValueError as error:
            assert type(error).__name__ in ("UnknownKeysError", "AmbiguousKeysError")  # noqa: PT017  (or nothing is raised)
