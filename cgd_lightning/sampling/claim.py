"""A folder that one job at a time fills, and what a job that was killed leaves in it.

    FOLDER/.unfinished.lock            held by the job's first process as long as it lives
    FOLDER/.unfinished/request.json    what the job was asked for
    FOLDER/.unfinished/TOKEN/          its pieces, written by all of its processes

The kernel gives the lock back when the process dies, however it dies. Then the same request starts
over, and any other is refused, for the pieces are not its own. TOKEN is new for every job, so that
a process that outlives its job writes nowhere.
"""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgd_lightning.errors import InputError
from cgd_lightning.files import NO_LINK, open_plain, whole

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FINAL = (
    *("samples.json", "images", "samples.npz", "grid.png", "animation.gif", ".samples.json.tmp"),
    *("edits.json", "originals", "edited", "differences", "changes", "masks", "edits.npz"),
)
"""What a job puts into its folder when it is done, or when it was killed while it did so."""

RECORDS = ("samples.json", "edits.json")
"""What comes last into a folder that is whole."""

REQUEST_BYTES = 2**20

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a disk, file or account that takes no more, which do not say of what folder."""


@dataclass(frozen=True)
class Claim:
    """A folder, and the folder in it that takes the pieces of this job."""

    folder: Path
    pieces: Path


@contextmanager
def claim(folder: Path, request: Mapping[str, Any]) -> Iterator[Claim]:
    """`folder`, made if it is missing, for the job of this `request` until the block ends.

    Then the pieces are removed, and after an error the folder too, if it is empty. request: plain
    JSON values. Raises InputError if another job is at work there, if there are samples, or pieces
    that are not of the same request; OSError if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = False
    try:
        with _locked(folder):
            held = True
            check_free(folder)
            unfinished = folder / ".unfinished"
            _clear(unfinished, request)
            unfinished.mkdir()
            try:
                with whole(unfinished / "request.json") as file:
                    file.write_text(json.dumps(request, indent=1), encoding="utf-8")
                pieces = unfinished / secrets.token_hex(8)
                pieces.mkdir()
                yield Claim(folder, pieces)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except BaseException as error:
        if held:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            raise OSError(
                error.errno, f"{error.strerror}; none of it is kept", f"{folder}"
            ) from error
        raise


def check_free(folder: Path) -> None:
    """Raises InputError if `folder` holds any of the names that a finished job has there."""
    there = [name for name in FINAL if os.path.lexists(folder / name)]
    whole = [name.removesuffix(".json") for name in RECORDS if name in there]
    if whole:
        raise InputError(
            f"--out {folder}: holds {whole[0]} already; give another folder, or remove it first"
        )
    if there:
        raise InputError(
            f"--out {folder}: holds {', '.join(there)}, but no {' or '.join(RECORDS)}: of a job "
            "that was killed, or of something else; give another folder, or remove them first"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / ".unfinished.lock"
    flags = os.O_RDWR | os.O_CREAT | NO_LINK
    if fcntl is None:
        # O_TEMPORARY: Windows removes the file when its process ends.
        flags |= os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
    while True:
        try:
            handle = os.open(path, flags, 0o666)
        except FileExistsError as error:
            raise _busy(folder) from error
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR):
                raise
            raise _no_lock(folder) from error
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _no_lock(folder)
            if fcntl is not None:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise _busy(folder) from error
            # Another job may have removed the file at its end, between our open and our lock.
            if not _is_at(handle, path):
                continue
            try:
                yield
                return
            finally:
                with suppress(OSError):
                    path.unlink()
        finally:
            os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _busy(folder: Path) -> InputError:
    return InputError(
        f"--out {folder}: another command is at work there; give another folder, or wait for it"
    )


def _no_lock(folder: Path) -> InputError:
    return InputError(
        f"--out {folder}: .unfinished.lock in it is not a regular file; give another folder, or "
        "remove it first"
    )


def _clear(unfinished: Path, request: Mapping[str, Any]) -> None:
    """Remove what a killed job of the same `request` left. Raises InputError for anything else."""
    if not os.path.lexists(unfinished):
        return
    remedy = f"give another folder, or remove {unfinished} first"
    if not stat.S_ISDIR(os.lstat(unfinished).st_mode):
        raise InputError(
            f"--out {unfinished.parent}: .unfinished in it is not a folder that cgd sample made; "
            f"{remedy}"
        )
    # A job that was killed before its request was written has made nothing else.
    if not set(os.listdir(unfinished)) <= {".request.json.tmp"}:
        try:
            with open_plain(unfinished / "request.json", REQUEST_BYTES) as file:
                there = dict(_values(json.loads(file.read().decode("utf-8"))))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"--out {unfinished.parent}: .unfinished in it does not tell whose it is; {remedy}"
            ) from error
        here = dict(_values(json.loads(json.dumps(request))))
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        if names:
            what = ", ".join(
                f"{ascii(name)[1:-1][:60]} {_short(there.get(name))} there, "
                f"{_short(here.get(name))} here"
                for name in names[:3]
            )
            more = f", and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(
                f"--out {unfinished.parent}: holds unfinished pieces of another request "
                f"({what}{more}); repeat that one, {remedy}"
            )
    shutil.rmtree(unfinished)


def _values(settings: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value as JSON) of everything in nested mappings."""
    if isinstance(settings, dict) and settings:
        for key, value in settings.items():
            yield from _values(value, f"{name}.{key}" if name else key)
    else:
        yield name, json.dumps(settings)


def _short(text: str | None) -> str:
    text = text or "not given"
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"
