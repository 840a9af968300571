"""Guidance across worlds: a model of one project steered by a classifier of another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from cgd_lightning import DDIM, CleanGuidance, Request, checkpoints, sample
from cgd_lightning.commands.main import main
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.networks import EncoderUNet, NoisyConvNet, UNet
from tests.checkpoints.timm_stand_in import stand_in
from tests.exchange.adm_files import GIVEN, saved, small, small_classifier, with_random_weights

NAMES = ("a", "b", "c", "d", "e")
OPTIONS = [f"--{name}={value}" for name, value in GIVEN.items()]
OF_A_CLASSIFIER = [word for word in OPTIONS if not word.startswith("--prediction")]
NAMED = f"--class_names={','.join(NAMES)}"


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of guided-diffusion, of diffusers, and runs of ours."""
    monkeypatch.chdir(tmp_path)
    data = DataSpec((3, 16, 16), NAMES)
    saved(small(), Path("ema_0.9999_000100.pt"))
    saved(small_classifier(pool="attention"), Path("model000100.pt"))
    scheduler = DDPMScheduler(beta_schedule="linear")
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    DDPMPipeline(unet, scheduler).save_pretrained("pipeline")
    own = UNet(16, 3, 3, model_channels=32, channel_mult=(1, 2), num_res_blocks=1)
    guide = NoisyConvNet(16, 3, 5, width=8, channel_mult=(1, 2))
    for model, name in (
        (Denoiser(with_random_weights(own), Linear(), "eps", data), "own"),
        (NoisyClassifier(with_random_weights(guide), Linear(), data), "own-classifier"),
    ):
        Path("runs", name, "version_0").mkdir(parents=True)
        checkpoints.save(model, Path("runs", name, "version_0", "best.ckpt"))
    main(["convert", "ema_0.9999_000100.pt", "--out=runs/fork", *OPTIONS])
    main(["convert", "model000100.pt", "--out=runs/fork-guide", NAMED, *OF_A_CLASSIFIER])
    main(["convert", "pipeline", "--out=runs/theirs"])
    return tmp_path


def images(ckpt: str, scale: float, **options: Any) -> torch.Tensor:
    request = Request(
        ckpt=f"runs/{ckpt}", scale=scale, num_samples=5, sampler=DDIM(steps=4), **options
    )
    return sample(request)


@pytest.mark.slow
@pytest.mark.parametrize("ckpt", ["own", "fork", "theirs"])
@pytest.mark.parametrize("guide", ["own-classifier", "fork-guide"])
def test_each_diffusion_model_is_guided_by_each_classifier(
    ckpt: str, guide: str, worlds: Path
) -> None:
    without, guided = (images(ckpt, s, classifier=f"runs/{guide}") for s in (0.0, 20.0))
    assert guided.shape == (5, 3, 16, 16)
    assert not torch.equal(without, guided)
    kind = checkpoints.load(f"runs/{guide}", NoisyClassifier)
    assert isinstance(kind.network, NoisyConvNet if guide == "own-classifier" else EncoderUNet)
    assert kind.class_names == NAMES


@pytest.mark.parametrize("ckpt", ["fork", "theirs"])
def test_an_imported_model_is_guided_by_a_clean_classifier_of_timm(
    ckpt: str, worlds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(worlds, monkeypatch)
    rule = CleanGuidance()
    without, guided = (
        images(ckpt, s, classifier="timm:net.untrained:5", guidance=rule) for s in (0.0, 50.0)
    )
    assert not torch.equal(without, guided)


def test_files_of_guided_diffusion_go_out_as_they_came_in(worlds: Path) -> None:
    main(["export", "runs/fork", "--out=out", "--to=adm", "--classifier=runs/fork-guide"])
    for file, kind in (("ema_0.9999_000100.pt", "diffusion"), ("model000100.pt", "classifier")):
        came, went = (torch.load(path, weights_only=True) for path in (file, f"out/{kind}.pt"))
        assert came.keys() == went.keys()
        for name, tensor in came.items():
            assert torch.equal(tensor, went[name]), name
    main(["convert", "out/diffusion.pt", "--out=runs/again", *OPTIONS])
    assert torch.equal(images("again", 0.0), images("fork", 0.0))


def test_the_recipe_for_a_fork_works_as_it_is_printed(worlds: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "published.md").read_text(encoding="utf-8")
    section = text.partition("## A fork's own checkpoint")[2].partition("\n## ")[0]
    commands = [line.split() for line in section.splitlines() if line.startswith("cgd convert ")]
    Path("photos").mkdir()
    for name in NAMES:
        Path("photos", f"{name}_1.jpg").write_bytes(b"")
    saved(small(num_heads=4), Path("ema_0.9999_300000.pt"))
    saved(small_classifier(pool="attention", num_head_channels=64), Path("model150000.pt"))
    assert len(commands) == 2
    for command in commands:
        main(command[1:])
    assert checkpoints.load("runs/birds-classifier").class_names == NAMES
    assert checkpoints.load("runs/birds").network.init_args["num_heads"] == 4
