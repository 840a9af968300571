"""`cgd fit`, `validate`, `test` and `predict`: Lightning's own commands.

Their runs are folders, and their checkpoints know their configuration.
"""

import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

import cgd_lightning.data.digits
import cgd_lightning.data.folder
import cgd_lightning.data.generated
import cgd_lightning.data.lesions
import cgd_lightning.data.vision
import cgd_lightning.networks
import cgd_lightning.training.autoencoder
import cgd_lightning.training.muon  # noqa: F401  (so that short names are known)
from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import schema
from cgd_lightning.commands.changed_settings import changed_settings
from cgd_lightning.commands.fit_help import tell
from cgd_lightning.commands.own_config import with_own_config
from cgd_lightning.configuration.environment import with_environment
from cgd_lightning.configuration.files import OWN_FILES, PackagedConfigFile
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, instantiate
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.errors import InputError
from cgd_lightning.peers import current, is_first
from cgd_lightning.training.callbacks import callbacks_of
from cgd_lightning.training.guided_sampler import GuidedSampler
from cgd_lightning.training.interrupt import Interrupted, soft_interrupt, stopping
from cgd_lightning.training.loggers import in_folder, refusals_in_one_line
from cgd_lightning.training.metrics_file import RunCSVLogger
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.modules import ClassifierModule
from cgd_lightning.training.network_size import check_size
from cgd_lightning.training.predictions import ProbabilityTable
from cgd_lightning.training.quiet import quieten
from cgd_lightning.training.relaunch import command_line
from cgd_lightning.training.run import INTERRUPTED, STOPPED, Run, claim
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from cgd_lightning.training.run_files import check_reads, with_run_files
from cgd_lightning.training.run_folder import discard_unused, say
from cgd_lightning.training.settings import (
    check_trainer,
    fast_precision,
    listed,
    refusals_of_the_trainer,
)
from cgd_lightning.training.slurm import job, requeue, signal_of
from cgd_lightning.training.terminate import soft_termination

OF_A_CHECKPOINT = ("validate", "test", "predict")
TRAINER = {"default_root_dir": "runs", "log_every_n_steps": 10, "enable_model_summary": False}
PARSER = {"prog": "cgd", "default_env": True, "env_prefix": "CGD", "allow_abbrev": False}


def run(args: list[str]) -> None:
    """Run `args`: one of Lightning's commands and its options."""
    quieten()
    current().at_last(discard_unused)
    words, gate = take_trusted(args, lightning=True)
    try:
        with (
            soft_interrupt() as interrupted,
            soft_termination(),
            command_line(args),
            refusals_in_one_line(),
            ExitStack() as until,
        ):
            if words[0] in OF_A_CHECKPOINT:
                own = until.enter_context(tempfile.TemporaryDirectory(prefix=OWN_FILES))
                words = with_own_config(words, Path(own), gate)
            TrainingCLI(words, gate, interrupted, until)
    except SIGTERMException:
        number = interrupted[0] if interrupted else signal.SIGTERM
        if number not in (signal.SIGINT, signal.SIGTERM) and is_first():
            say(requeue())
        sys.exit(128 + number)
    except Interrupted:
        sys.exit(128 + signal.SIGINT)
    finally:
        discard_unused()


class Parser(OneLineErrors, LightningArgumentParser):
    """Lightning's parser with errors of one line."""


