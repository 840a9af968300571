"""What a configuration file may say: classes by name, plain values, and paths that stay in this folder.

A file names the classes of `checkpoints.classes.OURS`, and those below with the arguments given there.
What was typed on the command line is trusted as it stands, and so is what `--trust` names. All of it is
checked in the settings as they were merged, before anything is made of them.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path, PurePath
from typing import Any

from cgd_lightning.checkpoints.classes import LISTED, Trust, not_listed
from cgd_lightning.errors import InputError

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
            "monitor min_delta patience verbose mode strict check_finite stopping_threshold divergence_threshold "
            "check_on_train_epoch_end log_rank_zero_only"
        ),
        "GradientAccumulationScheduler": "scheduling",
        "LearningRateFinder": "min_lr max_lr num_training_steps mode early_stop_threshold update_attr attr_name",
        "LearningRateMonitor": "logging_interval log_momentum log_weight_decay",
        "ModelCheckpoint": (
            "dirpath filename monitor verbose save_last save_top_k save_on_exception save_weights_only mode "
            "auto_insert_metric_name every_n_train_steps train_time_interval every_n_epochs "
            "save_on_train_epoch_end enable_version_counter"
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
            "name save_dir version offline dir id anonymous project log_model prefix checkpoint_name add_file_policy "
            "entity group job_type tags notes mode resume"
        ),
    },
    "profilers": {
        "AdvancedProfiler": "dirpath filename line_count_restriction dump_stats",
        "SimpleProfiler": "dirpath filename extended",
    },
    "strategies": {
        "DDPStrategy": (
            "model_averaging_period process_group_backend timeout start_method find_unused_parameters gradient_as_bucket_view static_graph"
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

READ_ONLY = ("classifier", "diffusion", "judge", "weak", "samples", "ckpt", "from", "root")
"""Settings that are paths of files which are read and never written."""

_LEAVES = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|.*(://|::)|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)

_SCHEME = re.compile(r"^~|://|::")


def lightning_classes() -> dict[str, Collection[str] | None]:
    """Import path -> arguments that a file may give, None for any, of the classes that are not ours.

    Each stands there under the name in `LIGHTNING` and under that of the module that defines it.
    """
    given: dict[str, Collection[str] | None] = {f"torch.optim.{name}": None for name in OPTIMIZERS}
    given |= {f"torch.optim.lr_scheduler.{name}": None for name in SCHEDULERS}
    for part, classes in LIGHTNING.items():
        given |= {f"lightning.pytorch.{part}.{name}": words.split() for name, words in classes.items()}
    return given | {home: words for path, words in given.items() if (home := defined_as(path))}


def defined_as(class_path: str) -> str | None:
    """The import path of the class at `class_path` in the module that defines it, None if there is none."""
    module, _, name = class_path.rpartition(".")
    cls: Any = getattr(import_module(module), name, None)
    return f"{cls.__module__}.{cls.__qualname__}" if hasattr(cls, "__qualname__") else None


def typed_classes(typed: Collection[str]) -> set[str]:
    """The import paths of the classes of Lightning and torch that are typed by their bare names."""
    names = [name for name in typed if name.isidentifier()]
    paths = {f"{module}.{name}" for module in TYPED_FROM for name in names if hasattr(import_module(module), name)}
    return paths | {home for path in paths if (home := defined_as(path))}


class Gate:
    """Checks merged settings of a command.

    typed: every value that stands on the command line, also in lists and mappings. trust: what `--trust` names. other_classes: as
    `lightning_classes` gives them, where files of this command may name such. options: the names of the options typed.
    """

    def __init__(
        self, typed: Collection[str], trust: Trust, other_classes: Mapping[str, Collection[str] | None], options: Collection[str]
    ) -> None:
        self.typed, self.trust, self.other_classes, self.options = frozenset(typed), trust, other_classes, frozenset(options)
        environment = [value for name, value in os.environ.items() if name.startswith("CGD_")]
        self.folders = [PurePath(value) for value in (*typed, *environment) if _LEAVES.match(value)]
        self.by_name = typed_classes(self.typed) if other_classes else set()

    def trusts(self, class_path: str) -> bool:
        """Whether the user named this class himself."""
        return class_path in self.typed or class_path in self.by_name or self.trust.covers(class_path)

    def check(self, value: Any, key: str) -> None:
        """Raises InputError, naming the setting, for a class or a path in `value` that only a file can have given, and may not.

        key: the name of the setting, as data.init_args.root.
        """
        if isinstance(value, str | PurePath):
            self._check_text(str(value), key)
        elif isinstance(value, list | tuple | set):
            for part in value:
                self.check(part, key)
        elif _is_mapping(value):
            if "class_path" in value:
                self._check_object(value, key)
            else:
                for name, part in _items(value):
                    self.check(part, f"{key}.{name}" if key else str(name))

    def _check_text(self, text: str, key: str) -> None:
        if key.rpartition(".")[2] not in READ_ONLY and not self.stays(text):
            raise InputError(
                f"{key}: a file says {text[:200]!r}, which is outside this folder; nothing of it was touched. "
                f"If you mean it, give it on the command line: --{key} {text[:200]}"
            )

    def stays(self, text: str) -> bool:
        """Whether `text` is no path out of the current folder, or was typed, or lies in a folder that was."""
        if not _LEAVES.match(text) or text in self.typed:
            return True
        if _SCHEME.search(text):
            return False
        path = Path(os.path.abspath(text))
        return any(path.is_relative_to(os.path.abspath(str(folder))) for folder in (".", *self.folders))

    def _check_object(self, spec: Any, key: str) -> None:
        class_path = str(spec["class_path"])
        arguments = {**dict(_items(spec.get("init_args") or {})), **dict(_items(spec.get("dict_kwargs") or {}))}
        if self.trusts(class_path):
            for name, part in arguments.items():
                self._check_inside(part, f"{key}.init_args.{name}")
        elif class_path in LISTED:
            for name, part in arguments.items():
                self.check(part, f"{key}.init_args.{name}")
        elif class_path in self.other_classes:
            self._check_other(class_path, arguments, key)
        else:
            raise InputError(f"{key}: a file {not_listed(class_path)}")

    def _check_inside(self, value: Any, key: str) -> None:
        """A trusted class takes what it likes, but the classes in its arguments are those that a file may name, too."""
        if isinstance(value, list | tuple | set):
            for part in value:
                self._check_inside(part, key)
        elif _is_mapping(value):
            if "class_path" in value:
                self._check_object(value, key)
            else:
                for name, part in _items(value):
                    self._check_inside(part, f"{key}.{name}")

    def _check_other(self, class_path: str, arguments: Mapping[str, Any], key: str) -> None:
        known = self.other_classes[class_path]
        parameters = signature(_import(class_path)).parameters
        for name, part in arguments.items():
            default = parameters[name].default if name in parameters else None
            if known is not None and name not in known and part is not None and part != default:
                raise InputError(
                    f"{key}: a file gives {class_path.rpartition('.')[2]} the argument {name}, and may give "
                    f"{', '.join(known) or 'none'}; nothing of it was run. Give it on the command line, or add --trust {class_path}"
                )
            if any((_is_mapping(inner) and "class_path" in inner) or callable(inner) for inner in _walk(part)):
                raise InputError(
                    f"{key}.init_args.{name}: a file describes an object, where a plain value was wanted; nothing of it was run"
                )
            self.check(part, f"{key}.init_args.{name}")


def _import(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def _is_mapping(value: Any) -> bool:
    """Also of a jsonargparse Namespace, which is no Mapping."""
    return isinstance(value, Mapping) or type(value).__name__ == "Namespace"


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    return iter(value.items() if isinstance(value, Mapping) else vars(value).items())


def _walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, list | tuple | set):
        for part in value:
            yield from _walk(part)
    elif _is_mapping(value):
        for _, part in _items(value):
            yield from _walk(part)
