"""The callbacks that come with every run of the command line, beside the user's own."""

from typing import Any

from lightning.pytorch import Callback

from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.training.cost import Cost
from cgd_lightning.training.curves import Curves
from cgd_lightning.training.finite import FiniteLoss
from cgd_lightning.training.guided_sampler import GuidedSampler
from cgd_lightning.training.run import Run
from cgd_lightning.training.run_checkpoint import RunCheckpoint
from cgd_lightning.training.settings import listed
from cgd_lightning.training.step_bar import StepBar
from cgd_lightning.training.stored_config import StoredConfig
from cgd_lightning.training.terminate import StopTogether


def callbacks_of(options: Any, run: Run | None, trust: Trust) -> list[Callback]:
    """All callbacks of a trainer, in their order.

    options: its own under trainer.callbacks, made; the settings of ours under checkpoint and
    guided_sampler, which are made here for the folder of the run, if there is one.
    """
    folder = run.folder if run else None
    stored = [StoredConfig(run.config, run.folder, bool(run.changed))] if run else []
    bar = [StepBar()] if options.trainer.enable_progress_bar is not False else []
    checkpoint = RunCheckpoint(**vars(options.checkpoint), dirpath=folder)
    sampler = GuidedSampler(**vars(options.guided_sampler), folder=folder, trust=trust)
    curves = [Curves()] if run else []
    own = listed(options.trainer.callbacks)
    return [*stored, *own, StopTogether(), FiniteLoss(), Cost(), *bar, checkpoint, sampler, *curves]
