"""JSON of a stranger, as plain data: bounded before it is read, each name once, no NaN."""

import json
from typing import Any, NoReturn

from cgd_lightning.checkpoints import schema

MOST_VALUES = 2**20
"""A value takes up to 100 bytes of memory."""


def read_mapping(contents: bytes) -> dict[str, Any]:
    """The mapping in `contents`, JSON in UTF-8.

    Raises ValueError for what is no mapping or no JSON, has too many values, a name twice or
    numbers that are none, and RecursionError for what is too deep.
    """
    if sum(map(contents.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    data = json.loads(
        contents.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_each_once
    )
    return schema.mapping(data)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word}, which is no number of JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name that is there twice")
    return found
