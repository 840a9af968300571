"""What a configuration file may say: listed classes, plain values, paths in this folder.

A file names the classes of `checkpoints.listed.OURS`, and those below with the arguments given
there. What was typed on the command line is trusted as it stands, and so is what `--trust` names.
All of it is checked in the settings as they were merged, before anything is made of them.
"""

import re
from collections.abc import Collection
from importlib import import_module
from typing import Any

OPTIMIZERS = (
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
)
"""Of torch.optim, with any plain arguments."""

OWN_OPTIMIZERS = ("cgd_lightning.MuonAdamW", "cgd_lightning.training.muon.MuonAdamW")

SCHEDULERS = (
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "StepLR",
)
"""Of torch.optim.lr_scheduler, with any plain arguments; those that take functions are left out."""

LIGHTNING: dict[str, dict[str, str]] = {
    "callbacks": {
        "BatchSizeFinder": "mode steps_per_trial init_val max_trials batch_arg_name margin max_val",
        "DeviceStatsMonitor": "cpu_stats",
        "EarlyStopping": (
            "monitor min_delta patience verbose mode strict check_finite stopping_threshold "
            "divergence_threshold check_on_train_epoch_end log_rank_zero_only"
        ),
        "GradientAccumulationScheduler": "scheduling",
        "LearningRateFinder": (
            "min_lr max_lr num_training_steps mode early_stop_threshold update_attr attr_name"
        ),
        "LearningRateMonitor": "logging_interval log_momentum log_weight_decay",
        "ModelCheckpoint": (
            "dirpath filename monitor verbose save_last save_top_k save_on_exception "
            "save_weights_only mode auto_insert_metric_name every_n_train_steps "
            "train_time_interval every_n_epochs save_on_train_epoch_end enable_version_counter"
        ),
        "ModelSummary": "max_depth",
        "RichModelSummary": "max_depth",
        "RichProgressBar": "refresh_rate leave",
        "TQDMProgressBar": "refresh_rate process_position leave",
        "Timer": "duration interval verbose",
    },
    "loggers": {
        "CSVLogger": "save_dir name version prefix flush_logs_every_n_steps",
        "TensorBoardLogger": "save_dir name version log_graph default_hp_metric prefix sub_dir",
        "WandbLogger": (
            "name save_dir version offline dir id anonymous project log_model prefix "
            "checkpoint_name add_file_policy entity group job_type tags notes mode resume"
        ),
    },
    "profilers": {
        "AdvancedProfiler": "dirpath filename line_count_restriction dump_stats",
        "SimpleProfiler": "dirpath filename extended",
    },
    "strategies": {
        "DDPStrategy": (
            "model_averaging_period process_group_backend timeout start_method "
            "find_unused_parameters gradient_as_bucket_view static_graph"
        ),
    },
    "plugins": {
        "DoublePrecision": "",
        "HalfPrecision": "precision",
        "MixedPrecision": "precision device",
        "TorchSyncBatchNorm": "",
    },
}
"""Of lightning.pytorch, by the arguments that a file may give, plain values all."""

TYPED_FROM = (
    *(f"lightning.pytorch.{part}" for part in LIGHTNING),
    "torch.optim",
    "torch.optim.lr_scheduler",
)
"""Where a class may be that is typed by its bare name."""

READ_ONLY = (
    "autoencoder",
    "classifier",
    "diffusion",
    "judge",
    "weak",
    "discriminator",
    "generated",
    "samples",
    "ckpt",
    "low_res",
    "images",
    "mask",
    "from",
    "root",
)
"""Settings that are paths of files which are read and never written."""

WRITTEN = ("default_root_dir", "dirpath", "save_dir", "dir", "sub_dir", "out", "ckpt_path")
"""Settings that are paths of what is written."""

WORDS = {
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.profiler": ("simple", "advanced"),
    "trainer.strategy": ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_find_unused_parameters_true"),
}
"""Settings for which Lightning has words that mean classes, and those that a file may use."""

FILENAME = re.compile(r"([\w.=-]|\{[\w/]+(:0?\d?\d?(\.\d\d?)?[df]?)?\})*", re.ASCII)
"""A template of ModelCheckpoint, whose numbers stay numbers."""

LEAVES = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|.*(://|::|\$)|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)

SCHEME = re.compile(r"^~|://|::|\$")


def lightning_classes() -> dict[str, Collection[str] | None]:
    """The optimisers, and classes that are not ours: import path -> arguments that a file may give.

    None means any arguments. Each class stands there under the name in `LIGHTNING` and under that
    of the module that defines it.
    """
    given: dict[str, Collection[str] | None] = {f"torch.optim.{name}": None for name in OPTIMIZERS}
    given |= dict.fromkeys(OWN_OPTIMIZERS)
    given |= {f"torch.optim.lr_scheduler.{name}": None for name in SCHEDULERS}
    for part, classes in LIGHTNING.items():
        given |= {
            f"lightning.pytorch.{part}.{name}": words.split() for name, words in classes.items()
        }
    return given | {home: words for path, words in given.items() if (home := defined_as(path))}


def defined_as(class_path: str) -> str | None:
    """The import path of the class at `class_path` in the module that defines it, or None."""
    module, _, name = class_path.rpartition(".")
    cls: Any = getattr(import_module(module), name, None)
    return f"{cls.__module__}.{cls.__qualname__}" if hasattr(cls, "__qualname__") else None


def typed_classes(typed: Collection[str]) -> set[str]:
    """The import paths of the classes of Lightning and torch that are typed by their bare names."""
    names = [name for name in typed if name.isidentifier()]
    paths = {
        f"{module}.{name}"
        for module in TYPED_FROM
        for name in names
        if hasattr(import_module(module), name)
    }
    return paths | {home for path in paths if (home := defined_as(path))}
