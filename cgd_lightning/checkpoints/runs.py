"""Where checkpoints are found: in a file, a version folder, a run folder, or on the Hub.

Of a run folder the newest version counts; of the folder of a pair, its diffusion model.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cgd_lightning.checkpoints.folder_form import CONFIG, PAIR, WEIGHTS, is_folder_form
from cgd_lightning.checkpoints.hub import cached_name, fetch, is_hub
from cgd_lightning.errors import InputError

OF_A_FOLDER = ("best.ckpt", "last.ckpt", WEIGHTS, *(f"{part}/{WEIGHTS}" for part in PAIR))
"""The files that a folder may mean."""

CONFIGS = r"autoencoder|([a-z0-9-]+-)?(judge|classifier|diffusion)"
"""The names of packaged configurations of trainings, and of their runs."""


def find(path: str | Path, names: Sequence[str] = OF_A_FOLDER) -> Path:
    """The checkpoint file that `path` means: a file, a version folder, or a run folder.

    Of a run folder the newest version counts. Also a folder with a model.safetensors, alone or of a
    pair, and hf://USER/REPO on the Hub, which is fetched. names: the files of a folder that count,
    the first of them that is there. Raises InputError if there is none.
    """
    if is_hub(path):
        return find(fetch(str(path)), names)
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
    if (path / "model_index.json").is_file():
        raise InputError(f"{path}: a folder of diffusers; cgd convert {path} takes it over")
    shared = "" if WEIGHTS not in names else f", and no {WEIGHTS}"
    raise InputError(
        f"{path}: neither best.ckpt nor last.ckpt in this folder or a version_N in "
        f"it{shared}{_runs_near(path)}"
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
    """The folder with the runs beside that of `checkpoint`, which lies in RUNS/NAME/version_N.

    A model in folder form lies in RUNS/NAME itself. One that was fetched has the runs beside it
    that are in the current folder.
    """
    if not is_folder_form(checkpoint):
        return list(checkpoint.absolute().parents)[:3][-1]
    folder = _whole_folder(checkpoint.absolute())
    return Path("runs").absolute() if cached_name(folder) else folder.parent


def results_folder(checkpoint: Path) -> Path:
    """The folder to which what is made with `checkpoint` is written, unless told otherwise.

    It is its own; of one that was fetched, runs/USER--REPO in the current folder.
    """
    if not is_folder_form(checkpoint):
        return checkpoint.parent
    name = cached_name(checkpoint.absolute().parent)
    return Path("runs") / name if name else _whole_folder(checkpoint)


def paired(checkpoint: Path) -> Path | None:
    """The other model of the pair in one folder that `checkpoint` is of, if it is of one."""
    if not is_folder_form(checkpoint) or checkpoint.parent.name not in PAIR:
        return None
    other = PAIR[1 - PAIR.index(checkpoint.parent.name)]
    file = checkpoint.parent.parent / other / WEIGHTS
    return file if file.is_file() else None


def _whole_folder(weights: Path) -> Path:
    """The folder of a model in folder form, or of the pair that it is of."""
    return weights.parent if paired(weights) is None else weights.parent.parent


def newest_first(runs: Path) -> list[Path]:
    """The checkpoint file of every version of every run in the folder `runs`, newest first.

    A model alone in folder form counts as a version; those of a pair go with each other. Hidden
    folders do not count: what a kill left unfinished lies in one.
    """
    files = [
        file
        for file in runs.glob(f"*/{WEIGHTS}")
        if not _hidden(file.parent) and file.is_file() and file.with_name(CONFIG).is_file()
    ]
    for folder in runs.glob("*/version_*"):
        if not _hidden(folder.parent) and folder.is_dir():
            with suppress(InputError):  # of a version without one
                files.append(find(folder))
    return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)


def _hidden(folder: Path) -> bool:
    """Whether the name begins with a dot, which `*` of pathlib matches as well."""
    return folder.name.startswith(".")


def _runs_near(path: Path) -> str:
    for parent in (path, path.parent, Path("runs")):
        near = (version.parent for version in parent.glob("*/version_0"))
        if runs := sorted(str(run) for run in near if not _hidden(run)):
            return f"; runs here: {', '.join(runs)}"
    # The run of a packaged configuration has its name.
    config = path.name if re.fullmatch(CONFIGS, path.name) else "diffusion"
    return f"; train one first: cgd fit --config {config}.yaml"


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
