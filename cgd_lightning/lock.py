"""A file that one process holds for as long as it lives.

The kernel gives it back when the process dies, however it dies: nothing has to be removed by hand.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgd_lightning.errors import InputError
from cgd_lightning.files import NO_LINK

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""Errors of a file system without locks, as some that clusters share."""

_held: set[int] = set()
"""Handles of the files that this process holds."""


@contextmanager
def locked(path: Path, folder: str, remedy: str) -> Iterator[None]:
    """The file `path`, made if it is missing, is this process's alone until the block ends.

    Then it is removed. folder: how the user named the folder of the file. remedy: what to do in
    place of waiting. Where the file system has no locks, this is said, and nothing is held. Raises
    InputError if another process holds the file, or if it is no regular file.
    """
    handle = None
    while handle is None:
        handle = _taken(path, folder, remedy)
    owner = os.getpid()
    _held.add(handle)
    try:
        yield
    finally:
        if os.getpid() == owner:
            with suppress(OSError):
                path.unlink()
            _held.discard(handle)
            os.close(handle)


def _taken(path: Path, folder: str, remedy: str) -> int | None:
    """The handle of the locked file `path`; None if it was removed before it was locked."""
    flags = os.O_RDWR | os.O_CREAT | NO_LINK
    if fcntl is None:
        # O_TEMPORARY: Windows removes the file when its process ends.
        flags |= os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
    busy = InputError(f"{folder}: another command is at work there; {remedy}, or wait for it")
    odd = InputError(
        f"{folder}: {path.name} in it is not a regular file; {remedy}, or remove it first"
    )
    try:
        handle = os.open(path, flags, 0o666)
    except FileExistsError as error:
        raise busy from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR):
            raise
        raise odd from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise odd
        _lock(handle, busy, folder)
    except BaseException:
        os.close(handle)
        raise
    # Another process may have removed the file at its end, between our open and our lock.
    if _is_at(handle, path):
        return handle
    os.close(handle)
    return None


def _lock(handle: int, busy: InputError, folder: str) -> None:
    """Lock an open file. Raises `busy` if another process has; says where there are no locks."""
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        what = "its file system has no locks; see that no other command is at work"
        print(f"{folder}: {what} there", file=sys.stderr)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The new file `path` is held by this process until the block ends, where there are locks."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
    owner = os.getpid()
    _held.add(handle)
    try:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if os.getpid() == owner:
            _held.discard(handle)
            os.close(handle)


def is_left_over(path: Path) -> bool:
    """Whether `path` is a file of which no process is left that holds it.

    False, too, where that cannot be known: without locks, or for what is no file.
    """
    if fcntl is None:
        return False
    try:
        handle = os.open(path, os.O_RDWR | NO_LINK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return stat.S_ISREG(os.fstat(handle).st_mode)
    except OSError:
        return False
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _let_go() -> None:
    """What a fork has of the files is closed: it would hold them when their process is dead."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_let_go)
