"""A run that has its folder, before anything is made that writes into it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from cgd_lightning.checkpoints.files import MOST_CONFIG
from cgd_lightning.errors import InputError
from cgd_lightning.training.own_folder import held
from cgd_lightning.training.run_folder import run_folder
from cgd_lightning.training.settings import class_of

STOPPED = "stopped, before a checkpoint was written"
INTERRUPTED = "interrupted at once, before a checkpoint was written"

TOLD = ("val/loss", "val/accuracy")
"""Values that the last line of a run tells."""


@dataclass(frozen=True)
class Run:
    """A new or continued run.

    folder: of its version. ckpt_path: the checkpoint that it goes on from. config: the text of its
    configuration. changed: how its settings differ from those that it was begun with, if they do.
    """

    folder: Path
    ckpt_path: str | None
    config: str
    changed: str = ""

    @property
    def title(self) -> str:
        """Where it is kept, and what it goes on from."""
        goes_on = f", continuing from {self.ckpt_path}" if self.ckpt_path else ""
        return f"run: {self.folder}{goes_on}"

    @property
    def rest(self) -> str:
        """What there is of it when it was told to stop."""
        if not (self.folder / "last.ckpt").is_file():
            return STOPPED
        return (
            f"stopped; last.ckpt is written, in {self.folder}, and --ckpt_path last goes on from "
            "there"
        )

    @property
    def kept(self) -> str:
        """What there is of it when it was interrupted before the end of its step."""
        names = [name for name in ("last.ckpt", "best.ckpt") if (self.folder / name).is_file()]
        if not names:
            return INTERRUPTED
        return (
            f"interrupted at once; {names[0]} from before is kept, in {self.folder}, and "
            "--ckpt_path last goes on from there"
        )

    def result(self, trainer: Trainer) -> str:
        """What it came to."""
        metrics = trainer.callback_metrics
        told = [f"{name} {metrics[name]:.4f}" for name in TOLD if name in metrics]
        done = f"{self.folder}: {', '.join([f'{trainer.global_step} steps', *told])}"
        if any(name.startswith("val/") for name in metrics):
            return done
        if not any(self.folder.glob("*.ckpt")):
            return f"{done}, and nothing of it is kept"
        return f"{done}, without a validation; cgd validate --ckpt_path {self.folder} measures it"


def claim(
    settings: Any,
    config: str,
    given: str,
    check_place: Callable[[Path, str], None],
    until: ExitStack,
) -> Run:
    """The run that the merged `settings` of `cgd fit` ask for; its folder is there from now on.

    config: their text. given: the same, before the machine decided what was left open. check_place:
    raises InputError for a folder that may not be written to, and is given the option that names
    it. until: the folder is this training's until it is closed. Raises InputError for a
    configuration that no checkpoint may hold, and as `run_folder` and `held` do.
    """
    if len(config) > MOST_CONFIG:
        raise InputError(
            f"a configuration of {len(config):,} characters with all its defaults; wanted at "
            f"most {MOST_CONFIG:,}"
        )
    module, root = class_of(settings.model.class_path), settings.trainer.default_root_dir
    usual = settings.name is None
    name = run_name(settings.config, module) if usual else plain_name(settings.name)
    check_place(Path(root) / name, "trainer.default_root_dir")
    kind = getattr(module, "kind", None)
    folder, ckpt_path = run_folder(root, name, settings.ckpt_path, kind, given)
    check_place(folder, "ckpt_path")
    until.enter_context(held(folder, given))
    return Run(folder, ckpt_path, config)


LONGEST_NAME = 200
"""Bytes of the name of a run, whose files have names of their own."""


def plain_name(name: str) -> str:
    """`name`; raises InputError unless it names a folder that shows, and no way to one."""
    if not _is_plain(name):
        raise InputError(
            f"name {name[:60]!r}: wanted the name of a folder, as photos, without a dot at its "
            f"head, and of at most {LONGEST_NAME} bytes"
        )
    return name


def run_name(files: list[Any] | None, module: type) -> str:
    """That of the first configuration file, or else of what is trained.

    Raises InputError where the file's name is that of no run.
    """
    if not files:
        return module.__name__.removesuffix("Module").lower()
    name = Path(str(files[0])).stem
    if not _is_plain(name):
        raise InputError(
            f"a run called {name[:60]!r}, after its configuration, would not lie in a folder of "
            "its own that shows; give --name NAME, or the file another name"
        )
    return name


def _is_plain(name: str) -> bool:
    """Whether a run may have this name: it leads nowhere, and whoever looks for runs finds it."""
    if not name or name[0] in ".~" or not name.isprintable() or set(name) & set("/\\"):
        return False
    return len(name.encode()) <= LONGEST_NAME
