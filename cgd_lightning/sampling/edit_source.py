"""Edits that `cgd edit` wrote, read back, whoever may have changed them since.

The pictures count: of the numbers in edits.json none is believed. It says what each image was to
become, what it showed if that was known, and which classes the guide saw in it. All that the files
declare is checked before room is made for it, as of samples (`stored`).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.arrays import open_arrays
from cgd_lightning.checkpoints import schema
from cgd_lightning.diffusion.targets import Target, parse_target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.flips import Flips
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.files import open_plain
from cgd_lightning.sampling.arrays import read_images, read_labels
from cgd_lightning.sampling.edit_record import SIDES, EditRecord, read_edit_record
from cgd_lightning.sampling.stored import DAMAGE, list_pictures, open_pictures


@dataclass(frozen=True, eq=False)
class StoredEdits:
    """Images and what was made of each, uint8 (N, C, H, W), and what is known of them.

    sources: how the images were called, as the user's files may. files: how their pictures in the
    folder are called; empty if they are arrays. targets: what each was to become, labels: what each
    showed, both in the classes of whoever reads; None where nobody said. guide: what the guiding
    classifier saw. guide_hash: of its weights, as a judge has it; None where nobody said. options:
    what was asked for, as it stands there: nobody checked it.
    """

    originals: Tensor = field(repr=False)
    edited: Tensor = field(repr=False)
    sources: tuple[str, ...] = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    targets: list[Target] | None = field(repr=False, default=None)
    labels: list[int] | None = field(repr=False, default=None)
    guide: Flips | None = None
    guide_hash: str | None = None
    options: Mapping[str, Any] = field(repr=False, default_factory=dict)


def read_edits(
    folder: Path,
    class_names: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
    option: str = "--edits",
) -> StoredEdits:
    """The edits in `folder`.

    class_names: of the classifier that shall judge them; without them targets, labels and the guide
    are not read. image_shape: the (C, H, W) that it knows. option: the user named the folder by it.
    Raises InputError, which begins with the option, if there are no edits, they are damaged, they
    do not agree with each other, or they are of other classes or another shape than these.
    """
    where = f"{option} {folder}"
    if not os.path.lexists(folder / "edits.json"):
        raise InputError(f"{where}: {_what_it_is(folder)}")
    try:
        record = read_edit_record(folder / "edits.json")
        stored = _read_pixels(folder, record, image_shape)
        if class_names is None:
            return stored
        return _with_classes(stored, record, class_names)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (*DAMAGE, RecursionError) as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: not a folder that cgd edit wrote whole ({why})") from error


def _what_it_is(folder: Path) -> str:
    wanted = "wanted a folder that cgd edit wrote, with its edits.json"
    if os.path.lexists(folder / "samples.json"):
        return f"a folder of samples, which cgd sample wrote; give it as --samples; {wanted}"
    if (folder.parent / "edits.json").is_file():
        return f"a part of edits; give {folder.parent}"
    return f"no edits there; {wanted}" if folder.is_dir() else f"not there; {wanted}"


def _read_pixels(
    folder: Path, record: EditRecord, image_shape: Sequence[int] | None
) -> StoredEdits:
    """Originals and edited images of all entries, from pictures or from arrays."""
    count, files = len(record.edits), tuple[str, ...]()
    if os.path.lexists(folder / "edits.npz"):
        with open_plain(folder / "edits.npz") as file, open_arrays(file) as arrays:
            originals = read_images(arrays, image_shape, count, "originals")
            edited = read_images(arrays, originals.shape[1:], count, "edited")
            if "labels" in arrays:
                _check_labels(read_labels(arrays, count, "labels"), record)
    else:
        both = [list_pictures(folder / kind, count, "NAME") for kind in ("originals", "edited")]
        files, others = (tuple(file.name for file in side) for side in both)
        pairs = zip(files, others, strict=True)
        different = next((pair for pair in pairs if pair[0] != pair[1]), None)
        if different is not None:
            raise ValueError("{!a} in originals, and {!a} in edited".format(*different))
        originals = open_pictures(both[0], image_shape).read()
        edited = open_pictures(both[1], originals.shape[1:]).read()
    sides = ("originals", originals), ("edited images", edited)
    for said, (what, images) in zip(record.hashes, sides, strict=True):
        if said not in (None, found := hash_of(images)):
            raise InputError(
                f"its {what} are of hash {found}, and edits.json is of {what} of hash {said}; "
                "give the folder as cgd edit wrote it"
            )
    sources = tuple(edit["source"] for edit in record.edits)
    guide, options = record.guide_hash, record.options
    return StoredEdits(originals, edited, sources, files, guide_hash=guide, options=options)


def _check_labels(labels: Tensor, record: EditRecord) -> None:
    """Raises ValueError unless the array says the classes that edits.json says."""
    names = record.class_names
    said = [edit.get("label") for edit in record.edits]
    if names is None or None in said:
        return
    if [names[k] if 0 <= k < len(names) else None for k in labels.tolist()] != said:
        raise ValueError("labels says other classes than edits.json")


def _with_classes(
    stored: StoredEdits, record: EditRecord, class_names: Sequence[str]
) -> StoredEdits:
    """`stored`, with what is said of classes in those of `class_names`."""
    places = {name: place for place, name in enumerate(class_names)}
    mine = _shown(class_names)
    if record.class_names and record.class_names != tuple(class_names):
        raise InputError(
            f"edits by models that know the classes {_shown(record.class_names)}; the judge knows "
            f"{mine}: wanted the same; give another judge"
        )

    def place_of(name: str) -> int:
        if name not in places:
            raise InputError(f"the class {name[:60]!a}: the judge knows {mine}; give another judge")
        return places[name]

    edits = record.edits
    words = _all_or_none([edit.get("to") for edit in edits], "to")
    labels = _all_or_none([edit.get("label") for edit in edits], "label")
    guide = _all_or_none([edit.get("guide") for edit in edits], "guide")
    targets = None if words is None else _targets(words, class_names)
    seen = None
    if guide is not None:
        sides = [torch.tensor([place_of(e[side]["class"]) for e in guide]) for side in SIDES]
        seen = None if targets is None else Flips.of(sides[0], sides[1], targets)
    known = None if labels is None else [place_of(label) for label in labels]
    return replace(stored, targets=targets, labels=known, guide=seen)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:20]) + (", ..." if len(names) > 20 else "")


def _all_or_none(values: list[Any], name: str) -> list[Any] | None:
    missing = sum(value is None for value in values)
    if 0 < missing < len(values):
        raise ValueError(f"{name}: said of {len(values) - missing} of {len(values)} images")
    return None if missing else values


def _targets(words: Sequence[str], class_names: Sequence[str]) -> list[Target]:
    """The targets that `words` mean, each read once."""
    kinds = dict.fromkeys(words)
    letters = sum(map(len, kinds))
    if letters > schema.MOST_LETTERS_IN_ALL:
        raise ValueError(f"to: {len(kinds)} different targets of {letters} letters")
    numbers = [word for word in kinds if word.isdecimal() and word not in class_names]
    if numbers:  # an index, which cgd edit never writes for a class that has a name
        raise InputError(
            f"the class {numbers[0][:60]!a}: the judge knows {_shown(class_names)}; give another "
            "judge"
        )
    read = {word: parse_target(word, class_names) for word in kinds}
    return [read[word] for word in words]
