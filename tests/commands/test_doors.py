"""Doors that were open: what a hostile checkpoint, folder or environment made a training do."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cgd_lightning import checkpoints
from cgd_lightning.errors import InputError
from tests.command_line import TINY_CLASSIFIER

Cgd = Callable[..., tuple[int, str, str]]

ON = [*TINY_CLASSIFIER, "--trainer.max_steps=18", "--ckpt_path=last"]
LAST = Path("runs/classifier/version_0/last.ckpt")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    contents = torch.load(path, weights_only=True)
    change(contents)
    torch.save(contents, path)


def errors(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_the_configuration_in_a_checkpoint_runs_nothing(
    command: str, workplace: Path, cgd: Cgd
) -> None:
    run = {
        "entrypoint": "/bin/sh",
        "args": ["-c", "touch ran"],
        "env": {},
        "stdout": None,
        "stderr": None,
        "local_rank_id": 0,
    }
    handler = "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler"
    inner = {"class_path": handler, "init_args": {**run, "numa_options": None}}
    group = {
        "class_path": "torch.distributed.optim.ZeroRedundancyOptimizer",
        "init_args": {"process_group": inner},
    }

    def place(contents: dict[str, Any]) -> None:
        config = yaml.safe_load(contents["cgd_config"])
        config["model"]["init_args"]["optimizer"] = {
            "class_path": "torch.optim.Optimizer",
            "init_args": {"defaults": {"x": inner}},
        }
        config["model"]["init_args"]["network"] = group
        config["data"]["init_args"] |= {
            "root": inner,
            "download": inner,
            "schedule": inner,
            "num_workers": inner,
        }
        config["trainer"]["callbacks"] = [group]
        contents["cgd_config"] = json.dumps(config)

    edit(LAST, place)
    code, _, err = cgd(command, f"--ckpt_path={LAST}", "--trainer.accelerator=cpu")
    assert code == 0, err
    edit(LAST, lambda contents: contents.update(cgd_config=yaml.safe_dump({"data": inner})))
    code, _, err = cgd(command, f"--ckpt_path={LAST}", "--trainer.accelerator=cpu")
    assert code == 1
    assert f"names the class {handler}" in errors(err)[0]
    for text in (
        "a: &a [x]\nb: [*a, &b [*a]]",
        "[1, 2]",
        "{",
        "x" * 200_000,
        "data: 3",
        "data: {class_path: Digits, init_args: 3}",
    ):
        edit(LAST, lambda contents: contents.update(cgd_config=text))  # noqa: B023
        code, _, err = cgd(command, f"--ckpt_path={LAST}", "--trainer.accelerator=cpu")
        assert code == 1, text
        assert str(LAST) in errors(err)[0]
    assert not Path("ran").exists()


PATHS = {
    "absolute": "{victim}",
    "of fsspec": "local://{victim}",
    "up and down": "runs/classifier/version_0/../../../victim",
    "a URL": "http://127.0.0.1:9/victim",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_no_path_in_the_state_of_a_training_is_opened_or_removed(
    path: str, workplace: Path, cgd: Cgd
) -> None:
    victim = workplace / "victim"
    victim.mkdir()
    (victim / "precious").write_text("kept")
    named = path.format(victim=victim)

    def place(contents: dict[str, Any]) -> None:
        [key] = [key for key in contents["callbacks"] if key.startswith("RunCheckpoint")]
        worst = torch.tensor(9.0)
        contents["callbacks"][key] = {
            "monitor": "val/loss",
            "dirpath": str(LAST.parent),
            "best_model_score": worst,
            "current_score": worst,
            "kth_value": worst,
            "best_k_models": {named: worst},
            "best_model_path": named,
            "kth_best_model_path": named,
            "last_model_path": named,
        }

    edit(LAST, place)
    code, out, err = cgd("fit", *ON)
    assert code == 0, err
    assert "version_0: 18 steps" in out
    assert (victim / "precious").read_text() == "kept"
    state = torch.load(LAST, weights_only=True)["callbacks"]
    assert named not in str(state)


def test_a_second_checkpoint_callback_takes_no_paths_from_the_state_either(
    workplace: Path, cgd: Cgd
) -> None:
    (workplace / "victim").mkdir()
    words = [
        *ON,
        "--trainer.callbacks=ModelCheckpoint",
        "--trainer.callbacks.monitor=val/loss",
        "--trainer.callbacks.dirpath=other",
    ]
    assert cgd("fit", *[word.replace("=18", "=13") for word in words])[0] == 0

    def place(contents: dict[str, Any]) -> None:
        [key] = [key for key in contents["callbacks"] if key.startswith("ModelCheckpoint")]
        state = contents["callbacks"][key]
        state["best_k_models"] = {str(workplace / "victim"): torch.tensor(9.0)}
        state["kth_best_model_path"] = state["last_model_path"] = str(workplace / "victim")

    edit(LAST, place)
    assert cgd("fit", *words)[0] == 0
    assert (workplace / "victim").is_dir()


STATES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a rate that is no number": (
        lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr=float("nan")),
        "nan",
    ),
    "a rate below nothing": (
        lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr=-1.0),
        "learning rate -1",
    ),
    "moments of another shape": (
        lambda c: c["optimizer_states"][0]["state"][0].update(exp_avg=torch.ones(3, 3)),
        "a tensor [3, 3]",
    ),
    "moments of a parameter that is not there": (
        lambda c: c["optimizer_states"][0]["state"].update({10**9: {}}),
        "moments of other parameters",
    ),
    "moments that are missing": (
        lambda c: [own.popitem() for own in c["optimizer_states"][0]["state"].values()],
        "momentum_buffer were wanted",
    ),
    "moments that are not finite": (
        lambda c: c["optimizer_states"][0]["state"][0]["momentum_buffer"].fill_(float("nan")),
        "'momentum_buffer': not finite",
    ),
    "one moment for a whole matrix": (
        lambda c: c["optimizer_states"][0]["state"][0].update(momentum_buffer=torch.tensor(5.0)),
        "a tensor [] of",
    ),
    "one group of parameters": (
        lambda c: c["optimizer_states"][0]["param_groups"].pop(),
        "of another optimiser; give the --model.optimizer",
    ),
    "a rate of three numbers": (
        lambda c: c["lr_schedulers"][0].update(base_lrs=[1.0, 2.0, 3.0]),
        "base_lrs",
    ),
    "no epoch": (lambda c: c["lr_schedulers"][0].pop("last_epoch"), "last_epoch"),
    "counters of another loop": (lambda c: c["loops"].update(fit_loop={"a": 1}), "counters"),
    "a counter below nothing": (
        lambda c: c["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"].update(ready=-1),
        "integer from 0",
    ),
    "no counters": (lambda c: c.update(loops=None), "not the state of such a training"),
    "a step of text": (lambda c: c.update(global_step="12"), "integer from 0"),
    "no optimiser": (lambda c: c.pop("optimizer_states"), "holds no training to go on with"),
    "schedules that are none": (lambda c: c.update(lr_schedulers={"a": 1}), "list of states"),
    "weights that are not finite": (
        lambda c: next(iter(c["state_dict"].values())).fill_(float("inf")),
        "not finite",
    ),
    "weights that are missing": (lambda c: c["state_dict"].popitem(), "not those of this network"),
    "callbacks that are none": (lambda c: c.update(callbacks=[1]), "where a mapping was wanted"),
}


@pytest.mark.parametrize(("change", "says"), STATES.values(), ids=STATES)
def test_a_state_that_does_not_fit_the_training_is_one_line(
    change: Callable[..., object], says: str, workplace: Path, cgd: Cgd
) -> None:
    edit(LAST, change)
    (LAST.parent / "best.ckpt").unlink()
    before = LAST.read_bytes()
    code, _, err = cgd("fit", *ON)
    assert code == 1, err
    [error] = errors(err)
    assert says in error
    assert "Traceback" not in err
    assert LAST.read_bytes() == before


def test_functions_and_odd_entries_of_a_schedule_are_not_taken_from_its_state(
    workplace: Path, cgd: Cgd
) -> None:
    edit(
        LAST,
        lambda c: c["lr_schedulers"][0].update(
            lr_lambdas=[{"factor": 9}], optimizer=3, step=4, verbose="x", mine=[1.0]
        ),
    )
    code, out, err = cgd("fit", *ON)
    assert code == 0, err
    assert "18 steps" in out


def test_a_checkpoint_of_slurm_in_the_folder_of_all_runs_is_not_read(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    shutil.copy(LAST, "runs/hpc_ckpt_7.ckpt")
    edit(Path("runs/hpc_ckpt_7.ckpt"), lambda contents: contents["state_dict"].clear())
    for name, value in {
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    code, out, err = cgd(
        "fit", *TINY_CLASSIFIER, "--trainer.max_steps=2", "--trainer.val_check_interval=2"
    )
    assert code == 0, err
    assert "version_1: 2 steps" in out


def test_a_folder_named_by_the_environment_is_neither_used_nor_removed(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    for number, value in enumerate(("precious", "1:precious", f"{os.getppid() + 10**6}:precious")):
        Path("precious").mkdir(exist_ok=True)
        Path("precious/config.yaml").write_text("kept")
        monkeypatch.setenv("CGD_RUN_FOLDER", value)
        code, out, err = cgd(
            "fit", *TINY_CLASSIFIER, "--trainer.max_steps=1", "--trainer.val_check_interval=1"
        )
        assert code == 0, err
        assert f"version_{number + 1}: 1 steps" in out
        assert cgd("fit", *TINY_CLASSIFIER, "--data.batch_size=9999")[0] == 1
        assert [file.name for file in Path("precious").iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "place", ["version_0", "version_0/metrics.csv", "version_0/samples", "version_0/config.yaml"]
)
def test_a_run_that_goes_on_follows_no_link_in_its_folder(
    place: str, workplace: Path, cgd: Cgd
) -> None:
    path, kept = Path("runs/classifier") / place, workplace / "kept"
    if path.exists():
        shutil.move(path, kept)
    else:
        kept.mkdir()
    path.symlink_to(kept)
    before = (
        {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()}
        if kept.is_dir()
        else kept.read_bytes()
    )
    code, _, err = cgd("fit", *ON)
    assert code == 1
    assert f"runs/classifier/{place}: a link" in errors(err)[0]
    assert before == (
        {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()}
        if kept.is_dir()
        else kept.read_bytes()
    )


@pytest.mark.parametrize("name", ["sub", "hparams.yaml"])
def test_a_run_that_goes_on_follows_no_link_that_leads_out_of_it(
    name: str, workplace: Path, cgd: Cgd
) -> None:
    deep = Path("runs/classifier/version_0/tensorboard")
    deep.mkdir()
    (deep / "within").symlink_to(deep.absolute().parent / "config.yaml")  # as wandb has them
    (deep / name).symlink_to(workplace / "nowhere")
    code, _, err = cgd("fit", *ON)
    assert code == 1
    assert f"{name}: a link that leads out of the run" in errors(err)[0]
    assert not (workplace / "nowhere").exists()
    (deep / name).unlink()
    assert cgd("fit", *ON)[0] == 0


def flip(file: Path, place: int) -> None:
    contents = bytearray(file.read_bytes())
    contents[place] ^= 1
    file.write_bytes(contents)


LASTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda last: last.write_bytes(b""),
    "cut": lambda last: last.write_bytes(last.read_bytes()[:-3000]),
    "zeros": lambda last: last.write_bytes(bytes(last.stat().st_size)),
    "half zeros": lambda last: last.write_bytes(
        last.read_bytes()[: last.stat().st_size // 2].ljust(last.stat().st_size, b"\0")
    ),
    "one bit": lambda last: flip(last, last.stat().st_size // 2),
    "text": lambda last: last.write_text("hello"),
    "damaged": lambda last: last.write_bytes(
        last.read_bytes().replace(last.read_bytes()[60_000:60_100], bytes(100), 1)
    ),
    "of another training": lambda last: shutil.copy("runs/diffusion/version_0/last.ckpt", last),
    "one weight that is no number": lambda last: edit(
        last, lambda c: next(iter(c["state_dict"].values())).view(-1)[:1].fill_(float("nan"))
    ),
    "no state of an optimiser": lambda last: edit(last, lambda c: c.update(optimizer_states=[])),
    "no loop": lambda last: edit(last, lambda c: c.update(loops={})),
    "a step below nothing": lambda last: edit(last, lambda c: c.update(global_step=-3)),
    "a model alone": lambda last: checkpoints.save(checkpoints.load("runs/classifier"), last),
}


@pytest.mark.parametrize("change", LASTS.values(), ids=LASTS)
def test_a_last_checkpoint_that_cannot_be_gone_on_from_is_passed_over_for_the_one_before(
    change: Callable[[Path], object], workplace: Path, cgd: Cgd
) -> None:
    change(LAST)
    code, out, err = cgd("fit", *ON)
    assert code == 0, err
    assert "version_0: 18 steps" in out
    assert f"passed over: {LAST}: " in err
    assert f"continuing from {LAST.with_name('best.ckpt')}" in err
    (LAST.parent / "best.ckpt").write_text("bad")
    LAST.write_text("bad")
    code, _, err = cgd("fit", *ON)
    assert code == 1
    assert "nothing to go on from: " in errors(err)[0]
    assert errors(err)[0].endswith("; start the run without --ckpt_path")
    assert [path.name for path in Path("runs/classifier").iterdir()] == ["version_0"]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_folder_in_place_of_a_checkpoint_is_refused_before_a_run_goes_on(
    name: str, workplace: Path, cgd: Cgd
) -> None:
    place = LAST.with_name(name)
    place.unlink()
    place.mkdir()
    code, out, err = cgd("fit", *ON)
    assert code == 1, out
    assert f"{place}: a folder, where a run that goes on writes its checkpoint" in errors(err)[0]
    assert "run: " not in err


CGD = [sys.executable, "-c", "from cgd_lightning.commands.main import main; main()"]


STRAY = (
    *(
        "random",
        "json",
        "torch",
        "yaml",
        "types",
        "typing",
        "enum",
        "copy",
        "logging",
        "numpy",
        "lightning",
        "jsonargparse",
    ),
    *(
        "tqdm",
        "PIL",
        "sklearn",
        "wandb",
        "tensorboard",
        "torchvision",
        "matplotlib",
        "omegaconf",
        "ruamel",
        "rich",
        "usercustomize",
    ),
)


@pytest.mark.slow
def test_a_module_that_lies_beside_the_data_is_not_imported(workplace: Path) -> None:
    for name in STRAY:
        Path(f"{name}.py").write_text("open('ran', 'a').write(__name__ + ' ')\n")
    alone = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONSAFEPATH")
    }
    script = Path(sys.executable).with_name("cgd")
    short = ["--trainer.max_steps=1", "--trainer.val_check_interval=1"]
    Path("strategy.yaml").write_text(
        "trainer: {devices: 1, strategy: {class_path: DDPStrategy, init_args: {static_graph: "
        "true}}}"
    )
    for words in (
        ["info", "runs/diffusion"],
        ["fit", *TINY_CLASSIFIER, *short, "--config=strategy.yaml"],
        ["sample", "--ckpt=runs/diffusion", "--num_samples=1"],
    ):
        done = subprocess.run(
            [script, *words], cwd=workplace, capture_output=True, text=True, env=alone, timeout=100
        )
        assert done.returncode == 0, done.stderr
    Path("mine.py").write_text("from cgd_lightning import DDIM\nclass Mine(DDIM): pass\n")
    words = [
        "sample",
        "--ckpt=runs/diffusion",
        "--num_samples=1",
        "--sampler=mine.Mine",
        "--sampler.steps=2",
    ]
    done = subprocess.run(
        [script, *words], cwd=workplace, capture_output=True, text=True, env=alone, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert not Path("ran").exists()


def test_a_process_that_was_told_to_stop_before_it_wrote_anything_does_not_say_that_it_did(
    workplace: Path, cgd: Cgd
) -> None:
    name = "--trainer.callbacks"
    stop = [
        f"{name}=tests.training.test_training.Stop",
        f"{name}.hook=on_train_start",
        f"{name}.step=0",
        f"{name}.number=15",
    ]
    code, _, err = cgd("fit", *TINY_CLASSIFIER, *stop)
    assert code == 143, err
    written = list(Path("runs/classifier").glob("version_1/last.ckpt"))
    assert ("last.ckpt is written" in err) == bool(written)


def test_what_is_said_of_a_loss_that_is_not_finite_is_so(workplace: Path, cgd: Cgd) -> None:
    code, _, err = cgd(
        "fit",
        *TINY_CLASSIFIER,
        "--model.optimizer.lr=1e30",
        "--trainer.gradient_clip_val=null",
        "--model.warmup_steps=0",
    )
    assert code == 1
    [error] = errors(err)
    assert "is not finite" in error
    assert ("no checkpoint was written" in error) == (
        not list(Path("runs/classifier").glob("version_1/last.ckpt"))
    )


def test_a_sample_of_ten_to_the_twelve_is_refused_at_once(workplace: Path, cgd: Cgd) -> None:
    assert (
        cgd(
            "sample",
            "--ckpt=runs/diffusion",
            "--num_samples=2",
            "--sampler.steps=2",
            "--scale=0",
            "--out=few",
        )[0]
        == 0
    )
    text = Path("few/samples.json").read_text()
    for name in ("num_samples", "batch_size"):
        code, _, err = cgd("sample", "--ckpt=runs/diffusion", f"--{name}=1000000000000")
        assert code == 1
        assert f"--{name} 1000000000000: wanted 1 to" in errors(err)[0]
    Path("many.json").write_text(text.replace('"num_samples": 2', '"num_samples": 1000000000000'))
    code, _, err = cgd("sample", "--from=many.json")
    assert code == 1
    assert "num_samples: 1000000000000, where an integer from 1 to" in errors(err)[0]


def test_weights_of_nothing_are_told_when_they_are_loaded(workplace: Path) -> None:
    edit(
        LAST,
        lambda contents: [
            value.fill_(float("nan"))
            for value in contents["state_dict"].values()
            if value.is_floating_point()
        ],
    )
    with pytest.raises(InputError, match="its weights are not finite"):
        checkpoints.load(LAST)


def test_a_training_by_another_optimiser_is_told_so(workplace: Path, cgd: Cgd) -> None:
    code, _, err = cgd("fit", *ON, "--model.optimizer=SGD", "--model.optimizer.lr=0.1")
    assert code == 1
    [error] = errors(err)
    assert "of another optimiser; give the --model.optimizer of its own run" in error


FROZEN = """
from cgd_lightning import EncoderUNet
class Frozen(EncoderUNet):
    def __init__(
        self, image_size: int, in_channels: int, out_channels: int, model_channels: int = 8, **rest
    ):
        fixed = dict(channel_mult=(1,), norm_groups=2, attention_resolutions=())
        super().__init__(image_size, in_channels, out_channels, model_channels, **fixed)
        next(iter(self.parameters())).requires_grad_(False)
