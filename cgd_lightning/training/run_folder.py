"""Where a run is kept: runs/NAME/version_N, a new N each time, so that nothing is overwritten."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from cgd_lightning import checkpoints
from cgd_lightning.errors import InputError
from cgd_lightning.peers import is_first
from cgd_lightning.training import slurm
from cgd_lightning.training.training_file import check_whole

CLAIMED = "CGD_RUN_FOLDER"
"""Environment variable by which the processes that Lightning starts learn the first one's folder:
its process number, and the folder.
"""

LOCK = ".training.lock"
"""The file that a training holds in its folder."""

CHECKPOINTS = ("last.ckpt", "best.ckpt")
"""Of a version, in the order in which they are gone on from."""

_made: list[Path] = []
"""The folders that this process made."""


def run_folder(
    root: str | Path, name: str, ckpt_path: str | None, kind: str | None, given: str = ""
) -> tuple[Path, str | None]:
    """The version folder of a new or continued run, and the checkpoint that it goes on from.

    "last" goes on from the newest whole checkpoint of the newest version of this run, in its own
    folder. Where that version has none, as one killed before its first, it starts anew and says so;
    it never falls back on an older version. A job that SLURM started again goes on likewise with
    the version that it began by the same settings, `given`. kind: what is trained. Raises
    InputError if there is no such run, or no checkpoint of that version that can be gone on from.
    """
    run = Path(root) / name
    begun = slurm.earlier(checkpoints.versions(run), given) if ckpt_path != "last" else None
    if begun is not None:
        if not slurm.is_of(begun, given):
            if ckpt_path is None:
                say(f"starts a new run: this job began {begun} with other settings")
        elif not _kept(begun):
            say(f"starts anew: there is no checkpoint yet in {begun}, where this job was")
        else:
            check_own_files(begun)
            return begun, str(newest_whole(begun, kind))
    if ckpt_path is None:
        return new_version(run), None
    if ckpt_path == "last":
        versions = checkpoints.versions(run)
        if not versions:
            raise InputError(
                f"--ckpt_path last: no last.ckpt, and no run at all, in {run}; start the run "
                "without --ckpt_path"
            )
        if not _kept(versions[0]):
            say(f"starts anew: there is no checkpoint yet in {versions[0]}")
            return new_version(run), None
        file = newest_whole(versions[0], kind)
    elif Path(ckpt_path).is_dir():
        found = checkpoints.find(ckpt_path, CHECKPOINTS)
        file = newest_whole(found.parent, kind)
    else:
        file = checkpoints.find(ckpt_path)
        check_training(file, kind)
    if file.parent.name.startswith("version_") and (
        file.name == "last.ckpt" or ckpt_path == "last"
    ):
        check_own_files(file.parent)
        return file.parent, str(file)
    return new_version(run), str(file)


def newest_whole(folder: Path, kind: str | None) -> Path:
    """The newest checkpoint of the version in `folder` that can be gone on from.

    Says which ones are passed over, and why. Raises InputError if there is none.
    """
    problems: list[str] = []
    for file in _kept(folder):
        try:
            check_training(file, kind)
        except InputError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            say(f"passed over: {problem}")
        return file
    raise InputError(
        f"nothing to go on from: {'; '.join(problems)[:600]}; start the run without --ckpt_path"
    )


def say(text: str) -> None:
    """Tell the user, on standard error, once for all processes."""
    if is_first():
        print(text, file=sys.stderr)


def _kept(folder: Path) -> list[Path]:
    """The checkpoints of a version, last.ckpt first."""
    return [file for name in CHECKPOINTS if (file := folder / name).is_file()]


def check_training(file: Path, kind: str | None) -> None:
    """Raises InputError unless `file` is a whole checkpoint of a training.

    It must be of this kind where one is given.
    """
    found = checkpoints.read(file).kind
    if kind is not None and found != kind:
        raise InputError(
            f"{file}: {checkpoints.a_kind(found)}, and this run trains {checkpoints.a_kind(kind)}"
        )
    check_whole(file)


def check_own_files(folder: Path) -> None:
    """Raises InputError for a link or a pipe among the files of a run, or a folder as checkpoint.

    These are `folder`, and what lies directly in it or in its samples. Deeper down, where loggers
    keep links of their own, a link may lead to a place in `folder`.
    """
    for path in (folder, *folder.iterdir(), *(folder / "samples").glob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            what = "a link" if path.is_symlink() else "no regular file"
            raise InputError(
                f"{path}: {what}; a run that goes on writes into its own files alone: remove it, "
                "or put the file itself there"
            )
    for name in CHECKPOINTS:
        if (folder / name).is_dir():
            raise InputError(
                f"{folder / name}: a folder, where a run that goes on writes its checkpoint: "
                "remove it, or give it another name"
            )
    _check_below(folder)


def _check_below(folder: Path) -> None:
    """Raises InputError for a link in `folder`, however deep, that leads out of it."""
    own = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(own):
                raise InputError(
                    f"{path}: a link that leads out of the run; a run that goes on writes into its "
                    "own files alone: remove it"
                )


def discard_unused() -> None:
    """Remove the version folders that this process made and in which nothing was trained.

    Their configuration does not keep them.
    """
    while _made:
        folder = _made.pop()
        os.environ.pop(CLAIMED, None)
        if (
            folder.is_dir()
            and not folder.is_symlink()
            and all(
                file.name in ("config.yaml", LOCK) or file.name.startswith(slurm.MARK)
                for file in folder.iterdir()
            )
        ):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()


def new_version(run: Path) -> Path:
    """A version folder of `run` that nobody else has.

    It is made here, or by the process that started this one.

    A process that something else started beside the first one, as torchrun does, makes none: the
    first one alone writes.
    """
    process, _, claimed = os.environ.get(CLAIMED, "").partition(":")
    if claimed and process in (str(os.getpid()), str(os.getppid())):
        return Path(claimed)
    if rank_zero_only.rank > 0:
        return run / "version_of_the_first_process"
    newest = next(iter(checkpoints.versions(run)), None)
    number = int(newest.name.removeprefix("version_")) + 1 if newest else 0
    while True:
        folder = run / f"version_{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            _made.append(folder)
            os.environ[CLAIMED] = f"{os.getpid()}:{folder}"
            return folder
