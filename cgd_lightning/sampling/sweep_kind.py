"""Of what the sweep in a folder is: samples, or edits of images."""

from contextlib import suppress
from pathlib import Path
from typing import Literal

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.record import read_json

Kind = Literal["samples", "edits"]


def check_kind(out: Path, kind: Kind) -> None:
    """Raises InputError if a sweep of another kind has its table and picture in the folder `out`.

    A sweep.json that is damaged is no sweep's, and is written again.
    """
    found = kind
    with suppress(OSError, ValueError, RecursionError):
        found = read_json(out / "sweep.json").get("kind", "samples")
    if found != kind:
        other = "edits" if kind == "samples" else "samples"
        raise InputError(f"--out {out}: holds a sweep of {other}; give another folder")
