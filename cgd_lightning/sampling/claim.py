"""A folder that one job at a time fills, and what a job that was killed leaves in it.

    FOLDER/.unfinished.lock            held by the job's first process as long as it lives
    FOLDER/.unfinished/request.json    what the job was asked for
    FOLDER/.unfinished/TOKEN/          its pieces, written by all of its processes
    FOLDER/.unfinished/whole/          what it made, once all is there, on its way to FOLDER

The kernel gives the lock back when the process dies, however it dies. Then the same request goes on
with the pieces, or starts over, and any other is refused, for the pieces are not its own. TOKEN is
new for every job, so that a process that outlives its job writes nowhere.
"""

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgd_lightning.errors import InputError
from cgd_lightning.files import FULL, open_plain, remove, whole
from cgd_lightning.lock import locked
from cgd_lightning.sampling.made import FINAL, IMAGES, RECORDS, check_free, differences, is_made

WHOLE = "whole"
"""The folder of what is made, in `.unfinished`."""

REQUEST = "request.json"
"""What the job was asked for, in `.unfinished`."""

TOKEN = re.compile("[0-9a-f]{16}")

REQUEST_BYTES = 2**20


@dataclass(frozen=True)
class Claim:
    """A folder, and the folder in it that takes the pieces of this job.

    made: all of it is there already, and nothing is left to do.
    """

    folder: Path
    pieces: Path
    made: bool = False


@contextmanager
def claim(folder: Path, request: Mapping[str, Any], keep: bool = False) -> Iterator[Claim]:
    """`folder`, made if it is missing, for the job of this `request` until the block ends.

    Then the pieces are removed, and after an error the folder too, if it is empty. keep: after an
    error the pieces stay, and the next job of the same request gets them; one that finds all done
    is told so. request: plain JSON values. Raises InputError if another job is at work there, if
    there are results, or pieces that are not of the same request; OSError if the folder cannot be
    written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = done = kept = False
    try:
        with locked(folder / ".unfinished.lock", f"--out {folder}", "give another folder"):
            held = True
            unfinished = folder / ".unfinished"
            left = _left(unfinished, request, keep)
            if _is_folder(unfinished / WHOLE):
                publish(folder)
                left = False
            pieces = unfinished / secrets.token_hex(8)
            if keep and is_made(folder, request):
                with suppress(OSError):
                    _discard(unfinished)
                yield Claim(folder, pieces, made=True)
                return
            check_free(folder)
            try:
                if not left:
                    unfinished.mkdir()
                    with whole(unfinished / REQUEST) as file:
                        file.write_text(json.dumps(request, indent=1), encoding="utf-8")
                _take(unfinished, pieces)
                yield Claim(folder, pieces)
                done = True
            finally:
                kept = keep and not done and holds_any(pieces)
                if not kept:
                    with suppress(OSError):
                        _discard(unfinished)
    except BaseException as error:
        if held:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            what = "what was finished is kept" if kept else "none of it is kept"
            raise OSError(error.errno, f"{error.strerror}; {what}", f"{folder}") from error
        raise


def publish(folder: Path) -> None:
    """Give what lies in `.unfinished/whole` its final names, the record last, and remove the rest.

    Nothing but names changes, which wants no room on the disk; killed in between, it is done by the
    next job. What no job makes is among the rest. Raises InputError if something else has put one
    of the names into the folder.
    """
    unfinished = folder / ".unfinished"
    for images in unfinished.glob(f"*/{IMAGES}"):
        if TOKEN.fullmatch(images.parent.name) and all(map(_is_folder, (images.parent, images))):
            os.rename(images, unfinished / WHOLE / IMAGES)
    made = [name for name in os.listdir(unfinished / WHOLE) if name in FINAL]
    names = sorted(made, key=lambda name: name in RECORDS)
    taken = [name for name in names if os.path.lexists(folder / name)]
    if taken:
        raise InputError(
            f"--out {folder}: holds {', '.join(taken)}, which came while the job was at work; "
            "move it elsewhere, and give the same command again"
        )
    for name in names:
        os.rename(unfinished / WHOLE / name, folder / name)
    with suppress(OSError):
        _discard(unfinished)


def _left(unfinished: Path, request: Mapping[str, Any], keep: bool) -> bool:
    """Whether a job of the same `request` left pieces, which are removed unless `keep`.

    Raises InputError for anything else at this place.
    """
    if not os.path.lexists(unfinished):
        return False
    remedy = f"give another folder, or remove {unfinished} first"
    if not stat.S_ISDIR(os.lstat(unfinished).st_mode):
        raise InputError(
            f"--out {unfinished.parent}: .unfinished in it is not a folder that cgd made; {remedy}"
        )
    # A job that was killed before its request was written has made nothing else.
    if set(os.listdir(unfinished)) <= {f".{REQUEST}.tmp"}:
        shutil.rmtree(unfinished)
        return False
    try:
        with open_plain(unfinished / REQUEST, REQUEST_BYTES) as file:
            there = json.loads(file.read().decode("utf-8"))
        differing = differences(there, request)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"--out {unfinished.parent}: .unfinished in it does not tell whose it is; {remedy}"
        ) from error
    if differing:
        raise InputError(
            f"--out {unfinished.parent}: holds unfinished pieces of another request "
            f"({differing}); repeat that one, {remedy}"
        )
    if not keep:
        _discard(unfinished)
    return keep


def _discard(unfinished: Path) -> None:
    """Remove the folder `.unfinished`, if there is one.

    The request goes last: a job that is killed here leaves nothing that does not tell whose it is.
    """
    if _is_folder(unfinished):
        for path in unfinished.iterdir():
            if path.name != REQUEST:
                remove(path)
        shutil.rmtree(unfinished)


def _is_folder(path: Path) -> bool:
    """Whether a folder itself is at `path`, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _take(unfinished: Path, pieces: Path) -> None:
    """Make `pieces`, of those that an earlier job left if there are any."""
    for path in sorted(unfinished.iterdir()):
        if TOKEN.fullmatch(path.name) and _is_folder(path):
            if not pieces.exists():
                os.rename(path, pieces)
            else:
                shutil.rmtree(path)
        elif path.name != REQUEST:
            remove(path)
    pieces.mkdir(exist_ok=True)


def holds_any(pieces: Path) -> bool:
    """Whether a job has left anything in the folder `pieces`."""
    return pieces.is_dir() and any(pieces.iterdir())
