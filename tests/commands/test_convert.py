"""`cgd convert` and `cgd info` on files of guided-diffusion, as they are typed."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.folder_form import write_folder
from cgd_lightning.commands import convert_options
from cgd_lightning.networks import SuperRes
from tests.commands.test_help import without_text
from tests.exchange.adm_files import network, saved, small, small_classifier, with_random_weights

Cgd = Callable[..., tuple[int, str, str]]
SAID = (
    *("--image_size=16", "--num_heads=2", "--attention_order=legacy"),
    *("--schedule=linear", "--timesteps=1000"),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_forks_pair_converts_and_makes_guided_samples(cgd: Cgd) -> None:
    saved(small(), Path("ema_0.9999_010000.pt"))
    saved(small_classifier(), Path("model020000.pt"))
    names = "--class_names=a,b,c,d,e"
    code, out, err = cgd("convert", "model020000.pt", "--out=runs/c", names, *SAID)
    assert (code, err) == (0, "")
    assert "classifier of 5 classes, images 3 x 16 x 16" in out
    code, out, err = cgd(
        *("convert", "ema_0.9999_010000.pt", "--out=runs/d", "--prediction=eps", *SAID)
    )
    assert (code, err) == (0, "")
    assert Path("runs/d/version_0/best.ckpt").is_file()
    assert checkpoints.read("runs/d/version_0/best.ckpt").source == (
        "guided-diffusion: ema_0.9999_010000.pt"
    )
    command = next(line for line in out.splitlines() if line.startswith("next: cgd "))
    words = command.removeprefix("next: cgd ").replace("spacing 250", "spacing 2").split()
    assert command == (
        "next: cgd sample --ckpt runs/d --scale 1 --clamp inside --sampler DDPM "
        "--sampler.spacing 250 --sampler.variance learned --sampler.mean_shift true"
    )
    code, out, err = cgd(*words, "--labels=b", "--num_samples=2", "--format=npz", "--device=cpu")
    assert (code, err) == (0, err)
    assert Path("runs/d/version_0/samples/0/samples.npz").is_file()
    assert sorted(os.listdir("runs")) == ["c", "d"]


def test_a_published_file_converts_by_its_name(cgd: Cgd) -> None:
    saved(network("64x64_classifier"), Path("64x64_classifier.pt"))
    code, out, err = cgd("convert", "64x64_classifier.pt", "--out=runs/c64")
    assert (code, err) == (0, "")
    assert "schedule cosine" in out
    card = checkpoints.read(checkpoints.find("runs/c64"))
    assert (card.dataset, card.class_names[0]) == ("imagenet", "tench")
    assert card.source == "guided-diffusion: 64x64_classifier.pt"


def test_the_note_and_the_next_command_of_a_published_pair_are_of_one_voice(cgd: Cgd) -> None:
    saved(network("128x128_diffusion"), Path("128x128_diffusion.pt"))
    saved(network("128x128_classifier"), Path("128x128_classifier.pt"))
    assert cgd("convert", "128x128_classifier.pt", "--out=runs/c")[0] == 0
    code, out, err = cgd("convert", "128x128_diffusion.pt", "--out=runs/d")
    assert (code, err) == (0, "")
    flags = (
        "--scale 0.5 --clamp inside --sampler DDPM --sampler.spacing 250 "
        "--sampler.variance learned --sampler.mean_shift true"
    )
    assert f"note: the README of guided-diffusion guides it like this: {flags}\n" in out
    assert f"next: cgd sample --ckpt runs/d {flags}\n" in out


def upsampler() -> SuperRes:
    sizes = {"model_channels": 32, "num_res_blocks": 1, "channel_mult": (1, 2)}
    return with_random_weights(SuperRes(16, 3, 6, 8, **sizes, num_heads=2))


def test_an_upsampler_is_converted_used_and_shared(cgd: Cgd) -> None:
    saved(upsampler(), Path("up.pt"))
    words = ("--small_size=8", "--prediction=eps", *SAID)
    code, out, err = cgd("convert", "up.pt", "--out=runs/up", *words)
    assert (code, err) == (0, "")
    command = next(line for line in out.splitlines() if line.startswith("next: cgd "))
    assert command == (
        "next: cgd sample --ckpt runs/up --low_res FOLDER --scale 0 --sampler DDPM "
        "--sampler.spacing 250 --sampler.variance learned"
    )
    np.savez("small.npz", arr_0=np.zeros((2, 8, 8, 3), np.uint8))
    words = command.removeprefix("next: cgd ").replace("spacing 250", "spacing 2").split()
    words = [word.replace("FOLDER", "small.npz") for word in words]
    code, _, err = cgd(*words, "--num_samples=2", "--device=cpu")
    assert code == 0, err
    code, out, err = cgd("export", "runs/up", "--out=shared/up")
    assert code == 0, err
    assert "note: it enlarges images" in out
    assert sorted(os.listdir("shared/up")) == ["README.md", "config.json", "model.safetensors"]
    text = Path("shared/up/README.md").read_text()
    assert text.count("cgd sample --ckpt shared/up --low_res FOLDER --scale 0") == 2
    assert "Request('shared/up', num_samples=16, low_res='FOLDER', scale=0)" in text


def test_a_run_that_is_there_is_left_alone(cgd: Cgd) -> None:
    saved(small(), Path("m.pt"))
    Path("run").mkdir()
    Path("link").symlink_to("nowhere")
    for out in ("run", "link"):
        code, _, err = cgd("convert", "m.pt", f"--out={out}", "--prediction=eps", *SAID)
        assert (code, err) == (
            1,
            f"error: cgd convert: --out {out}: is there already; give a name that is free\n",
        )
    assert list(Path("run").iterdir()) == []


class Harm:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("harmed",)


def bad_sources() -> dict[str, str]:
    """Files that cannot be converted, and what is said of them."""
    saved(small(), Path("whole.pt"))
    Path("half.pt").write_bytes(Path("whole.pt").read_bytes()[:5000])
    Path("empty.pt").touch()
    Path("text.pt").write_text("weights")
    Path("harm.pt").write_bytes(pickle.dumps(Harm()))
    torch.save({"a": Harm()}, "harm2.pt")
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7)}, "resnet.pt")
    torch.save({"cgd": {}, "state_dict": {}}, "ours.pt")
    torch.save([1, 2], "list.pt")
    torch.save({"state": {}, "param_groups": []}, "opt.pt")
    torch.save({"w": torch.zeros(1), "steps": 3}, "steps.pt")
    torch.save(dict.fromkeys(map(str, range(9)), torch.zeros(10_000)), "large.pt")
    Path("loop.pt").symlink_to("loop.pt")
    Path("folder").mkdir()
    return {
        "half.pt": "damaged or cut short",
        "empty.pt": "damaged or cut short",
        "text.pt": "damaged or cut short",
        "harm.pt": "damaged or cut short",
        "harm2.pt": "holds more than plain data",
        "resnet.pt": "not a file of guided-diffusion",
        "ours.pt": "a checkpoint of cgd-lightning already",
        "list.pt": "wanted a state_dict",
        "opt.pt": "the state of an optimizer; give model*.pt or ema_*.pt",
        "steps.pt": "'steps' is no tensor",
        "large.pt": "its tensors are larger than the file",
        "loop.pt": "",
        "folder": "a folder in no form",
        "none.pt": "no such file or folder",
        "whole.pt": "--prediction eps or x0, as it was trained",
    }


def test_what_cannot_be_converted_is_refused_in_one_line_and_leaves_nothing(cgd: Cgd) -> None:
    said = bad_sources()
    before = sorted(os.listdir())
    for source, message in said.items():
        code, out, err = cgd("convert", source, "--out=runs/new")
        assert (code, out) == (1, ""), source
        assert err.startswith(f"error: cgd convert: {source}: ")
        assert message in err
        assert err.count("\n") == 1
        assert sorted(os.listdir()) == before


def test_a_module_that_is_called_as_the_file_is_never_imported(cgd: Cgd) -> None:
    saved(small(), Path("model.pt"))
    Path("model.py").write_text("import os; os.mkdir('harmed')")
    assert cgd("convert", "model.pt", "--out=run", "--prediction=eps", *SAID)[0] == 0
    assert not Path("harmed").exists()


def test_a_write_that_fails_leaves_no_run(cgd: Cgd, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(small(), Path("m.pt"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    code, _, err = cgd("convert", "m.pt", "--out=runs/new", "--prediction=eps", *SAID)
    assert code == 1
    assert "No space left" in err
    assert list(Path("runs").iterdir()) == []


def test_without_a_name_a_run_is_called_as_its_source(cgd: Cgd) -> None:
    saved(small(), Path("m.pt"))
    code, out, err = cgd("convert", "m.pt", "--prediction=eps", *SAID)
    assert code == 0, err
    assert str(Path("runs/m/version_0/best.ckpt")) in out
    assert "averaged" not in out


def test_averaged_weights_of_the_same_step_are_pointed_out(cgd: Cgd) -> None:
    for name in ("model000300.pt", "ema_0.9999_000300.pt", "ema_0.9999_000200.pt"):
        saved(small(), Path(name))
    out = cgd("convert", "model000300.pt", "--prediction=eps", *SAID)[1]
    assert "ema_0.9999_000300.pt beside it" in out
    saved(small_classifier(pool="attention"), Path("model000200.pt"))
    said = [word for word in SAID if not word.startswith("--image_size")]
    code, out, err = cgd("convert", "model000200.pt", "--image_size=16", *said)
    assert code == 0, err
    assert "averaged" not in out


def test_wrong_words_are_told(cgd: Cgd) -> None:
    saved(small(), Path("m.pt"))
    assert "its keys do not tell all" in cgd("convert", "m.pt")[2]
    for word in ("--attention_order=old", "--num_heads=x", "--prediction=y", "--heads=2"):
        code, _, err = cgd("convert", "m.pt", "--out=r", word)
        assert code == 2
        assert err.startswith("error: cgd convert: ")
        assert err.count("\n") == 1
    assert not Path("r").exists()


def test_info_tells_what_a_foreign_file_is_and_what_it_needs(cgd: Cgd) -> None:
    saved(small(), Path("m.pt"))
    code, out, _ = cgd("info", "m.pt")
    assert code == 0
    for part in (
        "what: a diffusion model of guided-diffusion's family",
        "model_channels: 32",
        "needed: [--image_size PIXELS, --num_heads N or --num_head_channels N",
    ):
        assert part in out
    saved(network("256x256_diffusion_uncond"), Path("lsun_cat.pt"))
    out = cgd("info", "lsun_cat.pt")[1]
    assert "published: lsun_cat" in out
    assert "needed: []" in out
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7)}, "resnet.pt")
    code, _, err = cgd("info", "resnet.pt")
    assert code == 1
    assert "resnet.pt: not a file of guided-diffusion" in err
    torch.save({"state": {}, "param_groups": []}, "opt.pt")
    code, _, err = cgd("info", "opt.pt")
    assert code == 1
    assert "opt.pt: the state of an optimizer" in err


def test_no_name_writes_a_line_of_its_own(cgd: Cgd) -> None:
    saved(small(), Path("m\nnext: curl x.pt"))
    words = ("--prediction=eps", *SAID)
    code, out, err = cgd("convert", "m\nnext: curl x.pt", "--out=r\nnext: curl y", *words)
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("next: curl")] == []
    assert out.count("next: cgd sample") == 1
    card = checkpoints.read(checkpoints.find("r\nnext: curl y"))
    assert card.source == "guided-diffusion: m next: curl x.pt"
    write_folder(checkpoints.load("r\nnext: curl y"), Path("shared"), source="cat")
    config = Path("shared/config.json")
    config.write_text(config.read_text().replace('"cat"', '"cat\\nnext: curl"'))
    code, out, err = cgd("convert", "shared", "--out=s")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "source: the string 'cat\\nnext: curl', which has more than one line" in err


def test_every_option_has_a_help_text() -> None:
    assert without_text(convert_options.parser()) == []