class TrainingCLI(LightningCLI):
    """LightningCLI with packaged configs, run folders and self-describing checkpoints."""

    claimed: Run | None = None
    """The run of a training, once it has its folder."""

    def __init__(
        self, args: list[str], gate: Gate, interrupted: list[int], until: ExitStack
    ) -> None:
        """interrupted: signals that came. until: what is open until the training has ended."""
        self.gate, self.interrupted, self.until = gate, interrupted, until
        self.parsers: list[LightningArgumentParser] = []
        try:
            super().__init__(
                TrainingModule,
                NoisingDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=None,
                seed_everything_default=0,
                trainer_defaults=TRAINER,
                parser_class=Parser,
                parser_kwargs=PARSER,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                args=args,
            )
        except SIGTERMException:
            say(self.claimed.rest if self.claimed else STOPPED)
            raise
        except Interrupted:
            say(self.claimed.kept if self.claimed else INTERRUPTED)
            raise

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        super().setup_parser(*args, **kwargs)
        for command, parser in zip(self.subcommands(), self.parsers, strict=True):
            assert isinstance(parser, Parser)
            tell(command, parser)

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        kwargs.setdefault("dump_header", ["Written by cgd-lightning"])
        parser = self.parser_class(**kwargs)
        what = "YAML file, or the name of a packaged one. Variables of the environment win over it."
        parser.add_argument("-c", "--config", action=PackagedConfigFile, help=what)
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        if not self.parsers:  # of `fit`, the first command
            what = "Name of the run, kept in runs/NAME. Default: that of the first --config."
            parser.add_argument("--name", type=str, default=None, help=what)
        self.parsers.append(parser)  # of a command, in the order of `subcommands`
        # Made later, when their folder is known.
        how: dict[str, Any] = {"instantiate": False, "fail_untyped": False, "sub_configs": True}
        parser.add_class_arguments(RunCheckpoint, "checkpoint", skip={"dirpath"}, **how)
        parser.add_class_arguments(GuidedSampler, "guided_sampler", skip={"folder", "trust"}, **how)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        commands = list(self.subcommands())
        if args and args[0] in commands:
            parser.prog = f"cgd {args[0]}"  # for its errors
            args = [args[0], *with_environment(args[1:], self.parsers[commands.index(args[0])])]
        super().parse_arguments(parser, args)
        seed = self.config[self.config.subcommand].seed_everything
        if type(seed) is int and not 0 <= seed < 2**32:
            raise InputError(f"seed_everything {seed}: wanted 0 to 4294967295")

    def _parse_ckpt_path(self) -> None:
        """Nothing: the configuration decides, and no hyper-parameters that a checkpoint holds.

        This is the only private name of LightningCLI here; pyproject.toml pins its version.
        """

    def before_instantiate_classes(self) -> None:
        settings = self.config[self.subcommand]
        self.check(settings)
        trainer = settings.trainer
        given = self.text(settings) if self.subcommand == "fit" and job() else ""
        if trainer.precision is None:
            trainer.precision = fast_precision(trainer.accelerator)
        if self.subcommand in OF_A_CHECKPOINT and trainer.logger is None:
            trainer.logger = False  # the table on the screen, or the CSV, is all there is to log
        if self.subcommand == "predict":
            settings.return_predictions = False
        if trainer.fast_dev_run and settings.ckpt_path:
            settings.ckpt_path = str(checkpoints.find(settings.ckpt_path))
        if self.subcommand == "fit" and not trainer.fast_dev_run:
            self.claimed = self.claim(settings, given)

    def check(self, settings: Namespace) -> None:
        """Raises InputError for settings that are none, and for what a file may not say."""
        for name in ("trainer", "model", "data", "checkpoint", "guided_sampler"):
            value = settings[name]
            if not isinstance(value, Namespace):
                raise InputError(f"{name}: {schema.shown(value)}, where settings were wanted")
        of_files = {name: value for name, value in vars(settings).items() if name != "config"}
        self.gate.check(of_files, "")
        self.gate.keep_downloads_here(settings.data)
        check_trainer(settings.trainer)

    def text(self, settings: Namespace) -> str:
        """The `settings` of a training as YAML, by which it can be begun again."""
        parser = self.parsers[list(self.subcommands()).index("fit")]
        if settings.ckpt_path == "last":  # which is of this command, and not of its run
            settings = settings.clone()
            settings.ckpt_path = None
        return str(parser.dump(settings, skip_unset=False))

    def claim(self, settings: Namespace, given: str) -> Run:
        """The run that `settings` ask for, which tell its folder to all that is made of them.

        given: their text before this machine decided what they leave open, if SLURM runs this.
        """
        text, trainer = self.text(settings), settings.trainer
        run = claim(settings, text, given, self.gate.check_place, self.until)
        run = replace(run, changed=changed_settings(run.folder / "config.yaml", text))
        settings.ckpt_path, trainer.default_root_dir = run.ckpt_path, str(run.folder)
        if trainer.logger is not False:
            trust_wandb = self.gate.trusts("lightning.pytorch.loggers.wandb.WandbLogger")
            trainer.logger = in_folder(trainer.logger, run.folder, trust_wandb)
        return run

    def instantiate_classes(self) -> None:
        self.config_init = instantiate(self.parser, self.config)
        made = self.config_init[self.subcommand]
        self.model, self.datamodule = made.model, made.data
        if isinstance(self.datamodule, NoisingDataModule):
            self.datamodule.trust = self.gate.trust
        if not self.gate.trust.any_size:
            check_size(self.model, self.datamodule)
        callbacks = callbacks_of(made, self.claimed, self.gate.trust)
        if self.subcommand == "predict":
            callbacks.append(self.table(made.ckpt_path))
        if self.claimed is not None:
            if made.trainer.logger is not False:
                made.trainer.logger = [RunCSVLogger(self.claimed.folder), *made.trainer.logger]
            say(self.claimed.title)
            if self.claimed.changed:
                changed = self.claimed.changed
                say(f"other settings than before: {changed}; config.yaml is replaced as it goes on")
        plugins = with_run_files(listed(made.trainer.plugins))
        if self.claimed is not None and (number := signal_of(plugins)) is not None:
            self.until.enter_context(stopping(number, self.interrupted))
        with refusals_of_the_trainer():
            self.trainer = self.instantiate_trainer(callbacks=callbacks, plugins=plugins)
        if made.ckpt_path:
            check_reads(self.trainer.strategy)

    def table(self, ckpt_path: str) -> ProbabilityTable:
        """Where `cgd predict` writes: beside the checkpoint."""
        if not isinstance(self.model, ClassifierModule):
            raise InputError(
                "cgd predict gives a classifier's probabilities; images of a diffusion model: cgd "
                "sample --ckpt RUN"
            )
        folder = Path(ckpt_path).parent
        self.gate.check_place(folder, "ckpt_path")
        return ProbabilityTable(folder / f"predictions-t{self.datamodule.predict_timestep}.csv")

    def after_fit(self) -> None:
        if self.claimed is not None and rank_zero_only.rank == 0:
            print(self.claimed.result(self.trainer))
