"""How Lightning writes, reads and removes the checkpoints of a run."""

import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.strategies import Strategy

from cgd_lightning.checkpoints.files import write
from cgd_lightning.errors import InputError
from cgd_lightning.training.training_file import read_training


class RunFiles(CheckpointIO):
    """Writes files whole or not at all, reads plain data, removes what it wrote itself alone.

    Lightning's own writes to the temporary folder and copies from there where that is another file
    system, so that a kill may leave half a file, and removes whatever path a checkpoint's state
    names.
    """

    def __init__(self) -> None:
        self.written: set[Path] = set()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(checkpoint, path)
        self.written.add(path.absolute())

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_training(path)

    def remove_checkpoint(self, path: Any) -> None:
        path = Path(path).absolute()
        # Lightning's own, by which a process hands its weights to the one that forked it.
        handed = (
            path.name == ".temp.ckpt"
            and path.parent.parent == Path(tempfile.gettempdir()).absolute()
        )
        if path in self.written or handed:
            self.written.discard(path)
            path.unlink(missing_ok=True)


def with_run_files(plugins: list[Any]) -> list[Any]:
    """`plugins` and `RunFiles`, unless one of them takes its place."""
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        return plugins
    return [*plugins, RunFiles()]


def check_reads(strategy: Strategy) -> None:
    """Raises InputError if the strategy does not read checkpoints by its plugin."""
    own = type(strategy)
    if own.load_checkpoint is not Strategy.load_checkpoint:
        raise InputError(
            f"--ckpt_path with {own.__name__}: it reads checkpoints in a way of its own; take "
            "--trainer.strategy ddp"
        )
