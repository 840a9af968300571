"""Where checkpoints are found: in a file, a version folder, or a run folder.

Of a run folder the newest version counts.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cgd_lightning.errors import InputError


def find(path: str | Path, names: Sequence[str] = ("best.ckpt", "last.ckpt")) -> Path:
    """The checkpoint file that `path` means: a file, a version folder, or a run folder.

    Of a run folder the newest version counts. names: the files of a folder that count, the first of
    them that is there. Raises InputError if there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(
            f"{path}: no such checkpoint, version folder or run folder{_runs_near(path)}"
        )
    for folder in (path, *versions(path)):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise InputError(
        f"{path}: neither best.ckpt nor last.ckpt in this folder or a version_N in "
        f"it{_runs_near(path)}"
    )


def versions(run: Path) -> list[Path]:
    """The version_N folders of a run folder, newest first."""
    numbered = [
        (int(match[1]), p)
        for p in run.glob("version_*")
        if (match := re.fullmatch(r"version_(\d+)", p.name))
    ]
    return [path for _, path in sorted(numbered, reverse=True)]


def beside(checkpoint: Path) -> Path:
    """The folder with the runs beside that of `checkpoint`, which lies in RUNS/NAME/version_N."""
    return list(checkpoint.absolute().parents)[:3][-1]


def newest_first(runs: Path) -> list[Path]:
    """The checkpoint file of every version of every run in the folder `runs`, newest first."""
    files = []
    for folder in runs.glob("*/version_*"):
        if folder.is_dir():
            with suppress(InputError):  # of a version without one
                files.append(find(folder))
    return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)


def _runs_near(path: Path) -> str:
    for parent in (path, path.parent, Path("runs")):
        if runs := sorted(str(version.parent) for version in parent.glob("*/version_0")):
            return f"; runs here: {', '.join(runs)}"
    return "; train one first: cgd fit --config diffusion.yaml"


def find_partner(partner: str, beside: Path) -> Path:
    """The checkpoint file that `partner` means: as for `find`, or a run's name.

    A run of that name is looked for in the folder `beside`, which holds runs.
    """
    try:
        return find(partner)
    except InputError:
        if (beside / Path(partner).name).is_dir():
            return find(beside / Path(partner).name)
        raise
