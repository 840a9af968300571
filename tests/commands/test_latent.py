"""Latent diffusion by the command line: three trainings, samples, what does not go together."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.stored import read_samples
from tests.command_line import inside, status

QUICK = [
    *("--data=Digits", "--data.image_size=8", "--data.batch_size=32", "--trainer.max_steps=4"),
    *("--trainer.val_check_interval=2", "--trainer.enable_progress_bar=false"),
    *("--trainer.accelerator=cpu", "--guided_sampler.every_n_validations=0"),
]
AUTOENCODER = [
    *("--config=autoencoder.yaml", *QUICK, "--data.mirror=false", "--model.network.width=8"),
    *("--model.network.latent_channels=3", "--model.optimizer.lr=1e-3"),
]
LATENT = [*QUICK, "--data.autoencoder=runs/autoencoder", "--data.schedule=Cosine"]
DIFFUSION = [
    *("--config=latent-diffusion.yaml", *LATENT, "--model.network.model_channels=8"),
    *("--model.network.channel_mult=[1]", "--model.network.num_res_blocks=1"),
    *("--model.network.norm_groups=2", "--model.network.attention_resolutions=[]"),
]
CLASSIFIER = ["--config=latent-classifier.yaml", *LATENT, "--model.network.width=8"]


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latent")
    with inside(folder):
        for words in (AUTOENCODER, CLASSIFIER, DIFFUSION):
            assert status("fit", *words) == 0
    return folder


@pytest.fixture
def copied(latent: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    shutil.copytree(latent, folder)
    return folder


def message(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert status(*words) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    return said


def test_three_trainings_and_samples(latent: Path, tmp_path: Path) -> None:
    with inside(latent):
        card = checkpoints.read(checkpoints.find("runs/latent-diffusion"))
        known = card.codec["init_args"]
        assert card.codec["class_path"] == "cgd_lightning.Latents"
        assert known["autoencoder"] == "runs/autoencoder"
        assert list(known["latent_shape"]) == [3, 2, 2]
        assert card.image_shape == [1, 8, 8]
        out = tmp_path / "samples"
        words = ["--scale=2", "--num_samples=6", "--sampler.steps=3", f"--out={out}"]
        assert status("sample", "--ckpt=runs/latent-diffusion", *words) == 0
        assert len(list(out.glob("*/*.png"))) + len(list(out.glob("*.png"))) >= 6
        assert status("validate", "--ckpt_path=runs/latent-diffusion") == 0
        assert status("info", "runs/autoencoder") == 0


def test_both_networks_of_a_pair_know_one_autoencoder(latent: Path) -> None:
    with inside(latent):
        models = [checkpoints.load(f"runs/latent-{name}") for name in ("diffusion", "classifier")]
    one, other = (model.data.codec for model in models)
    assert isinstance(one, Latents)
    assert one == other
    assert one.network is other.network
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(one.encode(images), other.encode(images))


def test_moved_runs_find_their_autoencoder_beside_them(copied: Path) -> None:
    (copied / "runs/autoencoder").rename(copied / "runs/another-name")
    with inside(copied.parent):
        codec = checkpoints.load(copied / "runs/latent-diffusion").data.codec
    assert codec.encode(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).shape == (1, 3, 2, 2)


def test_a_missing_autoencoder_is_one_line(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied / "runs/autoencoder")
    with inside(copied):
        said = message(capsys, "sample", "--ckpt=runs/latent-diffusion", "--num_samples=2")
    assert "which was runs/autoencoder and is neither there nor in a run beside this one" in said


def test_another_autoencoder_in_its_place_is_one_line(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied / "runs/autoencoder")
    with inside(copied):
        assert status("fit", *AUTOENCODER, "--seed_everything=1") == 0
        said = message(capsys, "sample", "--ckpt=runs/latent-diffusion", "--num_samples=2")
    assert "autoencoder/version_0/best.ckpt is another one" in said


def test_a_classifier_of_pixels_does_not_pair_with_a_latent_model(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = [word for word in CLASSIFIER if not word.startswith("--data.autoencoder")]
    pixels += ["--data.autoencoder=null", "--trainer.default_root_dir=other"]
    with inside(copied):
        assert status("fit", *pixels) == 0
        said = message(
            capsys,
            *("sample", "--ckpt=runs/latent-diffusion", "--num_samples=2"),
            "--classifier=other/latent-classifier",
        )
    assert "best.ckpt lives in the latents of runs/autoencoder" in said
    assert "best.ckpt in pixels; train one there" in said
    assert "cgd fit --config latent-classifier.yaml --data.autoencoder runs/autoencoder" in said


def test_a_judge_of_pixels_guides_and_judges_latent_samples(copied: Path) -> None:
    with inside(copied):
        judge = ["--config=judge.yaml", *QUICK, "--model.network.width=8"]
        assert status("fit", *judge) == 0
        for through in ("true", "false"):
            words = [
                *("--guidance=CleanGuidance", f"--guidance.through_denoiser={through}"),
                *("--classifier=runs/judge", "--scale=1", f"--out=clean-{through}"),
                *("--num_samples=4", "--sampler.steps=3", "--format=npz"),
            ]
            assert status("sample", "--ckpt=runs/latent-diffusion", *words) == 0
        words = ["--num_samples=40", "--sampler.steps=2", "--out=many", "--format=npz"]
        assert status("sample", "--ckpt=runs/latent-diffusion", *words) == 0
        assert status("evaluate", "--samples=many", "--judge=runs/judge") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*AUTOENCODER, "--data.image_size=10"], "image_size 10: patch_size 2 and 2 levels"),
        ([*AUTOENCODER, "--data.autoencoder=runs/autoencoder"], "an autoencoder reads pixels"),
        ([*AUTOENCODER, "--model.kl_weight=-1"], "kl_weight -1.0: wanted a finite number from 0"),
        ([*AUTOENCODER, "--model.feature_weight=1"], "feature_weight 1.0 and judge None"),
        ([*AUTOENCODER, "--model.network=ConvNet"], "ConvNet"),
        ([*DIFFUSION, "--data.image_size=16"], "of images [1, 8, 8], and these are [1, 16, 16]"),
        (
            [*DIFFUSION, "--data.autoencoder=runs/nothing"],
            "train one first on the same data: cgd fit --config auto",
        ),
        ([*DIFFUSION, "--data.autoencoder=runs/latent-diffusion"], "an autoencoder was wanted"),
        ([*DIFFUSION, "--data.shift=1"], "shift 1 and autoencoder runs/autoencoder"),
        ([*DIFFUSION, "--model.learned_variance=true"], "learned_variance"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    latent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with inside(latent):
        assert said in message(capsys, "fit", *words, f"--trainer.default_root_dir={tmp_path}/new")
    assert not list((tmp_path / "new").glob("*/version_0/*.ckpt"))


def test_the_record_of_samples_names_the_pair(latent: Path, tmp_path: Path) -> None:
    with inside(latent):
        words = ["--num_samples=2", "--sampler.steps=2", f"--out={tmp_path / 'out'}"]
        assert status("sample", "--ckpt=runs/latent-diffusion", *words) == 0
    record = json.loads((tmp_path / "out/samples.json").read_text())
    assert record["options"]["classifier"].endswith("latent-classifier/version_0/best.ckpt")


def test_an_exported_pair_brings_its_autoencoder(latent: Path, tmp_path: Path) -> None:
    images = []
    with inside(latent):
        out = str(tmp_path / "shared/pair")
        quick = ["--num_samples=4", "--sampler.steps=2", "--format=npz"]
        assert status("export", "runs/latent-diffusion", f"--out={out}", "--samples=none") == 0
        assert (Path(out) / "autoencoder/model.safetensors").is_file()
        for file in Path(out).rglob("config.json"):
            assert "runs/" not in file.read_text()
        assert status("convert", out, f"--out={tmp_path}/again/pair") == 0
        again = tmp_path / "again/pair"
        assert (tmp_path / "again/pair-autoencoder/version_0/best.ckpt").is_file()
        for number, path in enumerate(("runs/latent-diffusion", out, str(again))):
            made = tmp_path / f"made{number}"
            with inside(tmp_path if number else latent):
                assert status("sample", f"--ckpt={path}", *quick, f"--out={made}") == 0
            images.append(read_samples(made)[0])
    assert all(torch.equal(images[0], others) for others in images[1:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["likelihood", "--ckpt=runs/latent-diffusion"], "lives in latents, whose likelihood"),
        (["diagnose", "--ckpt=runs/autoencoder"], "an autoencoder, which has never seen noise"),
        (["sample", "--ckpt=runs/autoencoder"], "an autoencoder, and a diffusion model"),
        (["evaluate", "--samples=.", "--judge=runs/autoencoder"], "and a judge was wanted"),
        (
            ["sample", "--ckpt=runs/latent-diffusion", "--classifier=runs/autoencoder"],
            "an autoencoder, and a classifier of noisy images was wanted",
        ),
    ],
)
def test_commands_say_what_they_do_not_take(
    latent: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with inside(latent):
        assert said in message(capsys, *words)


def test_a_run_does_not_go_on_in_another_space(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--trainer.max_steps=6", "--ckpt_path=last"]
    with inside(copied):
        assert status("fit", *AUTOENCODER, "--seed_everything=1") == 0
        said = message(capsys, "fit", *DIFFUSION, *more)
        assert "lives in the latents of runs/autoencoder" in said
        assert "give --data.autoencoder the one that it began with" in said
        assert (
            status("fit", *DIFFUSION, *more, "--data.autoencoder=runs/autoencoder/version_0") == 0
        )


def test_an_autoencoder_whose_own_space_are_latents_is_damaged(copied: Path) -> None:
    path = copied / "runs/autoencoder/version_0/best.ckpt"
    contents = torch.load(path, weights_only=True)
    inner = checkpoints.read(checkpoints.find(copied / "runs/latent-diffusion")).codec
    contents["cgd"] |= {"codec": inner, "image_range": None}
    torch.save(contents, path)
    with pytest.raises(InputError, match="codec: of an autoencoder, which reads pixels"):
        checkpoints.load(path)
    shutil.copy(path, path.with_name("last.ckpt"))
    with pytest.raises(InputError, match="neither there nor in a run beside"), inside(copied):
        checkpoints.load("runs/latent-diffusion")


@pytest.mark.parametrize(
    ("words", "noted"),
    [
        ([], True),
        (["--scale=0"], False),
        (["--sampler=DPMSolverSDE", "--sampler.steps=20"], False),
        (["--guidance.weight=Interval", "--guidance.weight.high=12"], False),
    ],
)
def test_a_first_step_that_saturates_is_noted(
    latent: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    noted: bool,
) -> None:
    quick = ["--num_samples=2", f"--out={tmp_path / 'out'}"]
    sampler = [] if any("sampler" in word for word in words) else ["--sampler.steps=20"]
    with inside(latent):
        assert status("sample", "--ckpt=runs/latent-diffusion", *quick, *sampler, *words) == 0
    assert ("nothing clamps latents" in capsys.readouterr().err) == noted


def test_a_judge_reads_pixels(latent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with inside(latent):
        said = message(capsys, "fit", "--config=judge.yaml", *LATENT[:-1])
    assert "a judge reads pixels; leave it out" in said


OWN = """
from cgd_lightning import ConvAutoencoder


