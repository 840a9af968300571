"""`cgd fit`, `validate`, `test` and `predict`: Lightning's own, with runs that are folders and checkpoints that know their configuration.

This leans on a few private names of LightningCLI 2.6; pyproject.toml pins it and tests/commands covers each.
"""

import logging
import os
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

import cgd_lightning.data.digits
import cgd_lightning.data.folder
import cgd_lightning.data.vision
import cgd_lightning.networks  # noqa: F401  (so that short names are known)
from cgd_lightning import checkpoint as checkpoints
from cgd_lightning.commands.hardware import fast_bf16, pick_device
from cgd_lightning.commands.parser import OWN_FILES, OneLineErrors, PackagedConfigFile, instantiate, take_trusted
from cgd_lightning.commands.runs import CLAIMED, discard_unused, run_folder
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.errors import InputError
from cgd_lightning.training.finite import FiniteLoss
from cgd_lightning.training.guided_sampler import GuidedSampler
from cgd_lightning.training.loggers import log_to
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.modules import ClassifierModule
from cgd_lightning.training.predictions import ProbabilityTable
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from cgd_lightning.training.step_bar import StepBar

OF_A_CHECKPOINT = ("validate", "test", "predict")


def run(args: list[str]) -> None:
    """Run `args`: one of Lightning's commands and its options."""
    inherited = CLAIMED in os.environ
    quieten()
    # Lightning starts the other processes of a run with these words.
    argv, sys.argv = sys.argv, [sys.argv[0], *args]
    args, trusted = take_trusted(args)
    try:
        with tempfile.TemporaryDirectory(prefix=OWN_FILES) as folder, soft_interrupt() as interrupted:
            if args[0] in OF_A_CHECKPOINT:
                args = with_own_config(args, Path(folder))
            TrainingCLI(args, trusted)
    except SIGTERMException:
        print("stopped; last.ckpt is written, and --ckpt_path last goes on from there", file=sys.stderr)
        sys.exit(128 + (signal.SIGINT if interrupted else signal.SIGTERM))
    except (MisconfigurationException, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and "tensorboard" not in str(error):
            raise
        hint = "; pip install 'cgd-lightning[tensorboard]'" if isinstance(error, ModuleNotFoundError) else ""
        raise InputError(f"{str(error).splitlines()[0]}{hint}") from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        raise InputError(
            f"Weights & Biases cannot be reached or does not know you ({str(error).splitlines()[0]}); run `wandb login`, "
            "or keep the log here: --trainer.logger.init_args.offline true"
        ) from error
    finally:
        if claimed := os.environ.get(CLAIMED):
            discard_unused(Path(claimed))
        sys.argv = argv
        if not inherited:
            os.environ.pop(CLAIMED, None)


@contextmanager
def soft_interrupt() -> Iterator[list[int]]:
    """The first Ctrl-C stops a training at the end of its step, as SIGTERM does, with a checkpoint; the second stops it at once.

    Gives a list that is empty until then.
    """
    before = signal.getsignal(signal.SIGINT)
    interrupted: list[int] = []

    def once(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            raise KeyboardInterrupt
        interrupted.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    signal.signal(signal.SIGINT, once)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def quieten() -> None:
    """Leave out what Lightning says about things that are meant to be so here."""
    meant = (
        "module\\(s\\) in eval mode",
        "smaller than the logging interval",
        "isinstance\\(treespec",
        "does not have many workers",
        "LightningCLI's args",
        "Starting from v1.9.0, `tensorboardX`",
        "The dirpath has changed",
        "Checkpoint directory .* exists and is not empty",
    )
    for message in meant:
        warnings.filterwarnings("ignore", f".*{message}")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.trainer.connectors.logger_connector.logger_connector"):
        logging.getLogger(name).addFilter(lambda record: "Tip:" not in record.getMessage() and "TPU" not in record.getMessage())


def with_own_config(args: list[str], folder: Path) -> list[str]:
    """`args` with `--ckpt_path` resolved to a file, and the configuration stored in it put before the user's own options."""
    place = next((i for i, arg in enumerate(args) if re.match(r"--ckpt_path(=|$)", arg)), None)
    if place is None:
        if {"-h", "--help"} & set(args):
            return args
        raise InputError(f"cgd {args[0]} needs a checkpoint: cgd {args[0]} --ckpt_path runs/NAME")
    joined = "=" in args[place]
    value = args[place].partition("=")[2] if joined else (args[place + 1 : place + 2] or [""])[0]
    file = checkpoints.find(value)
    checkpoints.read(file)
    text = torch.load(file, weights_only=True, map_location="cpu", mmap=True).get("cgd_config")
    if text is None:
        raise InputError(f"{file}: holds no configuration of its training; give it with --config")
    stored = yaml.safe_load(text)
    config = folder / "stored.yaml"
    config.write_text(yaml.safe_dump({key: stored[key] for key in ("model", "data") if key in stored}))
    rest = args[1:place] + args[place + (1 if joined else 2) :]
    print(f"checkpoint: {file}", file=sys.stderr)
    return [args[0], "--config", str(config), *rest, "--ckpt_path", str(file)]


class Parser(OneLineErrors, LightningArgumentParser):
    """Lightning's parser with errors of one line."""


class TrainingCLI(LightningCLI):
    """LightningCLI with packaged configs, run folders and self-describing checkpoints."""

    def __init__(self, args: list[str], trusted: tuple[str, ...] = ()) -> None:
        self.trusted = trusted
        super().__init__(
            TrainingModule,
            NoisingDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={"default_root_dir": "runs", "log_every_n_steps": 10, "enable_model_summary": False},
            parser_class=Parser,
            parser_kwargs={"prog": "cgd", "default_env": True, "env_prefix": "CGD", "allow_abbrev": False},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=args,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        kwargs.setdefault("dump_header", ["Written by cgd-lightning"])
        parser = self.parser_class(**kwargs)
        parser.add_argument("-c", "--config", action=PackagedConfigFile, help="YAML file, or the name of a packaged one.")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.add_lightning_class_args(GuidedSampler, "guided_sampler")

    def _parse_ckpt_path(self) -> None:
        """Nothing: the configuration decides, and a checkpoint holds weights and the state of the training."""

    def before_instantiate_classes(self) -> None:
        trainer = self._get(self.config, "trainer")
        if trainer.precision is None:
            name = trainer.accelerator if trainer.accelerator in ("auto", "cpu") else "auto"
            trainer.precision = "bf16-mixed" if fast_bf16(pick_device(name)) else "32-true"

    def instantiate_classes(self) -> None:
        self.config_init = instantiate(self.parser, self.config)
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        options = self._get(self.config_init, "trainer")
        if self.subcommand in OF_A_CHECKPOINT and options.logger is None:
            options.logger = False  # the table on the screen, or the CSV, is all there is to log
        bar = [StepBar()] if options.enable_progress_bar is not False else []
        own = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks] if options.callbacks else []
        self.trainer = self.instantiate_trainer(callbacks=[*own, FiniteLoss(), *bar])

    def before_fit(self) -> None:
        if self.trainer.fast_dev_run:
            return
        config = self.config[self.subcommand]
        name = Path(str(config.config[0])).stem if config.config else type(self.model).__name__.removesuffix("Module").lower()
        folder, ckpt_path = run_folder(self.trainer.default_root_dir, name, config.ckpt_path)
        self.config_init[self.subcommand]["ckpt_path"] = ckpt_path
        self.config_init[self.subcommand]["weights_only"] = True
        if config.trainer.logger is not False:
            chosen = [] if config.trainer.logger in (None, True) else self.trainer.loggers
            self.trainer.loggers = log_to(folder, chosen)
        checkpoint = self.trainer.checkpoint_callback
        assert isinstance(checkpoint, RunCheckpoint)
        checkpoint.dirpath = str(folder)
        sampler = self._get(self.config_init, "guided_sampler")
        sampler.folder, sampler.trust = folder, self.trusted
        self.folder = folder
        dump = self._parser(self.subcommand).dump(config, skip_unset=False)
        self.trainer.callbacks.insert(0, StoredConfig(dump, folder))
        if rank_zero_only.rank == 0:
            print(f"run: {folder}" + (f", continuing from {ckpt_path}" if ckpt_path else ""), file=sys.stderr)

    def after_fit(self) -> None:
        if not self.trainer.fast_dev_run and rank_zero_only.rank == 0:
            measures = {name: value for name, value in self.trainer.callback_metrics.items() if name in ("val/loss", "val/accuracy")}
            shown = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
            print(f"{self.folder}: {self.trainer.global_step} steps, {shown}")

    def before_predict(self) -> None:
        if not isinstance(self.model, ClassifierModule):
            raise InputError("cgd predict gives a classifier's probabilities; images of a diffusion model: cgd sample --ckpt RUN")
        file = Path(self.config_init["predict"]["ckpt_path"])
        table = file.parent / f"predictions-t{self.datamodule.predict_timestep}.csv"
        self.trainer.callbacks.append(ProbabilityTable(table))
        self.config_init["predict"]["return_predictions"] = False


class StoredConfig(Callback):
    """Writes the configuration of a run into its folder, and into every checkpoint."""

    def __init__(self, text: str, folder: Path) -> None:
        self.text, self.folder = text, folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (self.folder / "config.yaml").exists():
            (self.folder / "config.yaml").write_text(self.text)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["cgd_config"] = self.text
