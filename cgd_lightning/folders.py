"""Folders that are whole or not there.

They are filled beside their final name, flushed to the disk, and renamed.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cgd_lightning.files import flush
from cgd_lightning.lock import held, is_left_over

LOCK = "lock"
"""In a hidden folder, the file that its process holds."""


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A new folder, which becomes `path` with all that is in it when the block ends well.

    As of `whole_folders`, one alone.
    """
    with whole_folders(path) as (unfinished,):
        yield unfinished


@contextmanager
def whole_folders(*paths: str | Path) -> Iterator[list[Path]]:
    """New folders, which become `paths` in this order when the block ends well: all or none.

    An error or a full disk before that leaves nothing at them. Each is made in a hidden folder of
    its own beside its path. A kill leaves that there, and the next who makes the same path removes
    it. Raises FileExistsError if something is at a path that is no empty folder, before the block
    or after it.
    """
    targets = [Path(os.path.abspath(path)) for path in paths]
    for target in targets:
        _check_free(target)
    with ExitStack() as until:
        made = [until.enter_context(_unfinished(target)) for target in targets]
        yield made
        for folder in made:
            for file in folder.rglob("*"):
                if file.is_file():
                    flush(file)
        _rename_all(made, targets)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A new folder of the name of `target`, in a hidden one beside it that goes with the block."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(target)
    home = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with held(home / LOCK):
            folder = home / target.name
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _remove_left_over(target: Path) -> None:
    """Remove what killed processes left of their unfinished `target`."""
    form = re.compile(re.escape(f".{target.name}.") + "[a-z0-9_]{8}")
    with os.scandir(target.parent) as entries:
        homes = [
            Path(entry.path)
            for entry in entries
            if form.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    for home in homes:
        with suppress(OSError):  # somebody else's, or gone meanwhile
            ours = {LOCK} <= set(os.listdir(home)) <= {LOCK, target.name}
            if ours and is_left_over(home / LOCK):
                shutil.rmtree(home)


def _rename_all(made: list[Path], targets: list[Path]) -> None:
    """Rename each folder of `made` to its target, or none."""
    with ExitStack() as back:
        for folder, target in zip(made, targets, strict=True):
            _check_free(target)
            if target.is_dir():
                target.rmdir()
            os.rename(folder, target)
            back.callback(os.rename, target, folder)
        back.pop_all()
    for target in targets:
        with suppress(OSError):  # some systems do not open folders
            flush(target.parent)


def _check_free(path: Path) -> None:
    if not is_free(path):
        raise FileExistsError(f"{path}: is there already, and not an empty folder")


def is_free(path: Path) -> bool:
    """Whether nothing is at `path`, or an empty folder."""
    if not os.path.lexists(path):
        return True
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())
