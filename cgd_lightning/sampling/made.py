"""What a folder holds already: all that a job makes, some of it, or nothing.

A samples.json or edits.json is written last, and says of which job everything beside it is.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.record import read_json

FINAL = (
    *("samples.json", "images", "samples.npz", "grid.png", "animation.gif", ".samples.json.tmp"),
    *("edits.json", "originals", "edited", "differences", "changes", "masks", "edits.npz"),
)
"""What a job puts into its folder when it is done, or when it was killed while it did so."""

RECORDS = ("samples.json", "edits.json")
"""What comes last into a folder that is whole."""

IMAGES = "images"
"""Of pictures that lie among the pieces already as they will lie in the folder."""

ARRAYS = {"samples.json": ("samples.npz", IMAGES), "edits.json": ("edits.npz", "edited")}
"""Of each record the file of arrays, or the folder of pictures, that its images are in."""

IMAGES_HASH, MASKS_HASH = "images_hash", "masks_hash"
"""How what is edited stands in the identity of a job."""


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the job of a `record` from others, as plain data.

    These are its options, the networks, and, of edits, the images and masks. Raises KeyError and
    TypeError for a record that does not say them all.
    """
    job = {**record["options"], "networks": record["networks"]}
    images = record.get("images", {})
    if "hash" in images:
        job |= {IMAGES_HASH: images["hash"], MASKS_HASH: images["masks_hash"]}
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
        said = identity(there)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return False  # not there, of an older job, or of nobody
    what = name.removesuffix(".json")
    if differing := differences(said, job):
        raise InputError(
            f"--out {folder}: holds {what} of another request ({differing}); give another folder, "
            "or remove it first"
        )
    if lost := _lost(folder, there, *ARRAYS[name]):
        raise InputError(
            f"--out {folder}: holds these {what}, but {lost}; remove it and give the same command "
            "again, or give another folder"
        )
    return True


def _lost(folder: Path, record: Mapping[str, Any], arrays: str, pictures: str) -> str:
    """Which of the files that `record` tells of are gone from `folder`; empty if none is.

    Its images are in the file `arrays`, or in the folder `pictures`.
    """
    if _is_empty(folder / "grid.png"):
        return "grid.png is gone"
    count = record.get("images", {}).get("count")
    there = 0 if _is_empty(folder / arrays) else count
    if there == 0 and (folder / pictures).is_dir():
        files = os.listdir(folder / pictures)
        there = sum(not _is_empty(folder / pictures / name) for name in files)
    return "" if there == count else f"only {there} of its {count} images are left"


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
