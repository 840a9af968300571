"""What an edits.json says, by a closed schema, whoever may have changed it since."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.plain_json import read_mapping
from cgd_lightning.files import open_plain
from cgd_lightning.limits import MOST_CLASSES
from cgd_lightning.sampling.record import MOST_BYTES

HASHES = ("networks", "guide_hash", "judge_hash")
TOP = ("made_by", "scale", "options", *HASHES, "images", "summary", "edits")
IMAGES = ("count", "hash", "names_hash", "edited_hash", "masks_hash", "full_colour", "class_names")
EACH = ("source", "label", "to", "guide", "judge", "distance", "changed")
SIDES = ("before", "after")
SAID = ("class", "p", "p_to")
"""What may stand in edits.json, and in its parts."""

MOST_LETTERS = 4096
"""Of a name in it; of what images were to become, all together `schema.MOST_LETTERS_IN_ALL`."""


@dataclass(frozen=True)
class EditRecord:
    """What edits.json says: hashes of originals and edits, and of each image its own mapping."""

    hashes: tuple[str | None, str | None]
    class_names: tuple[str, ...] | None
    edits: list[dict[str, Any]]
    guide_hash: str | None
    options: dict[str, Any]


def read_edit_record(file: Path) -> EditRecord:
    """What the edits.json `file` says.

    Raises OSError, ValueError and RecursionError for what is none, and InputError for names that
    are too long.
    """
    with open_plain(file, MOST_BYTES) as opened:
        top = schema.mapping(read_mapping(opened.read()), TOP)
    images = schema.mapping(top.get("images"), IMAGES)
    edits = top.get("edits")
    if not isinstance(edits, list) or not edits:
        raise ValueError("edits: wanted a list with an entry for each image")
    if images.get("count", len(edits)) != len(edits):
        raise ValueError(f"{len(edits)} entries for {schema.shown(images['count'])} images")
    for name in ("hash", "names_hash", "edited_hash", "masks_hash"):
        if images.get(name) is not None:
            schema.text(images[name], 64)
    names = images.get("class_names")
    if names is not None:
        if not isinstance(names, list) or len(names) > MOST_CLASSES:
            raise ValueError("class_names: wanted a list of names")
        names = tuple(_name(name) for name in names)
    hashes = images.get("hash"), images.get("edited_hash")
    guide = top.get("guide_hash")
    if guide is not None:
        schema.text(guide, 64)
    options = schema.mapping(top.get("options", {}))
    return EditRecord(hashes, names, [_entry(edit) for edit in edits], guide, options)


def _entry(said: Any) -> dict[str, Any]:
    """What is said of one image, checked."""
    edit = schema.mapping(said, EACH)
    _name(edit.get("source"))
    for word in ("label", "to"):
        if edit.get(word) is not None:
            _name(edit[word])
    for number in ("distance", "changed"):
        _number(edit.get(number))
    for who in ("guide", "judge"):
        if edit.get(who) is not None:
            for side in SIDES:
                seen = schema.mapping(schema.mapping(edit[who], SIDES).get(side), SAID)
                _name(seen.get("class"))
                _number(seen.get("p"))
                _number(seen.get("p_to"))
    return edit


def _name(value: Any) -> str:
    """`value` itself. Letters that cannot be printed are legal: files and classes may have them."""
    if type(value) is not str or len(value) > MOST_LETTERS or "\0" in value:
        raise ValueError(f"{schema.shown(value)}, where a name was wanted")
    return value


def _number(value: Any) -> None:
    if value is not None and (type(value) not in (int, float) or schema.scalar(value) < 0):
        raise ValueError(f"{schema.shown(value)}, where a number from 0 was wanted")
