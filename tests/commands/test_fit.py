import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from cgd_lightning import checkpoints
from tests.command_line import TINY_CLASSIFIER, TINY_DIFFUSION

Cgd = Callable[..., tuple[int, str, str]]


def test_a_run_is_a_folder_with_configuration_checkpoints_and_metrics(workplace: Path) -> None:
    folder = workplace / "runs" / "diffusion" / "version_0"
    assert {file.name for file in folder.iterdir()} == {
        "config.yaml",
        "best.ckpt",
        "last.ckpt",
        "metrics.csv",
        "curves.png",
    }
    assert (
        yaml.safe_load((folder / "config.yaml").read_text())["model"]["init_args"]["network"][
            "init_args"
        ]["model_channels"]
        == 8
    )
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/loss"]]
    assert [row["step"] for row in rows] == ["5", "11"]
    assert all(float(row[f"val/loss_q{q}"]) > 0 for row in rows for q in range(4))
    assert len({rows[0][f"val/loss_q{q}"] for q in range(4)}) == 4


def test_a_second_run_of_the_name_gets_a_folder_of_its_own(workplace: Path, cgd: Cgd) -> None:
    before = (workplace / "runs/classifier/version_0/last.ckpt").read_bytes()
    code, out, err = cgd(
        "fit", *TINY_CLASSIFIER, "--trainer.max_steps=1", "--trainer.val_check_interval=1"
    )
    assert code == 0
    assert "config: " in err
    assert "configs/classifier.yaml" in err
    assert "runs/classifier/version_1: 1 steps, val/loss" in out
    assert checkpoints.find("runs/classifier") == Path("runs/classifier/version_1/best.ckpt")
    assert (workplace / "runs/classifier/version_0/last.ckpt").read_bytes() == before


def test_the_checkpoint_rebuilds_network_schedule_and_classes_alone(workplace: Path) -> None:
    denoiser, classifier = checkpoints.load("runs/diffusion"), checkpoints.load("runs/classifier")
    assert denoiser.prediction == "v"
    assert denoiser.schedule == classifier.schedule
    assert denoiser.class_names == classifier.class_names == tuple("0123456789")
    assert denoiser.image_shape == (1, 16, 16)
    assert not any(p.requires_grad for p in denoiser.parameters())
    assert not denoiser.training


def test_validate_and_test_need_no_configuration_and_agree_with_the_training(
    workplace: Path, cgd: Cgd
) -> None:
    code, out, _ = cgd(
        "validate", "--ckpt_path=runs/classifier/version_0/last.ckpt", "--trainer.accelerator=cpu"
    )
    assert code == 0
    with open("runs/classifier/version_0/metrics.csv") as file:
        logged = [row["val/loss"] for row in csv.DictReader(file) if row["val/loss"]][-1]
    told = re.search(r"val/loss +│ +([0-9.]+)", out)
    assert told is not None
    assert float(told[1]) == pytest.approx(float(logged), abs=1e-4)
    code, out, _ = cgd("test", "--ckpt_path", "runs/classifier", "--trainer.accelerator=cpu")
    assert code == 0
    assert "test/accuracy_q3" in out
    assert not Path("runs/lightning_logs").exists()


def test_predict_writes_probabilities_at_the_chosen_timestep(workplace: Path, cgd: Cgd) -> None:
    code, out, _ = cgd(
        "predict",
        "--ckpt_path=runs/classifier",
        "--data.predict_timestep=200",
        "--trainer.accelerator=cpu",
    )
    assert code == 0
    path = Path(out.strip().splitlines()[-1])
    assert path.name == "predictions-t200.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(250))
    assert {row["timestep"] for row in rows} == {"200"}
    assert all(
        sum(float(row[f"p({k})"]) for k in range(10)) == pytest.approx(1, abs=1e-4) for row in rows
    )
    code, _, err = cgd("predict", "--ckpt_path=runs/diffusion")
    assert code == 1
    assert "cgd sample --ckpt" in err


def test_info_tells_what_a_checkpoint_is(workplace: Path, cgd: Cgd) -> None:
    code, out, _ = cgd("info", "runs/diffusion")
    facts = yaml.safe_load(out)
    assert code == 0
    assert facts["file"] == "runs/diffusion/version_0/best.ckpt"
    assert facts["kind"] == "diffusion"
    assert facts["network"]["class_path"] == "cgd_lightning.UNet"
    assert facts["parameters"] == sum(
        p.numel() for p in checkpoints.load("runs/diffusion").parameters()
    )
    assert facts["step"] in (6, 12)
    assert cgd("info", "nowhere")[0] == 1