class Mine(ConvAutoencoder):
    pass
"""


def test_an_autoencoder_of_an_own_class_is_read_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_latents.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with inside(tmp_path):
        own = [word for word in AUTOENCODER if "network." not in word]
        sizes = ["--model.network.width=8", "--model.network.latent_channels=3"]
        words = [*own, "--model.network=own_latents.Mine", *sizes]
        assert status("fit", *words) == 0
        assert "not trusted" in message(capsys, "fit", *DIFFUSION)
        assert status("fit", *DIFFUSION, "--trust=own_latents") == 0
        quick = ["--ckpt=runs/latent-diffusion", "--scale=0", "--num_samples=2"]
        assert "own_latents" in message(capsys, "sample", *quick)
        assert status("sample", *quick, "--sampler.steps=2", "--trust=own_latents") == 0
        assert status("validate", "--ckpt_path=runs/latent-diffusion", "--trust=own_latents") == 0


def test_the_card_of_an_exported_pair_samples_as_its_picture_was_made(
    latent: Path, tmp_path: Path
) -> None:
    with inside(latent):
        out = tmp_path / "pair"
        assert status("export", "runs/latent-diffusion", f"--out={out}", "--device=cpu") == 0
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Samples of DPMSolverSDE(steps=20" in card
    words = "cgd sample --ckpt pair --scale 3 --sampler DPMSolverSDE --sampler.steps 20"
    assert f"\n{words}\n" in card
    assert f"\n{words} --num_samples 10000 --out samples\n" in card
    assert "from cgd_lightning import DPMSolverSDE, Request, sample\n" in card
    assert "num_samples=16, scale=3, sampler=DPMSolverSDE(steps=20))" in card
