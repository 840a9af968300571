"""One way in for every world: what `cgd convert` finds, and what it makes of it."""

import os
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.folder_form import write_folder
from cgd_lightning.commands.main import main
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.diffusion.tabulated import Tabulated
from cgd_lightning.exchange import adm, diffusers, ours, worlds
from cgd_lightning.networks import NoisyConvNet, UNet
from tests.exchange.adm_files import saved, small, with_random_weights

DATA = DataSpec((1, 8, 8), ("a", "b", "c"))


def pair() -> tuple[Denoiser, NoisyClassifier]:
    unet = UNet(8, 1, 1, model_channels=32, channel_mult=(1, 2), num_res_blocks=1)
    guide = NoisyConvNet(8, 1, 3, width=8, channel_mult=(1, 2))
    denoiser = Denoiser(with_random_weights(unet), Cosine(), "v", DATA)
    return denoiser, NoisyClassifier(with_random_weights(guide), Cosine(), DATA).eval()


def folder_of_a_pair(root: Path) -> Path:
    for model, part in zip(pair(), ("diffusion", "classifier"), strict=True):
        write_folder(model, root / part, "letters")
    return root


def test_every_world_knows_its_own_and_no_other(tmp_path: Path) -> None:
    denoiser, _ = pair()
    write_folder(denoiser, tmp_path / "single")
    checkpoints.save(denoiser, tmp_path / "ours.ckpt")
    (tmp_path / "empty").mkdir()
    diffusers.write(denoiser, tmp_path / "theirs")
    for source, world in (
        (saved(small(), tmp_path / "m.pt"), adm),
        (tmp_path / "theirs", diffusers),
        (tmp_path / "single", ours),
        (tmp_path / "single" / "model.safetensors", ours),
        (folder_of_a_pair(tmp_path / "pair"), ours),
        (tmp_path / "empty", None),
        (tmp_path / "nothing", None),
        (tmp_path / "ours.ckpt", None),
    ):
        knowing = [w for w in worlds.WORLDS if w.recognise(source)]
        assert knowing == ([] if world is None else [world]), source


def run(*words: object) -> None:
    main(["convert", *map(str, words)])


def test_a_shared_pair_becomes_two_runs_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder_of_a_pair(tmp_path / "pair"), "--out", tmp_path / "runs" / "mine")
    said = capsys.readouterr().out
    runs = [tmp_path / "runs" / name for name in ("mine", "mine-classifier")]
    for model, run_folder in zip(pair(), runs, strict=True):
        again = checkpoints.load(run_folder)
        assert str(run_folder) in said
        assert again.data == model.data
        for name, tensor in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name
    file = checkpoints.find(runs[0])
    assert checkpoints.read(file).dataset == "letters"
    assert checkpoints.find_classifier(file, checkpoints.read(file)) == checkpoints.find(runs[1])


def test_a_pair_is_converted_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, runs = folder_of_a_pair(tmp_path / "pair"), tmp_path / "runs"
    save, saves = torch.save, []

    def full(contents: object, file: BinaryIO) -> None:
        saves.append(file)
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        save(contents, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(SystemExit):
        run(source, "--out", runs / "mine")
    assert "No space left" in capsys.readouterr().err
    assert len(saves) == 2
    assert list(runs.iterdir()) == []


def test_the_run_that_is_named_comes_last_and_what_came_before_it_goes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, runs = folder_of_a_pair(tmp_path / "pair"), tmp_path / "runs"
    rename, seen = os.rename, []

    def other(old: Path, new: Path) -> None:
        seen.append(Path(new).name)
        rename(old, new)
        if len(seen) == 1:  # somebody else is quicker
            (runs / "mine").mkdir()
            (runs / "mine" / "precious").write_text("theirs")

    monkeypatch.setattr(os, "rename", other)
    with pytest.raises(SystemExit):
        run(source, "--out", runs / "mine")
    err = capsys.readouterr().err
    assert f"{runs / 'mine'}: is there already, and not an empty folder" in err
    assert err.count("\n") == 1
    assert seen == ["mine-classifier", "mine-classifier"]
    assert [str(p.relative_to(runs)) for p in runs.rglob("*")] == ["mine", "mine/precious"]


def test_a_folder_of_diffusers_becomes_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    denoiser, _ = pair()
    diffusers.write(denoiser, tmp_path / "theirs")
    (tmp_path / "theirs" / "cgd.json").unlink()
    run(tmp_path / "theirs", "--out", tmp_path / "run")
    again = checkpoints.load(tmp_path / "run", Denoiser)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        torch.testing.assert_close(again.network(x, t), denoiser.network(x, t))
    main(["info", str(tmp_path / "theirs")])
    assert "DDPMPipeline of diffusers" in capsys.readouterr().out


def test_info_does_not_print_a_thousand_betas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    denoiser, _ = pair()
    betas = tuple(torch.linspace(1e-4, 0.02, 1000).tolist())
    model = Denoiser(denoiser.network, Tabulated(betas), "eps", DATA)
    checkpoints.save(model, tmp_path / "m.ckpt")
    main(["info", str(tmp_path / "m.ckpt")])
    said = capsys.readouterr().out
    assert "... 1000 in all" in said
    assert len(said) < 6000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pair", "--num_heads", "2"], "--num_heads: says nothing of"),
        (["theirs", "--num_heads", "2"], "--num_heads: says nothing of"),
        (["empty"], "a folder in no form that is known here"),
    ],
)
def test_options_of_another_world_are_told(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of_a_pair(tmp_path / "pair")
    diffusers.write(pair()[0], tmp_path / "theirs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as exit_:
        run(*words, "--out", "run")
    assert exit_.value.code != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