def test_a_short_config_name_and_several_configs_work(workplace: Path, cgd: Cgd) -> None:
    Path("more.yaml").write_text("trainer:\n  max_steps: 2\n  val_check_interval: 2\n")
    code, out, _ = cgd(
        "fit",
        *[w.replace("classifier.yaml", "classifier") for w in TINY_CLASSIFIER],
        "--config=more.yaml",
    )
    assert code == 0
    assert "version_1: 2 steps" in out


def test_a_run_of_another_name_says_that_it_was_not_measured(
    workplace: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGD_FIT__TRAINER__GRADIENT_CLIP_VAL", "0.25")
    code, out, err = cgd("fit", *TINY_CLASSIFIER, "--name=photos", "--trainer.max_steps=1")
    assert (code, "run: runs/photos/version_0" in err) == (0, True), err
    measure = "cgd validate --ckpt_path runs/photos/version_0"
    assert f"photos/version_0: 1 steps, without a validation; {measure} measures it" in out
    stored = yaml.safe_load(Path("runs/photos/version_0/config.yaml").read_text())
    assert (stored["name"], stored["trainer"]["gradient_clip_val"]) == ("photos", 0.25)
    wider = ("--model.network.model_channels=16", "--ckpt_path=last", "--trainer.max_steps=2")
    code, _, err = cgd("fit", *TINY_CLASSIFIER, "--name=photos", *wider)
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert "not those of this network: model_channels 8 there, 16 here; give" in line


WRONG = {
    "a name that is a path": ([*TINY_DIFFUSION, "--name=a/b"], "name 'a/b': wanted the name of a"),
    "a word of others": ([*TINY_DIFFUSION, "--lr=3"], "did you mean --model.optimizer.lr?"),
    "no such own class": (
        [*TINY_DIFFUSION, "--trainer.callbacks=nowhere.Mine"],
        "no class 'nowhere.Mine': no module nowhere is in this folder or installed",
    ),
    "unknown option": ([*TINY_DIFFUSION, "--trainer.max_step=3"], "max_step"),
    "unknown config key": (["--config=diffusion.yaml", "--config=wrong.yaml"], "modle"),
    "no such config": (["--config=difusion.yaml"], "no file 'difusion.yaml'"),
    "no configuration": ([], "give --config FILE; packaged: autoencoder.yaml, "),
    "wrong network option": ([*TINY_DIFFUSION, "--model.network.width=3"], "width"),
    "image size that does not fit": (
        [*TINY_DIFFUSION, "--data.image_size=18", "--model.network.channel_mult=[1,1]"],
        "image_size 18",
    ),
    "batch larger than the data": (
        [*TINY_DIFFUSION, "--data.batch_size=5000"],
        "1297 training images",
    ),
    "nothing to continue": (
        [
            *TINY_DIFFUSION,
            "--config=more.yaml",
            "--ckpt_path=last",
            "--trainer.default_root_dir=other",
        ],
        "no last.ckpt",
    ),
    "no such checkpoint": ([*TINY_DIFFUSION, "--ckpt_path=nowhere.ckpt"], "nowhere.ckpt"),
    "no such data": (
        [*TINY_DIFFUSION, "--data=MNISTT"],
        "data: 'MNISTT' is not a NoisingDataModule; did you mean MNIST?; known here: CIFAR10, "
        "Digits, FashionMNIST, Folder, Lesions, MNIST, WithGenerated",
    ),
    "no such device": ([*TINY_DIFFUSION, "--trainer.accelerator=gpu"], "gpu"),
    "noise alone, and eps to predict": (
        [*TINY_DIFFUSION, "--data.schedule.zero_terminal_snr=true", "--model.prediction=eps"],
        "predict v or x0",
    ),
    "an upsampler": (
        ["--config=diffusion.yaml", "--model.network=SuperRes", "--data=Digits"],
        "network SuperRes: an upsampler, which is converted and not trained",
    ),
    "second schedule": ([*TINY_DIFFUSION, "--model.schedule=Linear"], "schedule"),
}


@pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_gets_one_line(
    words: list[str], says: str, workplace: Path, cgd: Cgd
) -> None:
    Path("wrong.yaml").write_text("modle: 3\n")
    Path("more.yaml").write_text("trainer:\n  max_steps: 2\n")
    code, _, err = cgd("fit", *words)
    assert code in (1, 2)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err
    assert says in errors[0]
    assert "Traceback" not in err
    assert sorted(path.name for path in Path("runs/diffusion").iterdir()) == ["version_0"]


def test_validate_without_a_checkpoint_says_what_is_missing(workplace: Path, cgd: Cgd) -> None:
    code, _, err = cgd("validate")
    assert code == 1
    assert "--ckpt_path runs/NAME" in err


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    workplace: Path, cgd: Cgd
) -> None:
    Path("sabotage.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Sabotage(Callback):\n"
        "    def on_train_batch_start(self, trainer, module, batch, batch_idx):\n"
        "        if trainer.global_step == 8:\n"
        "            next(module.model.parameters()).data.fill_(float('nan'))\n"
    )
    sys.modules.pop("sabotage", None)
    code, _, err = cgd("fit", *TINY_CLASSIFIER, "--trainer.callbacks=sabotage.Sabotage")
    assert code == 1
    assert "error: cgd fit: the loss is not finite at step 9" in err
    kept = torch.load("runs/classifier/version_1/last.ckpt", weights_only=True)
    assert kept["global_step"] == 6
    assert all(value.isfinite().all() for value in kept["state_dict"].values())


