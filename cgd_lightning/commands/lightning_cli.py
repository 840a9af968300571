"""`cgd fit`, `validate`, `test` and `predict`: Lightning's own, with runs that are folders and
checkpoints that know their configuration.

This leans on a few private names of LightningCLI 2.6; pyproject.toml pins it and tests/commands
covers each.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

import cgd_lightning.data.digits
import cgd_lightning.data.folder
import cgd_lightning.data.vision
import cgd_lightning.networks  # noqa: F401  (so that short names are known)
from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.files import MOST_CONFIG
from cgd_lightning.commands.own_config import with_own_config
from cgd_lightning.configuration.files import OWN_FILES, PackagedConfigFile
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, instantiate, take_trusted
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.errors import InputError
from cgd_lightning.files import whole
from cgd_lightning.sampling.hardware import fast_bf16, pick_device
from cgd_lightning.training.finite import FiniteLoss
from cgd_lightning.training.guided_sampler import GuidedSampler
from cgd_lightning.training.loggers import log_to
from cgd_lightning.training.module import TrainingModule, check_size
from cgd_lightning.training.modules import ClassifierModule
from cgd_lightning.training.predictions import ProbabilityTable
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from cgd_lightning.training.run_files import RunFiles
from cgd_lightning.training.run_folder import discard_unused, run_folder
from cgd_lightning.training.step_bar import StepBar

OF_A_CHECKPOINT = ("validate", "test", "predict")


def run(args: list[str]) -> None:
    """Run `args`: one of Lightning's commands and its options."""
    quieten()
    # Lightning starts the other processes of a run with these words.
    argv, sys.argv = sys.argv, [_script(), *args]
    args, gate = take_trusted(args, lightning=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=OWN_FILES) as folder,
            soft_interrupt() as interrupted,
        ):
            if args[0] in OF_A_CHECKPOINT:
                args = with_own_config(args, Path(folder), gate)
            TrainingCLI(args, gate)
    except SIGTERMException:
        sys.exit(128 + (signal.SIGINT if interrupted else signal.SIGTERM))
    except (MisconfigurationException, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and "tensorboard" not in str(error):
            raise
        hint = (
            "; pip install 'cgd-lightning[tensorboard]'"
            if isinstance(error, ModuleNotFoundError)
            else ""
        )
        raise InputError(f"{str(error).splitlines()[0]}{hint}") from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        raise InputError(
            f"Weights & Biases cannot be reached or does not know you ({str(error).splitlines()[0]}); run `wandb login`, "
            "or keep the log here: --trainer.logger.init_args.offline true"
        ) from error
    finally:
        discard_unused()
        sys.argv = argv


def _script() -> str:
    """The script that the other processes of a run start with: this one's, or `cgd` where a file
    called -c or the like would be taken.
    """
    beside = Path(sys.executable).with_name("cgd")
    return str(beside) if sys.argv[0].startswith("-") and beside.is_file() else sys.argv[0]


@contextmanager
def soft_interrupt() -> Iterator[list[int]]:
    """The first Ctrl-C stops a training at the end of its step, as SIGTERM does, with a checkpoint;
    the second stops it at once.

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
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.pytorch.trainer.connectors.logger_connector.logger_connector",
    ):
        logging.getLogger(name).addFilter(
            lambda record: "Tip:" not in record.getMessage() and "TPU" not in record.getMessage()
        )


class Parser(OneLineErrors, LightningArgumentParser):
    """Lightning's parser with errors of one line."""


class TrainingCLI(LightningCLI):
    """LightningCLI with packaged configs, run folders and self-describing checkpoints."""

    folder: Path | None = None
    """Of the run, once it has one."""

    def __init__(self, args: list[str], gate: Gate) -> None:
        self.gate = gate
        super().__init__(
            TrainingModule,
            NoisingDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={
                "default_root_dir": "runs",
                "log_every_n_steps": 10,
                "enable_model_summary": False,
            },
            parser_class=Parser,
            parser_kwargs={
                "prog": "cgd",
                "default_env": True,
                "env_prefix": "CGD",
                "allow_abbrev": False,
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=args,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        kwargs.setdefault("dump_header", ["Written by cgd-lightning"])
        parser = self.parser_class(**kwargs)
        parser.add_argument(
            "-c",
            "--config",
            action=PackagedConfigFile,
            help="YAML file, or the name of a packaged one.",
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.add_lightning_class_args(GuidedSampler, "guided_sampler")

    def _parse_ckpt_path(self) -> None:
        """Nothing: the configuration decides, and a checkpoint holds weights and the state of the
        training.
        """

    def _set_seed(self) -> None:
        seed = self._get(self.config, "seed_everything")
        if type(seed) is int and not 0 <= seed < 2**32:
            raise InputError(f"seed_everything {seed}: wanted 0 to 4294967295")
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        for name in ("trainer", "model", "data", "checkpoint", "guided_sampler"):
            if not isinstance(config[name], Namespace):
                raise InputError(
                    f"{name}: {schema.shown(config[name])}, where settings were wanted"
                )
        self.gate.check(
            {name: value for name, value in vars(config).items() if name != "config"}, ""
        )
        self.gate.keep_downloads_here(config.data)
        trainer = config.trainer
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
        own = (
            options.callbacks
            if isinstance(options.callbacks, list)
            else [options.callbacks]
            if options.callbacks
            else []
        )
        plugins = (
            options.plugins
            if isinstance(options.plugins, list)
            else [options.plugins]
            if options.plugins
            else []
        )
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, RunFiles()]
        if not self.gate.trust.any_size:
            check_size(self.model, self.datamodule)
        if options.fast_dev_run and self.config[self.subcommand].ckpt_path:
            self.config_init[self.subcommand]["ckpt_path"] = str(
                checkpoints.find(self.config[self.subcommand].ckpt_path)
            )
        stored = (
            self.prepare_run(options)
            if self.subcommand == "fit" and not options.fast_dev_run
            else []
        )
        self.trainer = self.instantiate_trainer(
            callbacks=[*stored, *own, FiniteLoss(), *bar], plugins=plugins
        )
        if (
            self.config[self.subcommand].ckpt_path
            and type(self.trainer.strategy).load_checkpoint is not Strategy.load_checkpoint
        ):
            name = type(self.trainer.strategy).__name__
            raise InputError(
                f"--ckpt_path with {name}: it reads checkpoints in a way of its own; take "
                "--trainer.strategy ddp"
            )

    def prepare_run(self, options: Any) -> list[Callback]:
        """Give the run its folder, and what writes there the way to it; the callback that keeps its
        configuration.
        """
        config = self.config[self.subcommand]
        dump = self._parser(self.subcommand).dump(config, skip_unset=False)
        if len(dump) > MOST_CONFIG:
            raise InputError(
                f"a configuration of {len(dump):,} characters with all its defaults; wanted at "
                f"most {MOST_CONFIG:,}"
            )
        name = (
            Path(str(config.config[0])).stem
            if config.config
            else type(self.model).__name__.removesuffix("Module").lower()
        )
        if name in ("", ".", ".."):
            raise InputError(
                f"a run called {name!r}, after its configuration {config.config[0]}; give the file "
                "another name"
            )
        self.gate.check_place(Path(options.default_root_dir) / name, "trainer.default_root_dir")
        folder, ckpt_path = run_folder(
            options.default_root_dir, name, config.ckpt_path, getattr(self.model, "kind", None)
        )
        self.folder, self.config_init[self.subcommand]["ckpt_path"] = folder, ckpt_path
        self.gate.check_place(folder, "ckpt_path")
        options.default_root_dir = str(folder)
        if config.trainer.logger is not False:
            given = options.logger if isinstance(options.logger, list) else [options.logger]
            loggers = [logger for logger in given if isinstance(logger, Logger)]
            if any(isinstance(logger, WandbLogger) for logger in loggers):
                check_wandb_settings(self.gate)
            options.logger = log_to(folder, loggers)
        self._get(self.config_init, "checkpoint").dirpath = str(folder)
        sampler = self._get(self.config_init, "guided_sampler")
        sampler.folder, sampler.trust = folder, self.gate.trust
        if rank_zero_only.rank == 0:
            print(
                f"run: {folder}" + (f", continuing from {ckpt_path}" if ckpt_path else ""),
                file=sys.stderr,
            )
        return [StoredConfig(dump, folder)]

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except SIGTERMException:
            if rank_zero_only.rank == 0:
                print(self.stopped(), file=sys.stderr)
            raise

    def stopped(self) -> str:
        """What there is of a run that was told to stop."""
        if self.folder is None or not (self.folder / "last.ckpt").is_file():
            return "stopped, before a checkpoint was written"
        return (
            f"stopped; last.ckpt is written, in {self.folder}, and --ckpt_path last goes on from "
            "there"
        )

    def after_fit(self) -> None:
        if not self.trainer.fast_dev_run and rank_zero_only.rank == 0:
            measures = {
                name: value
                for name, value in self.trainer.callback_metrics.items()
                if name in ("val/loss", "val/accuracy")
            }
            shown = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
            print(f"{self.folder}: {self.trainer.global_step} steps, {shown}")

    def before_predict(self) -> None:
        if not isinstance(self.model, ClassifierModule):
            raise InputError(
                "cgd predict gives a classifier's probabilities; images of a diffusion model: cgd "
                "sample --ckpt RUN"
            )
        file = Path(self.config_init["predict"]["ckpt_path"])
        self.gate.check_place(file.parent, "ckpt_path")
        table = file.parent / f"predictions-t{self.datamodule.predict_timestep}.csv"
        self.trainer.callbacks.append(ProbabilityTable(table))
        self.config_init["predict"]["return_predictions"] = False


def check_wandb_settings(gate: Gate) -> None:
    """Raises InputError if a file in this folder would decide which server Weights & Biases sends
    the user's key to.
    """
    settings = Path(os.environ.get("WANDB_DIR", ".")) / "wandb" / "settings"
    if os.path.lexists(settings) and not gate.trusts("lightning.pytorch.loggers.wandb.WandbLogger"):
        raise InputError(
            f"{settings}: says where Weights & Biases sends your key; remove it, or if it is yours "
            "type --trainer.logger WandbLogger"
        )


class StoredConfig(Callback):
    """Writes the configuration of a run into its folder, and into every checkpoint."""

    def __init__(self, text: str, folder: Path) -> None:
        self.text, self.folder = text, folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (self.folder / "config.yaml").exists():
            with whole(self.folder / "config.yaml") as unfinished:
                unfinished.write_text(self.text, encoding="utf-8")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["cgd_config"] = self.text
