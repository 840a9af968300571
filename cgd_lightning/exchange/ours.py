"""Our own folder form, back to checkpoints: what `cgd export` wrote, or somebody shared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.folder_form import CONFIG, PAIR, WEIGHTS, is_folder_form
from cgd_lightning.exchange.imported import Imported

OPTIONS: tuple[str, ...] = ()
"""A folder of ours tells all."""


def recognise(source: Path) -> bool:
    """Whether `source` is such a folder, of one model or of a pair, or the weights in it."""
    if source.is_file():
        return is_folder_form(source) and source.with_name(CONFIG).is_file()
    places = (source, *(source / part for part in PAIR))
    return any((place / WEIGHTS).is_file() and (place / CONFIG).is_file() for place in places)


def told(source: Path) -> dict[str, object]:
    """What each model in it is.

    Raises InputError for a damaged one.
    """
    return {checkpoints.read(file).kind: str(file) for file in _files(source)}


def read(source: Path, given: Mapping[str, Any]) -> list[Imported]:
    """The model or the pair in `source`. Raises InputError for a damaged one."""
    return [_imported(file) for file in _files(source)]


def _imported(file: Path) -> Imported:
    card = checkpoints.read(file)
    made_of = card.source or f"cgd-lightning: {file.absolute().parent.name}"
    return Imported(checkpoints.load(file), made_of, card.dataset)


def _files(source: Path) -> list[Path]:
    first = checkpoints.find(source)
    other = None if source.is_file() else checkpoints.paired(first)
    return [first] if other is None else [first, other]