"""


@pytest.mark.slow
def test_a_network_with_a_frozen_layer_goes_on(tmp_path: Path) -> None:
    (tmp_path / "frozen.py").write_text(FROZEN)
    short = [word for word in TINY_CLASSIFIER if "network" not in word and "max_steps" not in word]
    words = [*CGD, "fit", *short, "--model.network=frozen.Frozen"]
    for extra in (["--trainer.max_steps=6"], ["--trainer.max_steps=12", "--ckpt_path=last"]):
        done = subprocess.run(
            [*words, *extra], cwd=tmp_path, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
    assert "version_0: 12 steps" in done.stdout


LINKS: dict[str, tuple[str, list[str]]] = {
    "a new version": ("runs/classifier", ["fit", *TINY_CLASSIFIER]),
    "all runs": ("runs", ["fit", *TINY_CLASSIFIER]),
    "a version to go on with": ("runs/classifier", ["fit", *ON]),
    "the table of a version": (
        "runs/classifier/version_0",
        ["predict", "--ckpt_path=runs/classifier", "--trainer.accelerator=cpu"],
    ),
    "samples": (
        "runs/diffusion/version_0/samples",
        ["sample", "--ckpt=runs/diffusion", "--num_samples=1", "--sampler.steps=2", "--scale=0"],
    ),
}


@pytest.mark.parametrize(("place", "words"), LINKS.values(), ids=LINKS)
def test_a_link_on_the_way_leads_nothing_out_of_the_folder(
    place: str, words: list[str], workplace: Path, cgd: Cgd
) -> None:
    outside = workplace.parent / f"{workplace.name}-outside"
    if Path(place).exists():
        shutil.move(place, outside)
    else:
        outside.mkdir()
    Path(place).symlink_to(outside)
    before = {file: file.read_bytes() for file in outside.rglob("*") if file.is_file()}
    code, _, err = cgd(*words)
    assert code == 1, err
    assert "by its name or by a link" in errors(err)[0] or "a link" in errors(err)[0]
    assert before == {file: file.read_bytes() for file in outside.rglob("*") if file.is_file()}


def test_a_link_that_is_typed_is_followed(workplace: Path, cgd: Cgd) -> None:
    outside = workplace.parent / f"{workplace.name}-outside"
    shutil.move("runs", outside)
    Path("runs").symlink_to(outside)
    short = ["--trainer.max_steps=1", "--trainer.val_check_interval=1"]
    code, _, err = cgd("fit", *TINY_CLASSIFIER, *short, "--trainer.default_root_dir=runs")
    assert code == 0, err
    code, _, err = cgd("sample", "--ckpt=runs/diffusion", "--num_samples=1", "--sampler.steps=2")
    assert code == 0, err
    assert (outside / "classifier/version_1/last.ckpt").is_file()
    assert (outside / "diffusion/version_0/samples/0/grid.png").is_file()


@pytest.mark.parametrize("name", ["metrics.csv", "last.ckpt", "best.ckpt"])
def test_a_pipe_in_a_run_folder_is_not_waited_on(name: str, workplace: Path, cgd: Cgd) -> None:
    (LAST.parent / name).unlink()
    os.mkfifo(LAST.parent / name)
    code, _, err = cgd("fit", *ON)
    assert code == 1, err
    assert f"{name}: " in errors(err)[0]
    assert "no regular file" in errors(err)[0]


def test_a_pipe_among_the_samples_of_a_run_is_told(workplace: Path, cgd: Cgd) -> None:
    (LAST.parent / "samples").mkdir()
    os.mkfifo(LAST.parent / "samples/measures.jsonl")
    code, _, err = cgd("fit", *ON)
    assert code == 1
    assert "measures.jsonl: no regular file" in errors(err)[0]


@pytest.mark.parametrize("text", ["", "a,b\n1,2,3\n", 'a,b\n"x', "a\n" + "x" * 200_000, "\udcff"])
def test_metrics_that_are_no_table_are_one_line(text: str, workplace: Path, cgd: Cgd) -> None:
    (LAST.parent / "metrics.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    code, _, err = cgd("fit", *ON)
    assert "Traceback" not in err
    assert code == (0 if not text else 1), err


def test_a_record_that_asks_for_a_compiler_does_not_get_it(workplace: Path, cgd: Cgd) -> None:
    assert (
        cgd(
            "sample",
            "--ckpt=runs/diffusion",
            "--num_samples=1",
            "--sampler.steps=2",
            "--scale=0",
            "--out=one",
        )[0]
        == 0
    )
    Path("two.json").write_text(
        Path("one/samples.json").read_text().replace('"compile": false', '"compile": true')
    )
    code, _, err = cgd("sample", "--from=two.json", "--out=two")
    assert code == 0, err
    assert "is not taken from a file" in err


def test_where_wandb_sends_the_key_is_not_said_by_a_file_of_the_folder(
    workplace: Path, cgd: Cgd
) -> None:
    Path("wandb").mkdir()
    Path("wandb/settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    code, _, err = cgd("fit", *TINY_CLASSIFIER, "--config=wandb.yaml")
    assert code == 1
    assert "wandb/settings: says where Weights & Biases sends your key" in errors(err)[0]


@pytest.mark.slow
def test_tensorboards_packaged_configuration_works_in_a_fresh_process(workplace: Path) -> None:
    short = ["--trainer.max_steps=1", "--trainer.val_check_interval=1", "--config=tensorboard.yaml"]
    done = subprocess.run(
        [*CGD, "fit", *TINY_CLASSIFIER, *short],
        cwd=workplace,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_is_wrong_in_a_file_of_ones_own_is_told(workplace: Path) -> None:
    Path("broken.py").write_text("import cgd_lightning\nfrom cgd_lightning import NoSuchThing\n")
    for words in (
        ["sample", "--ckpt=runs/diffusion", "--sampler=broken.Mine"],
        ["fit", *TINY_CLASSIFIER, "--trainer.callbacks=broken.Mine"],
    ):
        done = subprocess.run(
            [*CGD, *words], cwd=workplace, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 1
        [error] = errors(done.stderr)
        assert "broken.Mine cannot be imported" in error
        assert "broken.py, line 2: ImportError: cannot import name 'NoSuchThing'" in error


def test_a_record_whose_model_was_moved_says_how_to_name_it(workplace: Path, cgd: Cgd) -> None:
    assert (
        cgd(
            "sample",
            "--ckpt=runs/diffusion",
            "--num_samples=1",
            "--sampler.steps=2",
            "--scale=0",
            "--out=one",
        )[0]
        == 0
    )
    shutil.move("runs", "moved")
    code, _, err = cgd("sample", "--from=one/samples.json", "--out=two")
    assert code == 1
    assert "if it was moved, name it with --ckpt" in errors(err)[0]
    assert cgd("sample", "--from=one/samples.json", "--out=two", "--ckpt=moved/diffusion")[0] == 0
