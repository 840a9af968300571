"""Folders of diffusers become models of ours that give the same numbers, and the other way."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM, DDPM
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, ScaledLinear, Sigmoid
from cgd_lightning.errors import InputError
from cgd_lightning.exchange import diffusers as world
from cgd_lightning.exchange.diffusers_files import WEIGHTS
from cgd_lightning.exchange.imported import Imported
from cgd_lightning.folders import whole_folder
from cgd_lightning.networks import MLP, DiffusersUNet, EncoderUNet, UNet
from tests.exchange.diffusers_folders import change, pipeline_folder, their_unet

diffusers = pytest.importorskip("diffusers")

X, T = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3)), [3.0, 998.0]


def read(folder: Path, **given: Any) -> Imported:
    assert world.recognise(folder)
    [imported] = world.read(folder, given)
    return imported


def output(network: Any, *labels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = network(X, torch.tensor(T), *labels)
    return out if isinstance(out, torch.Tensor) else out.sample


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_a_pipeline_becomes_a_model_with_the_same_output(tmp_path: Path, safe: bool) -> None:
    folder, unet = pipeline_folder(tmp_path / "pipe", safe=safe)
    imported = read(folder)
    model = imported.model
    assert isinstance(model, Denoiser)
    assert torch.equal(output(model.network), output(unet))
    assert (model.schedule, model.prediction, model.data) == (
        Linear(),
        "eps",
        DataSpec((3, 16, 16)),
    )
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert imported.source == "DDPMPipeline of diffusers: pipe"


def test_a_converted_model_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    folder, unet = pipeline_folder(tmp_path / "pipe", num_class_embeds=3)
    imported = read(folder, class_names=["cat", "dog", "owl"])
    path = tmp_path / "best.ckpt"
    checkpoints.save(imported.model, path, source=imported.source)
    loaded = checkpoints.load(path, Denoiser)
    y = torch.tensor([0, 2])
    torch.testing.assert_close(output(loaded.network, y), output(unet, y), rtol=1e-5, atol=1e-5)
    assert checkpoints.read(path).source == "DDPMPipeline of diffusers: pipe"
    assert loaded.class_names == ("cat", "dog", "owl")


OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

PUBLIC: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "google/ddpm-cifar10-32": (
        {
            "attention_head_dim": None,
            "block_out_channels": (32, 64, 64, 64),
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            "downsample_padding": 0,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
            "layers_per_block": 2,
            "norm_eps": 1e-6,
        },
        {"variance_type": "fixed_large"},
    ),
    "google/ddpm-celebahq-256": (
        {
            "attention_head_dim": None,
            "block_out_channels": (32, 32, 32, 32, 64),
            "down_block_types": (*["DownBlock2D"] * 3, "AttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 3),
            "downsample_padding": 0,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
            "layers_per_block": 2,
            "norm_eps": 1e-6,
        },
        {"variance_type": "fixed_small"},
    ),
    "anton-l/ddpm-butterflies-128": (
        {
            "attention_head_dim": 8,
            "block_out_channels": (32, 32, 64, 64),
            "down_block_types": (*["DownBlock2D"] * 2, "AttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 2),
            "layers_per_block": 2,
        },
        {"beta_schedule": "linear"},
    ),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_settings_of_public_models_are_read(name: str, tmp_path: Path) -> None:
    """As narrow ones, in their old layout: all files in one folder, old names in a pickle."""
    options, scheduler = PUBLIC[name]
    made, unet = pipeline_folder(
        tmp_path / "made", diffusers.DDPMScheduler(**scheduler), safe=False, **options
    )
    folder = tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / "1a2b"
    blobs = folder.parent.parent / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    state = torch.load(made / "unet" / WEIGHTS[1], weights_only=True)
    for new, old in OLD_ATTENTION.items():
        state = {key.replace(f".{new}.", f".{old}."): value for key, value in state.items()}
    assert any(".query." in key for key in state)
    torch.save(state, blobs / "weights", _use_new_zipfile_serialization=False)
    shutil.copy(made / "unet" / "config.json", blobs / "config")
    shutil.copy(made / "scheduler" / "scheduler_config.json", blobs / "scheduler")
    shutil.copy(made / "model_index.json", blobs / "index")
    change(blobs / "config", "mid_block_type", "time_embedding_dim", _name_or_path="x")
    names = ("model_index.json", "config.json", "scheduler_config.json", WEIGHTS[1])
    for blob, name_there in zip(("index", "config", "scheduler", "weights"), names):
        (folder / name_there).symlink_to(blobs / blob)
    imported = read(folder)
    assert torch.equal(output(imported.model.network), output(unet))
    assert imported.source == f"DDPMPipeline of diffusers: {name}"


@pytest.mark.parametrize("eta", [None, 0.0, 0.7], ids=["ddpm", "ddim", "eta 0.7"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_trajectory_equals_that_of_the_scheduler_beside_it(
    tmp_path: Path, eta: float | None, prediction: str
) -> None:
    kind = diffusers.DDPMScheduler if eta is None else diffusers.DDIMScheduler
    folder, unet = pipeline_folder(
        tmp_path, kind(prediction_type=prediction, beta_schedule="squaredcos_cap_v2")
    )
    imported = read(folder)
    assert any("--sampler.spacing leading" in note for note in imported.notes)
    model, steps = imported.model, 20
    assert isinstance(model, Denoiser)
    sampler = DDPM(steps, spacing="leading") if eta is None else DDIM(steps, eta, "leading")
    mine, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    with torch.no_grad():
        ours = list(
            sampler.walk(
                Clamp().bind(model, None, torch.zeros(2)),
                X,
                model.schedule.levels(steps, "leading"),
                lambda: torch.randn(X.shape, generator=mine),
            )
        )
        theirs = kind.from_pretrained(folder / "scheduler")
        theirs.set_timesteps(steps)
        # To no other end than this: at x0 clipped, DDIM of diffusers keeps eps unless it is told.
        told: dict[str, Any] = {} if eta is None else {"eta": eta, "use_clipped_model_output": True}
        x = X
        for t, mine_x in zip(theirs.timesteps, ours, strict=True):
            x = theirs.step(unet(x, t).sample, t, x, generator=other, **told).prev_sample
            torch.testing.assert_close(mine_x, x, rtol=1e-3, atol=1e-3)


OURS: dict[str, tuple[dict[str, Any], NoiseSchedule, Any]] = {
    "linear": ({}, Linear(), "eps"),
    "classes and learned variance": ({"num_classes": 4, "out_channels": 6}, Cosine(), "eps"),
    "a label for none": ({"num_classes": 5, "num_head_channels": 8}, Sigmoid(), "v"),
    "noise alone at the end": (
        {"resblock_updown": True},
        ScaledLinear(500, 1e-3, 2e-2, True),
        "x0",
    ),
}


def our_model(options: dict[str, Any], schedule: NoiseSchedule, prediction: Any) -> Denoiser:
    torch.manual_seed(1)
    sizes = {"image_size": 16, "in_channels": 3, "out_channels": 3}
    small = {"model_channels": 32, "num_res_blocks": 1, "channel_mult": (1, 2)}
    net = UNet(**{**sizes, **small, **options})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    names = tuple("abcd") if net.num_classes else ()
    data = DataSpec((3, 16, 16), names, (0.25,) * len(names))
    learned = net.init_args["out_channels"] == 6
    return Denoiser(net, schedule, prediction, data, learned).eval()


@pytest.mark.parametrize("kind", OURS)
def test_ours_to_diffusers_and_back_is_bit_equal(kind: str, tmp_path: Path) -> None:
    model = our_model(*OURS[kind])
    world.write(model, tmp_path / "out", dataset="Digits")
    labels = (torch.tensor([1, 3]),) if model.conditional else ()
    unet = diffusers.UNet2DModel.from_pretrained(tmp_path / "out" / "unet").eval()
    ours, theirs = output(model.network, *labels), output(unet, *labels)
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)

    imported = read(tmp_path / "out")
    back = imported.model
    assert isinstance(back, Denoiser)
    assert isinstance(back.network, UNet)
    assert torch.equal(output(back.network, *labels), ours)
    assert (back.schedule, back.prediction, back.data, back.learned_variance) == (
        model.schedule,
        model.prediction,
        model.data,
        model.learned_variance,
    )
    assert imported.dataset == "Digits"

    (tmp_path / "out" / "cgd.json").unlink()
    foreign = read(tmp_path / "out", **({"class_names": "a,b,c,d"} if labels else {})).model
    assert isinstance(foreign, Denoiser)
    assert isinstance(foreign.network, DiffusersUNet)
    assert torch.equal(output(foreign.network, *labels), theirs)
    assert foreign.null_label == model.null_label
    assert foreign.learned_variance == model.learned_variance


def test_diffusers_to_ours_and_back_has_the_same_tensors(tmp_path: Path) -> None:
    folder, unet = pipeline_folder(tmp_path / "in", num_class_embeds=3, norm_eps=1e-6)
    model = read(folder).model
    assert isinstance(model, Denoiser)
    path = tmp_path / "best.ckpt"
    checkpoints.save(model, path)
    notes = world.write(checkpoints.load(path, Denoiser), tmp_path / "out")
    first = load_file(folder / "unet" / WEIGHTS[0])
    second = load_file(tmp_path / "out" / "unet" / WEIGHTS[0])
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    configs = [
        json.loads((where / "unet" / "config.json").read_text())
        for where in (folder, tmp_path / "out")
    ]
    assert configs[0] == configs[1]
    assert any("call the unet with class_labels" in note for note in notes)
    back = read(tmp_path / "out").model
    assert isinstance(back, Denoiser)
    assert torch.equal(
        output(back.network, torch.tensor([0, 1])), output(unet, torch.tensor([0, 1]))
    )


def test_a_pipeline_that_we_wrote_samples_as_we_do(tmp_path: Path) -> None:
    model = our_model(*OURS["linear"])
    world.write(model, tmp_path / "out")
    pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        batch_size=2,
        generator=torch.Generator().manual_seed(5),
        num_inference_steps=10,
        output_type="np",
    ).images
    noise = torch.Generator().manual_seed(5)

    def draw() -> torch.Tensor:
        return torch.randn(2, 3, 16, 16, generator=noise)

    with torch.no_grad():
        *_, x = DDPM(10).walk(
            Clamp().bind(model, None, torch.zeros(2)), draw(), model.schedule.levels(10), draw
        )
    ours = (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-3)


def test_an_imported_model_is_guided_by_a_classifier_of_ours(tmp_path: Path) -> None:
    folder, _ = pipeline_folder(tmp_path / "pipe")
    denoiser = read(folder).model
    assert isinstance(denoiser, Denoiser)
    torch.manual_seed(2)
    encoder = EncoderUNet(16, 3, 2, model_channels=32, channel_mult=(1, 1), num_res_blocks=1)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    classifier = NoisyClassifier(encoder, Cosine(), DataSpec((3, 16, 16), ("cat", "dog"))).eval()

    def told(scale: float) -> float:
        rule = Chain([ClassifierGuidance(scale=scale), Clamp()])
        [(_, images)] = generate(denoiser, [1] * 4, DDIM(10), rule, classifier, seed=3)
        x = images.float() / 127.5 - 1
        return float(classifier.log_prob(x, torch.zeros(4)).softmax(1)[:, 1].mean())

    assert told(50.0) > told(0.0) + 0.05


def test_a_model_alone_wants_schedule_and_prediction(tmp_path: Path) -> None:
    unet = their_unet()
    unet.save_pretrained(tmp_path)
    facts = world.told(tmp_path)
    assert (facts["needed"], facts["image_shape"]) == (["schedule", "prediction"], [3, 16, 16])
    for given in ({}, {"schedule": "linear"}, {"prediction": "eps"}, {"schedule": "warm"}):
        with pytest.raises(InputError, match=r"a network alone.*--schedule.*--prediction"):
            world.read(tmp_path, given)
    for schedule in ("squaredcos_cap_v2", "cosine"):
        imported = read(tmp_path, schedule=schedule, prediction="v")
        model = imported.model
        assert isinstance(model, Denoiser)
        assert (model.schedule, model.prediction) == (Cosine(), "v")
        assert torch.equal(output(model.network), output(unet))
        assert any("on 1000 timesteps" in note for note in imported.notes)


def test_a_model_alone_may_have_other_timesteps(tmp_path: Path) -> None:
    their_unet().save_pretrained(tmp_path)
    imported = read(tmp_path, schedule="linear", prediction="eps", timesteps=400)
    model = imported.model
    assert isinstance(model, Denoiser)
    theirs = diffusers.DDPMScheduler(num_train_timesteps=400)
    t = torch.arange(400, dtype=torch.float64)
    torch.testing.assert_close(
        model.schedule.alpha(t) ** 2, theirs.alphas_cumprod.double(), rtol=0, atol=1e-6
    )
    assert imported.notes == ()
    for steps in (1, 10**9):
        with pytest.raises(InputError, match=f"--timesteps {steps}: wanted an integer, 2 to"):
            world.read(tmp_path, {"schedule": "linear", "prediction": "eps", "timesteps": steps})


@pytest.mark.parametrize("own", [False, True], ids=["theirs", "ours"])
def test_an_option_that_contradicts_the_folder_is_refused(tmp_path: Path, own: bool) -> None:
    folder = tmp_path / "pipe"
    if own:
        world.write(our_model(*OURS["linear"]), folder)
    else:
        pipeline_folder(folder)
    told = {"image_size": 16, "schedule": "linear", "timesteps": 1000, "prediction": "eps"}
    assert read(folder, **told).model.image_shape == (3, 16, 16)
    for name, other in (
        *(("image_size", 64), ("schedule", "cosine"), ("timesteps", 500), ("prediction", "v")),
    ):
        said = f"--{name} '?{other}'?: .*json tells '?{told[name]}'?; leave"
        with pytest.raises(InputError, match=said) as refused:
            world.read(folder, {name: other})
        assert "\n" not in str(refused.value)


def test_class_names_that_are_given_stand_for_those_on_our_card(tmp_path: Path) -> None:
    world.write(our_model(*OURS["a label for none"]), tmp_path / "out")
    assert read(tmp_path / "out").model.class_names == ("a", "b", "c", "d")
    model = read(tmp_path / "out", class_names="cat,dog,owl,fox").model
    assert isinstance(model, Denoiser)
    assert isinstance(model.network, UNet)
    assert model.class_names == ("cat", "dog", "owl", "fox")
    for name in ("ant", "bee", "cow", "elk"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / f"{name}_1.png").touch()
    model = read(tmp_path / "out", images=tmp_path / "images").model
    assert model.class_names == ("ant", "bee", "cow", "elk")
    with pytest.raises(InputError, match="2 names, and the model has 4 classes"):
        world.read(tmp_path / "out", {"class_names": "x,y"})


def test_what_a_folder_is_can_be_told(tmp_path: Path) -> None:
    folder, _ = pipeline_folder(tmp_path, sample_size=None, num_class_embeds=3)
    facts = world.told(folder)
    assert facts["format"] == "DDPMPipeline of diffusers"
    assert (facts["needed"], facts["classes"], facts["prediction"]) == (["image_size"], 3, "eps")
    assert facts["schedule"] == str(Linear())
    with pytest.raises(InputError, match="give --image_size"):
        world.read(folder, {})
    imported = read(folder, image_size=16)
    assert imported.model.data == DataSpec((3, 16, 16), ("0", "1", "2"))
    assert any("--class_names" in note for note in imported.notes)
    with pytest.raises(InputError, match="5 class names of a network with 3 labels"):
        world.read(folder, {"image_size": 16, "class_names": tuple("abcde")})


def test_weights_in_half_precision_are_read_as_single(tmp_path: Path) -> None:
    folder, unet = pipeline_folder(tmp_path)
    path = folder / "unet" / WEIGHTS[0]
    state = {name: value.half() for name, value in load_file(path).items()}
    path.unlink()
    save_file(state, folder / "unet" / WEIGHTS[2])
    imported = read(folder)
    assert "weights in float16 are read as float32" in imported.notes
    unet.load_state_dict({name: value.float() for name, value in state.items()})
    assert torch.equal(output(imported.model.network), output(unet))


def test_a_card_beside_other_settings_is_not_read(tmp_path: Path) -> None:
    model = our_model(*OURS["linear"])
    world.write(model, tmp_path / "out")
    change(tmp_path / "out" / "scheduler" / "scheduler_config.json", beta_end=0.03)
    imported = read(tmp_path / "out")
    assert isinstance(imported.model, Denoiser)
    assert isinstance(imported.model.network, DiffusersUNet)
    assert imported.model.schedule == Linear(beta_end=0.03)
    assert any("cgd.json is of another model" in note for note in imported.notes)
    change(tmp_path / "out" / "cgd.json", network={"class_path": "os.system", "init_args": {}})
    with pytest.raises(InputError, match=r"cgd\.json.*os\.system"):
        world.read(tmp_path / "out", {})


def index(**changes: Any) -> Any:
    return lambda folder: change(folder / "model_index.json", **changes)


def unet_config(**changes: Any) -> Any:
    return lambda folder: change(folder / "unet" / "config.json", **changes)


def scheduler_config(**changes: Any) -> Any:
    return lambda folder: change(folder / "scheduler" / "scheduler_config.json", **changes)


def write_text(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def linked(name: str) -> Any:
    def damage(folder: Path) -> None:
        elsewhere = folder.parent / f"{folder.name}-elsewhere"
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(elsewhere)

    return damage


def loop(*names: str) -> Any:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(folder / name)

    return damage


def no_weights(folder: Path) -> None:
    (folder / "unet" / WEIGHTS[0]).unlink()


def sharded(folder: Path) -> None:
    no_weights(folder)
    their_unet().save_pretrained(folder / "unet", max_shard_size="200KB")


def halved(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_a_pickle(folder: Path) -> None:
    state = load_file(folder / "unet" / WEIGHTS[0])
    no_weights(folder)
    path = folder / "unet" / WEIGHTS[1]
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def more_than_tensors(folder: Path) -> None:
    no_weights(folder)
    torch.save({"conv_in.weight": torch.nn.Linear(1, 1)}, folder / "unet" / WEIGHTS[1])


def weights(change_them: Any) -> Any:
    def damage(folder: Path) -> None:
        path = folder / "unet" / WEIGHTS[0]
        state = load_file(path)
        change_them(state)
        save_file(state, path)

    return damage


BROKEN: dict[str, tuple[Any, str]] = {
    "no weights": (no_weights, "unet: no weights; wanted diffusion_pytorch_model.safetensors"),
    "sharded": (sharded, "its weights lie in several files.*max_shard_size"),
    "half a file": (halved, r"model\.safetensors: not a readable safetensors file"),
    "half a pickle": (half_a_pickle, r"model\.bin: not a readable"),
    "a pickle of code": (more_than_tensors, "nothing of it was run"),
    "not a number": (
        weights(lambda state: state["conv_in.bias"].fill_(torch.nan)),
        r"its weights are not finite, beginning with unet\.conv_in\.bias",
    ),
    "a weight missing": (
        weights(lambda state: state.pop("conv_in.bias")),
        r"do not fit the settings beside them: 1 missing, as conv_in\.bias",
    ),
    "a weight more": (
        weights(lambda state: state.update(more=torch.zeros(1))),
        "1 unexpected, as more",
    ),
    "another width": (unet_config(block_out_channels=[32, 96]), "is of shape"),
    "a huge network": (
        unet_config(block_out_channels=[32, 10**7]),
        r"config\.json: a network of more than 1,000,000,000 parameters",
    ),
    "endless layers": (unet_config(layers_per_block=10**9), "a network of more than 5,000 layers"),
    "no JSON": (write_text("unet/config.json", "{"), r"config\.json: cannot be read as settings"),
    "JSON of a list": (write_text("unet/config.json", "[]"), "a list, where a mapping was wanted"),
    "a deep list": (write_text("unet/config.json", "[" * 10**5), "cannot be read as settings"),
    "an index of no JSON": (write_text("model_index.json", "\xff"), "cannot be read as settings"),
    "another network": (unet_config(_class_name="DiTTransformer2DModel"), "DiTTransformer2DModel"),
    "another setting": (unet_config(rotary=True), "the setting 'rotary' of UNet2DModel"),
    "a Fourier embedding": (unet_config(time_embedding_type="fourier"), "time_embedding_type"),
    "labels that are numbers": (unet_config(class_embed_type="timestep"), "class_embed_type"),
    "an unknown block": (unet_config(up_block_types=["X", "UpBlock2D"]), "up_block_types 'X'"),
    "a word for a number": (unet_config(layers_per_block="2"), "layers_per_block"),
    "no square": (unet_config(sample_size=[16, 32]), "sample_size 16 x 32: images must be"),
    "no side": (unet_config(sample_size=["\n", 16]), r"sample_size '\\n' x 16: images must be"),
    "a name twice": (
        write_text("unet/config.json", '{"_class_name": "UNet2DModel", "_class_name": "X"}'),
        "a name that is there twice",
    ),
    "no number": (
        write_text("unet/config.json", '{"_class_name": "UNet2DModel", "norm_eps": NaN}'),
        "NaN, which is no number of JSON",
    ),
    "no channels": (unet_config(in_channels=None), "in_channels: None, where int was wanted"),
    "a list of channels": (unet_config(out_channels=[3]), "out_channels: a list"),
    "channels below 1": (unet_config(in_channels=0), "in_channels 0: wanted 1 or more"),
    "lines for a size": (unet_config(sample_size="1\n6"), r"sample_size '1\\n6'"),
    "another padding": (unet_config(downsample_padding=7), "downsample_padding 7: wanted 0 or 1"),
    "a link to elsewhere": (
        linked("scheduler/scheduler_config.json"),
        "cannot be read as settings",
    ),
    "weights elsewhere": (linked(f"unet/{WEIGHTS[0]}"), "not a readable safetensors file"),
    "a folder elsewhere": (linked("unet"), "unet: a link; wanted a folder"),
    "a link to itself": (loop("unet/config.json"), r"config\.json: cannot be read as settings"),
    "an index of itself": (loop("cgd.json", "unet/config.json"), "cannot be read as settings"),
    "an image of no size": (unet_config(sample_size=10**9), "sample_size 1000000000"),
    "endless labels": (unet_config(num_class_embeds=10**6), "num_class_embeds 1000000"),
    "a condition beside": (unet_config(in_channels=6), "in_channels 6 and out_channels 3"),
    "an unknown scheduler": (
        scheduler_config(_class_name="KarrasVeScheduler"),
        "the scheduler 'KarrasVeScheduler'",
    ),
    "another variance": (
        scheduler_config(variance_type="learned_range"),
        "variance_type learned_range of a network that has as many channels out as in",
    ),
    "eps of noise alone": (
        scheduler_config(rescale_betas_zero_snr=True),
        "its last level is noise alone",
    ),
    "no scheduler": (
        lambda folder: shutil.rmtree(folder / "scheduler"),
        r"scheduler_config\.json: no such file",
    ),
    "a latent pipeline": (
        index(_class_name="LDMPipeline", vqvae=["diffusers", "VQModel"]),
        r"the component 'vqvae' \('VQModel'\) is not known",
    ),
    "no network": (index(unet=["x", None], scheduler=None), "no component scheduler"),
}


TOLD = (
    *("no channels", "a list of channels", "channels below 1", "lines for a size", "no side"),
    *("another padding", "an unknown block", "a word for a number", "endless labels"),
)
"""Those that `told` sees."""


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    break_it, named = BROKEN[kind]
    folder, _ = pipeline_folder(tmp_path)
    break_it(folder)
    assert world.recognise(folder)
    with pytest.raises(InputError, match=named) as refused:
        world.read(folder, {})
    assert str(refused.value).startswith(str(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind in TOLD])
def test_what_cannot_be_told_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    break_it, named = BROKEN[kind]
    folder, _ = pipeline_folder(tmp_path)
    break_it(folder)
    with pytest.raises(InputError, match=named) as refused:
        world.told(folder)
    assert "\n" not in str(refused.value)


def test_what_is_no_folder_of_diffusers_is_not_recognised(tmp_path: Path) -> None:
    assert not world.recognise(tmp_path)
    assert not world.recognise(tmp_path / "missing")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert not world.recognise(tmp_path)
    assert not world.recognise(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("no JSON")
    assert not world.recognise(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "VQModel"}')
    assert world.recognise(tmp_path)
    with pytest.raises(InputError, match="the network 'VQModel'"):
        world.told(tmp_path)


def test_a_folder_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = our_model(*OURS["linear"])
    monkeypatch.setattr(
        "cgd_lightning.exchange.diffusers_write.describe", lambda *_, **__: {"a": float}
    )
    with pytest.raises(TypeError):
        world.write(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "out").mkdir()
    world.write(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(InputError, match="not an empty folder"):
        world.write(model, tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is there already, and not an empty folder"):
        world.write(model, tmp_path / "file")


def test_a_folder_is_written_in_the_place_of_an_unfinished_one(tmp_path: Path) -> None:
    model = our_model(*OURS["linear"])
    with whole_folder(tmp_path / "out") as unfinished:
        world.write(model, unfinished, "Digits", "DDPMPipeline of diffusers: pipe")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    card = json.loads((tmp_path / "out" / "cgd.json").read_text())
    assert (card["dataset"], card["source"]) == ("Digits", "DDPMPipeline of diffusers: pipe")
    imported = read(tmp_path / "out")
    assert (imported.dataset, imported.source) == ("Digits", "DDPMPipeline of diffusers: out")


def test_networks_that_diffusers_does_not_have_are_not_written(tmp_path: Path) -> None:
    model = Denoiser(MLP(16, 3, 3, 8, 1), Linear(), "eps", DataSpec((3, 16, 16)))
    with pytest.raises(InputError, match="MLP: not to be written for diffusers"):
        world.write(model, tmp_path / "out")
    with pytest.raises(InputError, match="patch_size 2"):
        world.write(our_model({"patch_size": 2}, Linear(), "eps"), tmp_path / "out")
    with pytest.raises(InputError, match=r"timestep_scale 2\.0: not to be written"):
        world.write(our_model({"timestep_scale": 2.0}, Linear(500), "eps"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
