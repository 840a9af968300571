"""What is known of a run before anything is made that writes into its folder."""

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from cgd_lightning.errors import InputError
from cgd_lightning.training.loggers import in_folder
from cgd_lightning.training.modules import ClassifierModule
from cgd_lightning.training.run import plain_name, run_name
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from cgd_lightning.training.run_files import RunFiles
from cgd_lightning.training.settings import class_of, listed
from tests.training.test_training import classifier, fit

FOLDER = Path("runs/name/version_3")


class Board(TensorBoardLogger):
    """A user's own, which has a name of its own."""

    def __init__(self, save_dir: str, version: str = "mine") -> None:
        super().__init__(save_dir, name="mine", version=version)


def make_board(save_dir: str = "elsewhere") -> TensorBoardLogger:
    return TensorBoardLogger(save_dir)


def spec(class_path: str, **arguments: Any) -> Namespace:
    return Namespace(class_path=class_path, init_args=Namespace(**arguments))


def test_the_class_of_a_setting_is_known_before_it_is_made() -> None:
    assert class_of("cgd_lightning.ClassifierModule") is ClassifierModule
    assert class_of(f"{__name__}.make_board") is TensorBoardLogger
    assert class_of("os.getcwd") is object
    assert listed(None) == listed(True) == listed(False) == []
    assert listed(3) == listed([3]) == [3]


def test_loggers_are_told_the_folder_of_the_run_before_they_are_made() -> None:
    chosen = [
        spec("lightning.pytorch.loggers.CSVLogger", save_dir="x"),
        spec("lightning.pytorch.loggers.TensorBoardLogger", save_dir="x", name="y", version=1, z=2),
        spec("lightning.pytorch.loggers.WandbLogger", save_dir="x", name=None, project="p"),
        spec("lightning.pytorch.loggers.WandbLogger", save_dir="x", name="mine"),
        spec("lightning.pytorch.loggers.MLFlowLogger", save_dir="x"),
        spec(f"{__name__}.Board", save_dir="x", version="mine"),
        spec(f"{__name__}.make_board", save_dir="elsewhere"),
    ]
    folder = str(FOLDER)
    assert [vars(settings.init_args) for settings in in_folder(chosen, FOLDER, True)] == [
        {"save_dir": folder, "name": "", "version": "tensorboard", "z": 2},
        {"save_dir": folder, "name": "name/version_3", "project": "p"},
        {"save_dir": folder, "name": "mine"},
        {"save_dir": "x"},
        {"save_dir": folder, "version": "tensorboard"},
        {"save_dir": folder},
    ]
    bare = Namespace(class_path=f"{__name__}.make_board")
    assert in_folder(bare, FOLDER, True) == [Namespace(class_path=f"{__name__}.make_board")]
    assert in_folder(None, FOLDER, False) == in_folder(True, FOLDER, False) == []


def test_a_server_that_a_file_names_is_refused_where_weights_and_biases_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").touch()
    chosen = spec("lightning.pytorch.loggers.WandbLogger", save_dir="x", name=None)
    with pytest.raises(InputError, match="wandb/settings: says where"):
        in_folder(chosen, FOLDER, False)
    assert len(in_folder(chosen, FOLDER, True)) == 1
    assert in_folder(spec("lightning.pytorch.loggers.CSVLogger"), FOLDER, False) == []


def test_a_run_is_called_after_its_configuration_or_what_it_trains() -> None:
    assert run_name(["configs/mine.yaml", "more.yaml"], ClassifierModule) == "mine"
    assert run_name(None, ClassifierModule) == run_name([], ClassifierModule) == "classifier"


NO_NAMES = ["", ".", "..", "...", "~", "~root", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", "x" * 201]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_run_stays_below_the_folder_of_the_runs_whatever_its_name(name: str) -> None:
    with pytest.raises(InputError, match="without a dot at its head") as refused:
        plain_name(name)
    assert len(str(refused.value)) < 300
    if "/" not in name and name != "":  # else a file of another name, or none
        with pytest.raises(InputError, match="or the file another name") as refused:
            run_name([f"configs/{name}.yaml"], ClassifierModule)
        assert len(str(refused.value)) < 300


def test_a_run_may_have_a_name_of_any_letters() -> None:
    for name in ("größe 2.5", "写真", "x" * 200, "-"):
        assert plain_name(name) == run_name([f"{name}.yaml"], ClassifierModule) == name


class Listener(Logger):
    """Remembers what it was told of checkpoints: paths, and whether the last one was there."""

    name, version = "listener", ""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def log_metrics(self, *_: Any, **__: Any) -> None: ...

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        last = Path(checkpoint_callback.last_model_path)
        self.told.append((Path(checkpoint_callback.best_model_path).name, last.name))
        assert not last.name or last.is_file()


def test_best_and_last_checkpoint_are_written_once_a_step_and_told_to_loggers(
    tmp_path: Path,
) -> None:
    saved: list[tuple[int, str]] = []

    class Noted(RunFiles):
        def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
            saved.append((checkpoint["global_step"], Path(path).name))
            super().save_checkpoint(checkpoint, path, storage_options)

    listener, checkpoint = Listener(), RunCheckpoint(dirpath=tmp_path)
    options = {"enable_checkpointing": True, "logger": [listener], "plugins": [Noted()]}
    fit(
        classifier(rate=1e-3),
        checkpoint,
        max_steps=5,
        val_check_interval=2,
        num_sanity_val_steps=1,
        **options,
    )
    assert [step for step, name in saved if name == "last.ckpt"] == [2, 4, 5]
    best = [step for step, name in saved if name == "best.ckpt"]
    assert best[0] == 2
    assert set(best) <= {2, 4}
    assert len(listener.told) == len(saved)
    assert listener.told[0] == ("best.ckpt", "")
    assert listener.told[-1] == ("best.ckpt", "last.ckpt")
    assert checkpoint.last == tmp_path / "last.ckpt"


def test_a_trial_run_writes_no_checkpoint(tmp_path: Path) -> None:
    fit(
        classifier(),
        RunCheckpoint(dirpath=tmp_path),
        fast_dev_run=True,
        enable_checkpointing=True,
        val_check_interval=1,
    )
    assert not list(tmp_path.iterdir())


def test_without_a_folder_lightning_chooses_one(tmp_path: Path) -> None:
    checkpoint = RunCheckpoint()
    fit(
        classifier(),
        checkpoint,
        max_steps=1,
        val_check_interval=1,
        enable_checkpointing=True,
        default_root_dir=tmp_path,
    )
    assert checkpoint.last == tmp_path / "checkpoints" / "last.ckpt"
