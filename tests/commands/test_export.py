"""`cgd export`: what it writes is read again as it was, and half a folder is never there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from cgd_lightning import Request, checkpoints, sample
from cgd_lightning.checkpoints.state_dicts import read_state_dict
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear, Sigmoid
from cgd_lightning.networks import EncoderUNet, Network, SuperRes, UNet
from tests.checkpoints.test_checkpoints import judge, randomised, saved
from tests.checkpoints.test_folder_form import write_folder

Cgd = Callable[..., tuple[int, str, str]]


def exported(cgd: Cgd, *words: str, out: str = "shared/pair") -> Path:
    code, _, err = cgd("export", "runs/diffusion", "--out", out, *words)
    assert code == 0, err
    return Path(out)


def test_a_pair_is_one_folder_and_makes_the_same_images(workplace: Path, cgd: Cgd) -> None:
    folder = exported(cgd)
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    own = {f"{kind}/{name}" for kind in ("diffusion", "classifier") for name in FILES}
    assert files == own | {"README.md", "grid.png"}
    Path("plain").touch()
    modes = {file.stat().st_mode for file in folder.rglob("*") if file.is_file()}
    assert modes == {Path("plain").stat().st_mode}
    options = ("--num_samples=6", "--steps=5", "--scale=2", "--format=npz")
    assert cgd("sample", "--ckpt=runs/diffusion", *options, "--out=theirs")[0] == 0
    shutil.rmtree("runs")
    code, _, err = cgd("sample", f"--ckpt={folder}", *options, "--out=ours")
    assert code == 0, err
    assert str(folder / "classifier" / "model.safetensors") in err
    assert Path("ours/samples.npz").read_bytes() == Path("theirs/samples.npz").read_bytes()
    assert cgd("sample", "--from=ours/samples.json", "--out=again")[0] == 0
    assert Path("again/samples.npz").read_bytes() == Path("ours/samples.npz").read_bytes()


FILES = ("config.json", "model.safetensors", "training.yaml")


@pytest.mark.slow
def test_every_command_takes_the_folder(workplace: Path, cgd: Cgd) -> None:
    folder = exported(cgd, "--samples=none")
    shutil.rmtree("runs")
    code, out, err = cgd("info", str(folder))
    assert code == 0, err
    assert yaml.safe_load(out)["kind"] == "diffusion"
    assert yaml.safe_load(out)["step"] == 12
    for words in (
        ("likelihood", f"--ckpt={folder}", "--num_images=4", "--steps=2"),
        ("diagnose", f"--ckpt={folder}", "--num_images=100"),
        ("diagnose", f"--ckpt={folder / 'classifier'}", "--num_images=100"),
        ("sample", f"--ckpt={folder}", "--num_samples=2", "--steps=2"),
    ):
        code, out, err = cgd(*words)
        assert code == 0, err
        assert "diagnose" not in words or str(folder / "diffusion") in out
    assert (folder / "samples/0/samples.json").is_file()
    assert (folder / "diagnosis/diagnosis.json").is_file()
    for command in ("fit", "validate"):
        config = ["--config=diffusion.yaml"] if command == "fit" else []
        code, _, err = cgd(command, *config, f"--ckpt_path={folder}")
        assert code != 0
        assert err.strip().splitlines()[-1].startswith("error: ")
        assert "Traceback" not in err


def test_the_folder_is_taken_from_python(workplace: Path, cgd: Cgd) -> None:
    folder = exported(cgd, "--samples=none")
    images = [
        sample(Request(ckpt, num_samples=4, scale=1), device="cpu")
        for ckpt in ("runs/diffusion", folder)
    ]
    assert torch.equal(*images)


def test_the_model_card_says_what_it_is(workplace: Path, cgd: Cgd) -> None:
    folder = exported(cgd, "--license=mit", "--scale=2")
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "mit"
    assert front["library_name"] == "cgd-lightning"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert {"classifier-guidance", "diffusion"} <= set(front["tags"])
    card, sizes = (read(folder / "diffusion/model.safetensors") for read in READ)
    for word in (
        f"| parameters | {sizes['parameters']:,} |",
        "| training steps | 12 |",
        f"| prediction | {card.prediction} |",
        "Cosine(timesteps=1000",
        "Data set: digits",
        "10: `0`, `1`",
        "cgd sample --ckpt shared/pair --scale 2",
        "Request('shared/pair', num_samples=16, scale=2)",
        "cgd evaluate --samples samples",
        "![samples](grid.png)",
        "model.optimizer.lr",
    ):
        assert word in text
    assert str(workplace) not in text
    with Image.open(folder / "grid.png") as image:
        assert image.height > 10 * 48


READ: tuple[Any, ...] = (checkpoints.read, checkpoints.sizes)


def test_nothing_of_this_machine_is_in_the_folder(workplace: Path, cgd: Cgd) -> None:
    folder = exported(cgd, "--samples=none")
    for file in folder.rglob("*"):
        if file.is_file():
            contents = file.read_bytes()
            for word in (str(workplace), "runs/", "default_root_dir", str(Path.home())):
                assert word.encode() not in contents, (file, word)


def test_samples_and_their_evaluation_go_into_the_card(workplace: Path, cgd: Cgd) -> None:
    sampled = ("--num_samples=8", "--steps=3", "--scale=3", "--out=seen")
    assert cgd("sample", "--ckpt=runs/diffusion", *sampled)[0] == 0
    looked = ("--features=random", "--data=Digits", "--data.image_size=16", "--num_training=0")
    code, _, err = cgd("evaluate", "--samples=seen", *looked)
    assert code == 0, err
    file = Path("seen/evaluation/evaluation.json")
    facts = json.loads(file.read_text())
    text = (exported(cgd, "--samples=seen") / "README.md").read_text()
    name, own = next(
        (name, own) for name, own in facts["samples"]["estimates"].items() if "high" in own
    )
    ends = f"{own['value']:.4g} [{own['low']:.4g}, {own['high']:.4g}]"
    real = facts["real_images"]["estimates"][name]
    assert f"| {name} | {ends} | {real['value']:.4g}" in text
    assert f"Of 8 samples, as random sees them (hash {facts['samples']['features_hash']})" in text
    assert "at scale 3, seed 0" in text
    end = json.dumps(own["high"])
    for damaged in (
        json.dumps({"samples": {"estimates": {"fid": {"value": "high"}}}}),
        file.read_text().replace('"n": 8', '"n": 1e400'),
        file.read_text().replace('"n": 8', '"n": 8.5'),
        file.read_text().replace(f'"high": {end}', '"high": 1e999'),
        file.read_text().replace(f'"high": {end}', f'"high": {10**400}'),
    ):
        assert damaged != file.read_text()
        kept = file.read_text()
        file.write_text(damaged)
        code, _, err = cgd("export", "runs/diffusion", "--samples=seen", "--out=other")
        file.write_text(kept)
        assert (code, Path("other").exists()) == (1, False), err
        assert "not an evaluation.json written by cgd evaluate" in err
    code, _, err = cgd("export", "runs/classifier", "--out=alone", "--samples=seen")
    assert (code, Path("alone").exists()) == (1, False)
    assert "is a classifier, and makes none" in err
    recorded = json.loads(Path("seen/samples.json").read_text())
    recorded["options"]["ckpt"] = "/runs/other/version_0/best.ckpt"
    Path("seen/samples.json").write_text(json.dumps(recorded))
    code, _, err = cgd("export", "runs/diffusion", "--samples=seen", "--out=other")
    assert code == 1
    assert "made with /runs/other/version_0/best.ckpt" in err


def test_a_network_alone_is_a_folder_of_its_own(workplace: Path, cgd: Cgd) -> None:
    alone = exported(cgd, "--classifier=none", out="alone")
    assert checkpoints.find("alone") == alone / "model.safetensors"
    assert "--scale 0" in (alone / "README.md").read_text()
    assert (alone / "grid.png").is_file()
    saved(workplace / "runs/judge/version_0/best.ckpt", judge())
    for run, kind in (("classifier", "classifier"), ("judge", "judge")):
        code, _, err = cgd("export", f"runs/{run}", "--out", run)
        assert code == 0, err
        assert checkpoints.read(checkpoints.find(run)).kind == kind
        front = yaml.safe_load(Path(run, "README.md").read_text().split("---")[1])
        assert front["pipeline_tag"] == "image-classification"


def test_names_of_a_stranger_mean_nothing_in_the_card(tmp_path: Path, cgd: Cgd) -> None:
    names = ("](http://x)", "<script>", "`; rm -rf /")
    model = Denoiser(
        UNet(8, 1, 1, model_channels=8, channel_mult=(1,), attention_resolutions=()),
        Linear(),
        "eps",
        DataSpec((1, 8, 8), names),
    )
    file = saved(tmp_path / "model.ckpt", model, dataset="# a\n\n<img src=x>")
    out = tmp_path / "out"
    words = ("--out", str(out), "--samples=none", "--license", "mine\n---\nlicense: mit")
    code, _, err = cgd("export", str(file), *words)
    assert code == 0, err
    text = (out / "README.md").read_text()
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---"))["license"] == "other"
    assert "`<script>`" in text
    assert "- Data set: # a \\<img src=x\\>" in text
    assert "``" not in text.replace("```", "")


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "what, and where to?"),
    "no place": (("runs/diffusion",), "what, and where to?"),
    "no run": (("runs/nothing", "--out=x"), "no such checkpoint"),
    "a place that is taken": (("runs/diffusion", "--out=runs"), "not an empty folder"),
    "a place that is a file": (("runs/diffusion", "--out=file"), "not an empty folder"),
    "a classifier of a classifier": (
        ("runs/classifier", "--out=x", "--classifier=runs/classifier"),
        "is a classifier itself",
    ),
    "a classifier that is none": (
        ("runs/diffusion", "--out=x", "--classifier=runs/diffusion"),
        "a classifier of noisy images was wanted",
    ),
    "samples that are none": (
        ("runs/diffusion", "--out=x", "--samples=runs"),
        "no such file; give the samples.json",
    ),
    "a form that is none": (
        ("runs/diffusion", "--out=x", "--to=onxn"),
        "'onxn' is none of folder, adm, diffusers, onnx, torch",
    ),
    "a repository that is none": (
        ("runs/diffusion", "--out=x", "--push=mine"),
        "--push mine: wanted USER/REPO",
    ),
    "patches in the form of ADM": (
        ("runs/diffusion", "--out=x", "--to=adm"),
        "patch_size 2; guided-diffusion has",
    ),
    "a classifier in the form of diffusers": (
        ("runs/classifier", "--out=x", "--to=diffusers"),
        "--to diffusers: ",
    ),
}


@pytest.mark.parametrize(("words", "says"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(
    words: tuple[str, ...], says: str, workplace: Path, cgd: Cgd
) -> None:
    Path("file").write_text("mine")
    before = sorted(Path().rglob("*"))
    code, _, err = cgd("export", *words)
    assert code in (1, 2)
    assert says in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in err
    assert sorted(Path().rglob("*")) == before
    assert Path("file").read_text() == "mine"


def test_a_file_does_not_push(workplace: Path, cgd: Cgd) -> None:
    Path("mine.yaml").write_text("push: user/repo\n")
    code, _, err = cgd("export", "runs/diffusion", "--out=x", "--config=mine.yaml")
    assert code == 1
    assert "push: stands in a file" in err


def test_a_full_disk_leaves_nothing(
    workplace: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        code, _, err = cgd("export", "runs/diffusion", "--out=shared/x", "--samples=none")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert code == 1
    assert "could not be written" in err
    assert list(Path("shared").iterdir()) == []


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_is_taken_for_a_folder(workplace: Path, cgd: Cgd) -> None:
    words = ["-m", "cgd_lightning.commands.main", "export", "runs/diffusion", "--out=shared/x"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    while not list(Path().glob("shared/.x.*/x/diffusion/model.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    (left,) = os.listdir("shared")
    assert left.startswith(".x.")
    assert checkpoints.newest_first(Path("shared")) == []
    folder = exported(cgd, "--samples=none", out="shared/x")
    assert os.listdir("shared") == ["x"]  # what was left goes with the next of its name
    assert not (folder / "grid.png").exists()


ADM: dict[str, Any] = {
    "model_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": (1, 2),
    "attention_resolutions": (2,),
    "num_head_channels": 32,
    "resblock_updown": True,
}


def adm_pair(folder: Path, **options: Any) -> Path:
    data = DataSpec((3, 16, 16), ("cat", "dog"))
    unet: Network = UNet(16, 3, 6, num_classes=2, **ADM, **options)
    model = Denoiser(randomised(unet), Cosine(), "eps", data, learned_variance=True)
    guide = NoisyClassifier(randomised(EncoderUNet(16, 3, 2, **ADM, **options)), Cosine(), data)
    saved(folder / "runs/guide/version_0/best.ckpt", guide)
    return saved(folder / "runs/model/version_0/best.ckpt", model)


def test_files_of_guided_diffusion_have_the_same_numbers(
    tmp_path: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adm_pair(tmp_path)
    code, out, err = cgd("export", "runs/model", "--to=adm", "--out=adm")
    assert code == 0, err
    for kind, run in (("diffusion", "model"), ("classifier", "guide")):
        mine = checkpoints.load(f"runs/{run}").network.state_dict()
        theirs = read_state_dict(Path("adm", f"{kind}.pt"))
        assert list(mine) == list(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert all(tensor.is_contiguous() for tensor in theirs.values())
    flags = {
        "MODEL_FLAGS": "--image_size 16 --num_channels 32 --num_res_blocks 1 --channel_mult 1,2 "
        "--attention_resolutions 8 --num_heads 1 --num_head_channels 32 --num_heads_upsample -1 "
        "--use_scale_shift_norm True --resblock_updown True --use_new_attention_order False "
        "--dropout 0.0 --class_cond True --learn_sigma True --predict_xstart False "
        "--diffusion_steps 1000 --noise_schedule cosine",
        "CLASSIFIER_FLAGS": "--image_size 16 --classifier_width 32 --classifier_depth 1 "
        "--classifier_attention_resolutions 8 --classifier_use_scale_shift_norm True "
        "--classifier_resblock_updown True --classifier_pool attention --diffusion_steps 1000 "
        "--noise_schedule cosine",
    }
    for name, words in flags.items():
        assert f'{name}="{words}"' in out
        assert f'{name}="{words}"' in Path("adm/FLAGS.txt").read_text()
    assert "says num_classes=2:" in out
    assert "says out_channels=2, channel_mult=(1, 2), num_head_channels=32:" in out


def test_rescaled_timesteps_are_a_flag(
    tmp_path: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slow = adm_model(schedule=Cosine(4000), timestep_scale=0.25)
    saved(tmp_path / "runs/slow/version_0/best.ckpt", slow)
    code, out, err = cgd("export", "runs/slow", "--to=adm", "--out=adm")
    assert code == 0, err
    assert "--diffusion_steps 4000 --noise_schedule cosine --rescale_timesteps True" in out


def test_an_upsampler_goes_to_guided_diffusion_too(
    tmp_path: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network: Network = SuperRes(16, 3, 6, 8, **ADM)
    data = DataSpec((3, 16, 16))
    model = Denoiser(randomised(network), Linear(), "eps", data, learned_variance=True)
    saved(tmp_path / "runs/up/version_0/best.ckpt", model)
    code, out, err = cgd("export", "runs/up", "--to=adm", "--out=adm")
    assert code == 0, err
    assert "--large_size 16 --small_size 8" in out
    assert "SuperResModel" in out
    theirs = read_state_dict(Path("adm/diffusion.pt"))
    assert all(torch.equal(network.state_dict()[name], theirs[name]) for name in theirs)


def test_a_folder_of_diffusers_keeps_data_set_and_source(tmp_path: Path, cgd: Cgd) -> None:
    pytest.importorskip("diffusers")
    file = tmp_path / "model.ckpt"
    model = adm_model().eval()
    checkpoints.save(model, file, dataset="letters", source="a friend")
    out = tmp_path / "out"
    code, _, err = cgd("export", str(file), "--to=diffusers", "--out", str(out))
    assert code == 0, err
    card = json.loads((out / "cgd.json").read_text())
    assert (card["dataset"], card["source"]) == ("letters", "a friend")
    (tmp_path / "plain").touch()
    modes = {part.stat().st_mode for part in out.rglob("*") if part.is_file()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "patches": (lambda: adm_model(patch_size=2), "patch_size 2"),
    "few channels": (lambda: adm_model(model_channels=16), "16 channels in 16 groups"),
    "other groups": (lambda: adm_model(norm_groups=16), "in 16 groups"),
    "v": (lambda: adm_model("v"), "prediction v"),
    "another schedule": (lambda: adm_model(schedule=Sigmoid()), "schedule Sigmoid"),
    "other timesteps": (lambda: adm_model(timestep_scale=0.5), "timestep_scale 0.5"),
    "another end": (lambda: adm_model(schedule=Linear(beta_end=0.03)), "schedule Linear"),
    "noise alone": (
        lambda: adm_model("x0", Cosine(zero_terminal_snr=True)),
        "zero_terminal_snr=True",
    ),
    "a judge": (judge, "a judge; guided-diffusion has"),
}


def adm_model(prediction: Any = "eps", schedule: Any = None, **options: Any) -> Denoiser:
    network = UNet(16, 3, 3, **{**ADM, **options})
    return Denoiser(network, schedule or Linear(), prediction, DataSpec((3, 16, 16)))


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
def test_what_guided_diffusion_does_not_have_is_refused_by_name(
    make: Callable[[], Any], says: str, tmp_path: Path, cgd: Cgd
) -> None:
    file = saved(tmp_path / "model.ckpt", make())
    code, _, err = cgd("export", str(file), "--to=adm", "--out", str(tmp_path / "out"))
    assert code == 1
    assert says in err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_folder_is_exported_again_as_it_is(tmp_path: Path, cgd: Cgd) -> None:
    weights = write_folder(adm_model(), tmp_path / "one", step=5)
    words = ("--samples=none", "--out", str(tmp_path / "two"))
    code, _, err = cgd("export", str(tmp_path / "one"), *words)
    assert code == 0, err
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == weights.read_bytes()
    assert (tmp_path / "two" / "config.json").read_bytes() == weights.with_name(
        "config.json"
    ).read_bytes()
