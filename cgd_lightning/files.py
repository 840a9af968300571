"""Files that are whole or not there.

They are written beside their final name, flushed to the disk, and renamed.

And files of a folder that a stranger may have filled: no link is followed, no pipe waited on.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags for `os.open`, as far as the system has them."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """The name of a new file, which becomes `path` when the block ends well.

    A kill, an error or a full disk before that leaves what stood at `path`. A link at either name
    is replaced and never followed.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.unlink(missing_ok=True)
    try:
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, path)
        with suppress(OSError):  # some systems do not open folders
            _flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A new folder, which becomes `path` with all that is in it when the block ends well.

    A kill, an error or a full disk before that leaves nothing at `path`; what a kill left beside it
    goes with the next try. Raises FileExistsError if something is there that is no empty folder.
    """
    path = Path(os.path.abspath(path))
    if not is_free(path):
        raise FileExistsError(f"{path}: is there already, and not an empty folder")
    unfinished = path.with_name(f".{path.name}.unfinished")
    if unfinished.is_dir() and not unfinished.is_symlink():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        for file in unfinished.rglob("*"):
            if file.is_file():
                _flush(file)
        if path.is_dir():
            path.rmdir()
        os.rename(unfinished, path)
        with suppress(OSError):  # some systems do not open folders
            _flush(path.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def is_free(path: Path) -> bool:
    """Whether nothing is at `path`, or an empty folder."""
    if not os.path.lexists(path):
        return True
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_plain(file: Path, limit: int | None = None) -> BinaryIO:
    """The regular file `file`, opened to be read.

    Raises OSError if it is a link, a pipe or anything but a regular file, or has more than `limit`
    bytes.
    """
    handle = os.open(file, os.O_RDONLY | NO_LINK)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{file.name} is not a regular file")
        if limit is not None and state.st_size > limit:
            raise OSError(f"{file.name} has {state.st_size} bytes; at most {limit} are read")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
