"""What an earlier `cgd sample` recorded in samples.json, as values.

They are a closed list of options, each of its own type.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.calls import without_calls
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.hub import is_hub
from cgd_lightning.errors import InputError
from cgd_lightning.files import open_plain
from cgd_lightning.sampling.options import OPTIONS
from cgd_lightning.sampling.request import Request

SCALE = (
    "0 is off, 1 is Bayes' rule for an unconditional diffusion model, more trades variety for "
    "likeness"
)

RECORDS = {
    "from": ("samples.json", "cgd sample"),
    "again": ("edits.json", "cgd edit"),
    "edits": ("edits.json", "cgd edit"),
}
"""The options that take a record: its name, and what writes it."""

MODELS = {"ckpt", "classifier", "judge"}
"""Options that name a checkpoint."""

RUNS_ABOVE = 4
"""So many folders above that of a record, by default, is that of the runs."""

MOST_BYTES = 16 * 2**20

MOST_VALUES = 2**20
"""A value takes up to 100 bytes of memory."""


def read_request(
    name: str | Path, trust: Trust | str | Sequence[str] = NO_TRUST, option: str = "from"
) -> Request:
    """The request of the samples.json called `name`, which makes the same samples again.

    trust: packages whose classes it may name. option: "again" for an edits.json. Raises InputError
    as `read_options` does.
    """
    trust = Trust.of(trust)
    return Request.from_plain(read_options(name, trust, option), name, trust).scaled()


def read_options(name: str | Path, trust: Trust, option: str = "from") -> dict[str, Any]:
    """The options in the samples.json, or edits.json, called `name`, as plain data.

    option: the user named the file by it. Raises InputError if there is no such file, it is none of
    ours, or it says what it may not; nothing was made of it.
    """
    path, where = Path(name), f"--{option} {name}"
    record, command = RECORDS[option]
    if not path.is_file():
        raise InputError(
            f"{where}: no such file; give the {record} that an earlier {command} wrote"
        )
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{where}: {path.stat().st_size} bytes; a {record} has at most {MOST_BYTES}"
        )
    try:
        options = schema.mapping(read_json(Path(os.path.realpath(path)))["options"])
    except (KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        raise InputError(f"{where}: not a {record} written by {command}") from error
    checked = _checked(options, where, trust)
    _check_nothing_is_fetched(checked, where)
    if checked.pop("compile", False):
        print(
            f"note: {where} was made with --compile, which is not taken from a file",
            file=sys.stderr,
        )
    for option in MODELS & checked.keys():
        checked[option] = _moved_along(checked[option], path)
    return checked


def _moved_along(model: Any, record: Path) -> Any:
    """The checkpoint `model`, or where it lies if all runs were moved together with the record.

    A record lies in RUNS/NAME/version_N/samples/M, and a checkpoint in RUNS/NAME/version_N.
    """
    folders = record.absolute().parents
    if not isinstance(model, str) or os.path.exists(model) or len(folders) <= RUNS_ABOVE:
        return model
    moved = folders[RUNS_ABOVE].joinpath(*Path(model).parts[-3:])
    return str(moved) if os.path.isfile(moved) else model


def _check_nothing_is_fetched(value: Any, where: str) -> None:
    """Raises InputError for the name of a model on the Hub: a file does not ask for connections."""
    if isinstance(value, str) and is_hub(value):
        raise InputError(
            f"{where}: names {value}, which is not fetched because a file says so; give it yourself"
        )
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            _check_nothing_is_fetched(part, where)


def read_json(file: Path) -> dict[str, Any]:
    """The mapping in a samples.json.

    Raises OSError for what is not a regular file of at most `MOST_BYTES`, ValueError for what is no
    JSON, has too many values or numbers that are none, and RecursionError for what is too deep.
    """
    with open_plain(file, MOST_BYTES) as opened:
        contents = opened.read()
    if sum(map(contents.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"{file.name} has more than {MOST_VALUES} values")
    return schema.mapping(json.loads(contents.decode("utf-8"), parse_constant=_no_number))


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} in samples.json")


def _checked(options: dict[str, Any], where: str, trust: Trust) -> dict[str, Any]:
    checked = {}
    for option, value in options.items():
        if option not in OPTIONS:
            raise InputError(
                f"{where}: records the option {schema.shown(option)}, which cgd sample does not "
                "have"
            )
        try:
            checked[option] = OPTIONS[option](without_calls({option: value})[option], where, trust)
        except InputError as error:
            if str(error).startswith(where):
                raise
            raise InputError(f"{where}: {error}") from error
        except ValueError as error:
            raise InputError(f"{where}: {option}: {error}") from error
    return checked


def write_record(request: Request, **others: Any) -> dict[str, Any]:
    """What samples.json says before its images.

    These are the options that make the same samples again, and how to read the scale. others:
    further options of `cgd sample`.
    """
    options = request.to_plain() | {"scale": request.strength}
    return {
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "scale": SCALE,
        "options": {**options, **others},
    }
