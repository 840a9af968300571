"""What a folder holds already: all that a job makes, some of it, or nothing.

A samples.json or edits.json is written last, and says of which job everything beside it is.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cgd_lightning.arrays import open_arrays
from cgd_lightning.checkpoints import schema
from cgd_lightning.errors import InputError
from cgd_lightning.files import open_plain
from cgd_lightning.sampling.record import read_json
from cgd_lightning.sampling.stored import DAMAGE

KINDS = ("originals", "edited", "differences", "changes")
"""The folders of pictures of edits; where there are masks, `MASKS` too."""

MASKS = "masks"

FINAL = (
    *("samples.json", "images", "samples.npz", "grid.png", "animation.gif", ".samples.json.tmp"),
    *("edits.json", *KINDS, MASKS, "edits.npz"),
)
"""What a job puts into its folder when it is done, or when it was killed while it did so."""

RECORDS = ("samples.json", "edits.json")
"""What comes last into a folder that is whole."""

IMAGES = "images"
"""Of pictures that lie among the pieces already as they will lie in the folder."""

OF_EDITS = (IMAGES_HASH, NAMES_HASH, MASKS_HASH, JUDGE_HASH) = (
    *("images_hash", "names_hash", "masks_hash", "judge_hash"),
)
"""How what is edited, and who judges it, stands in the identity of a job."""


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the job of a `record` from others, as plain data.

    These are its options, the networks, and, of edits, the images, their names, the masks and the
    judge. Raises KeyError, TypeError and ValueError for a record that does not say them all.
    """
    job = {**record["options"], "networks": record["networks"]}
    images = schema.mapping(record.get("images", {}))
    if "hash" in images:
        given = (images[name] for name in ("hash", "names_hash", "masks_hash"))
        hashes = *given, record["judge_hash"]
        job |= dict(zip(OF_EDITS, hashes))
    return job


def record_of(job: Mapping[str, Any]) -> str:
    """The name of the record that a job of this identity writes."""
    return "edits.json" if IMAGES_HASH in job else "samples.json"


def is_made(folder: Path, job: Mapping[str, Any]) -> bool:
    """Whether all of the `job`, by its `identity`, is in `folder`.

    Raises InputError for what another job of its kind made, and if some of it is gone.
    """
    name = record_of(job)
    try:
        there = read_json(folder / name)
        said, count = identity(there), there["images"]["count"]
        if type(count) is not int or count < 1:
            return False
        differing = differences(said, job)
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return False  # not there, of an older job, or of nobody
    what = name.removesuffix(".json")
    if differing:
        raise InputError(
            f"--out {folder}: holds {what} of another request ({differing}); give another folder, "
            "or remove it first"
        )
    if lost := _lost(folder, job, count):
        raise InputError(
            f"--out {folder}: holds these {what}, but {lost}; remove it and give the same command "
            "again, or give another folder"
        )
    return True


def _lost(folder: Path, job: Mapping[str, Any], count: int) -> str:
    """What is gone from `folder` of the `count` images of a job; empty if nothing is."""
    if _is_empty(folder / "grid.png"):
        return "grid.png is gone"
    kinds: Sequence[str] = (IMAGES,)
    if record_of(job) == "edits.json":
        kinds = KINDS if job[MASKS_HASH] is None else (*KINDS, MASKS)
    arrays = (folder / record_of(job)).with_suffix(".npz")
    if os.path.lexists(arrays):
        first = "arr_0" if record_of(job) == "samples.json" else "edited"
        return "" if _hold(arrays, first, count) else f"{arrays.name} is damaged"
    for kind in kinds:
        there = sum(not _is_empty(file) for file in (folder / kind).glob("[!.]*.png"))
        if there != count:
            where = "" if kind == IMAGES else f" in {kind}"
            return f"only {there} of its {count} images are left{where}"
    return ""


def _hold(arrays: Path, name: str, count: int) -> bool:
    """Whether a file of arrays holds so many images under this name; only its header is read."""
    try:
        with open_plain(arrays) as file, open_arrays(file) as opened:
            return opened.header(name)[0][:1] == (count,)
    except DAMAGE:
        return False


def _is_empty(file: Path) -> bool:
    return not file.is_file() or file.stat().st_size == 0


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


def differences(there: Any, here: Mapping[str, Any]) -> str:
    """Which settings differ, and how; empty if none does."""
    one, other = dict(_values(there)), dict(_values(json.loads(json.dumps(here))))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    what = ", ".join(
        f"{ascii(name)[1:-1][:60]} {_short(one.get(name))} there, {_short(other.get(name))} here"
        for name in names[:3]
    )
    return f"{what}, and {len(names) - 3} more" if len(names) > 3 else what


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
