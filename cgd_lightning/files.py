"""Files that are whole or not there.

They are written beside their final name, flushed to the disk, and renamed.

And files of a folder that a stranger may have filled: no link is followed, no pipe waited on.
"""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags for `os.open`, as far as the system has them."""

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a disk, file or account that takes no more, which do not say of what folder."""


@contextmanager
def told_if_full(path: str | Path, then: str) -> Iterator[None]:
    """A full disk in this block is told of `path`, with what `then` is kept and to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        why = os.strerror(error.errno or errno.ENOSPC)
        raise OSError(error.errno, f"{why}; {then}", f"{path}") from error


def cache_home() -> Path | None:
    """The folder cgd-lightning in the user's cache; None if there is none.

    By the XDG Base Directory Specification, in $XDG_CACHE_HOME if that is an absolute path, else in
    ~/.cache.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = given if given.is_absolute() else Path(os.path.expanduser("~")) / ".cache"
    return home / "cgd-lightning" if home.is_absolute() else None


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """The name of a new file, which becomes `path` when the block ends well.

    A kill, an error or a full disk before that leaves what stood at `path`. A link at either name
    is replaced and never followed.
    """
    path = Path(path)
    unfinished = unfinished_of(path)
    unfinished.unlink(missing_ok=True)
    try:
        yield unfinished
        flush(unfinished)
        os.replace(unfinished, path)
        with suppress(OSError):  # some systems do not open folders
            flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_of(path: Path) -> Path:
    """What `whole` calls the file `path` until it is whole; of a pattern, the pattern of those."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def parents(path: str | Path) -> Iterator[None]:
    """The folders above `path`; those that are new go again when the block does not end well."""
    new = [folder for folder in Path(path).parents if not folder.exists()]
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in new:
            with suppress(OSError):  # not made, or filled by another
                folder.rmdir()
        raise


def as_umask_says(file: Path) -> None:
    """Give `file` the mode of any new file, as libraries that rename a private one do not."""
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        plain = Path(folder, "plain")
        plain.touch()
        file.chmod(stat.S_IMODE(plain.stat().st_mode))


def flush(path: Path) -> None:
    """Have the disk take what was written to the file, or folder, `path`."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link and not what it names."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def on_disk(file: Path) -> int:
    """Bytes of the disk that `file` takes, of which small files take more than they hold."""
    state = file.stat()
    return max(state.st_size, 512 * getattr(state, "st_blocks", 0))


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