def test_a_class_in_a_config_file_is_not_imported_unless_trusted(workplace: Path, cgd: Cgd) -> None:
    Path("foreign_plugin.py").write_text(
        "from pathlib import Path\nPath('imported').touch()\nfrom lightning.pytorch import "
        "Callback\nclass Mine(Callback): pass\n"
    )
    Path("plugin.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: foreign_plugin.Mine\n"
    )
    short = ("--trainer.max_steps=1", "--trainer.val_check_interval=1")
    code, _, err = cgd("fit", *TINY_CLASSIFIER, "--config=plugin.yaml", *short)
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("error: cgd fit: ")
    assert "a file names the class foreign_plugin.Mine" in err
    assert "add --trust foreign_plugin" in err
    assert not Path("imported").exists()
    sys.modules.pop("foreign_plugin", None)
    assert (
        cgd("fit", *TINY_CLASSIFIER, "--config=plugin.yaml", *short, "--trust=foreign_plugin")[0]
        == 0
    )
    assert Path("imported").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("null", "runs/null/version_0: 0 steps, and nothing"), ("", "wanted the name")],
)
def test_a_name_is_taken_as_it_is_typed(workplace: Path, cgd: Cgd, name: str, said: str) -> None:
    code, out, err = cgd("fit", *TINY_CLASSIFIER, f"--name={name}", "--trainer.max_steps=0")
    assert (code, said in out + err) == (0 if name else 1, True), out + err
    assert not Path("runs/null/version_0").exists()


def test_a_run_that_goes_on_with_other_settings_tells_them_and_keeps_them(
    workplace: Path, cgd: Cgd
) -> None:
    folder = workplace / "runs/classifier/version_0"
    before = (folder / "config.yaml").read_text()
    batch = yaml.safe_load(before)["data"]["init_args"]["batch_size"]
    steps = yaml.safe_load(before)["trainer"]["max_steps"]
    on = (*TINY_CLASSIFIER, "--ckpt_path=last")
    code, _, err = cgd("fit", *on)
    assert code == 0, err
    assert "other settings" not in err
    assert (folder / "config.yaml").read_text() == before
    code, _, err = cgd("fit", *on, "--model.network.model_channels=16")  # which do not fit
    assert code == 1
    assert (folder / "config.yaml").read_text() == before
    other = (f"--data.batch_size={batch // 2}", f"--trainer.max_steps={steps + 2}")
    code, _, err = cgd("fit", *on, *other)
    assert code == 0, err
    [line] = [line for line in err.splitlines() if line.startswith("other settings")]
    assert line == (
        f"other settings than before: trainer.max_steps {steps} there, {steps + 2} here, "
        f"data.init_args.batch_size {batch} there, {batch // 2} here; config.yaml is replaced "
        "as it goes on"
    )
    after = yaml.safe_load((folder / "config.yaml").read_text())
    assert after["data"]["init_args"]["batch_size"] == batch // 2
    assert after["ckpt_path"] is None  # by it the run can be begun again
    (folder / "config.yaml").write_text("a: *b")
    code, _, err = cgd("fit", *on, *other, f"--trainer.max_steps={steps + 4}")
    assert code == 0, err
    assert "other settings than before: those of before cannot be read; config.yaml is" in err
    again = yaml.safe_load((folder / "config.yaml").read_text())
    assert again["data"] == after["data"]
