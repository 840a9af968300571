"""The true masks of edited images: where the lesion is in each, and of which kind it is.

    FOLDER/NAME.png                        white where the lesion is, with the name of its image
    FOLDER/masks/NAME.png and kinds.csv    a folder of lesions; its kinds are `file,kind`

A mask has the name that the image had when it was edited, or that of its picture in the folder of
edits.
"""

import csv
import io
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import torch
from torch import Tensor

from cgd_lightning.checkpoints import schema
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.files import open_plain
from cgd_lightning.sampling.edit_source import StoredEdits
from cgd_lightning.sampling.masks import find_mask, mask_of, read_mask

MOST_BYTES = 16 * 2**20
"""Of a kinds.csv."""

MOST_KINDS = 100


@dataclass(frozen=True, eq=False)
class TrueMasks:
    """Where the lesion of each of N images is, bool (N, 1, H, W), and of which kind it is.

    kinds: (N,) int64 places in `kind_names`; None where nobody said.
    """

    masks: Tensor = field(repr=False)
    kinds: Tensor | None = field(repr=False, default=None)
    kind_names: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Of the masks and the kinds."""
        return hash_of(self.masks, self.kinds)


def read_true_masks(
    folder: Path, edits: StoredEdits, option: str = "--masks", resize: bool = False
) -> TrueMasks:
    """The true masks in `folder` of the images of `edits`.

    resize: whether masks of another size are brought to that of the images, as `cgd edit` brings
    images. Raises InputError, which begins with the option, if an image has none, for one of
    another size otherwise, and where no image has a lesion.
    """
    where = f"{option} {folder}"
    if not folder.is_dir():
        raise InputError(f"{where}: no such folder; wanted one of true masks, named as the images")
    if os.path.lexists(folder / "edits.json"):
        raise InputError(
            f"{where}: a folder that cgd edit wrote, whose masks say where an image might change; "
            "wanted a folder of true masks"
        )
    root = folder / "masks" if (folder / "masks").is_dir() else folder
    files = [_file_of(root, edits, index, option) for index in range(len(edits.sources))]
    height, width = edits.originals.shape[-2:]
    size, white = (height, width), "where the lesion is"
    masks = torch.stack([read_mask(file, size, option, white, resize) for file in files])
    if not masks.any():
        raise InputError(
            f"{where}: no lesion in any of {len(masks)} masks, which are all black; wanted white "
            "where it is"
        )
    if not os.path.lexists(folder / "kinds.csv"):
        return TrueMasks(masks)
    try:
        of_file = _read_kinds(folder / "kinds.csv")
    except (ValueError, OSError, csv.Error) as error:
        raise InputError(f"{where}: kinds.csv: {one_line(error)}") from error
    names = [file.relative_to(root).as_posix() for file in files]
    untold = next((name for name in names if name not in of_file), None)
    if untold is not None:
        raise InputError(f"{where}: kinds.csv says nothing of {untold!a}; wanted a line for each")
    kind_names = tuple(sorted(set(of_file.values())))
    kinds = torch.tensor([kind_names.index(of_file[name]) for name in names])
    return TrueMasks(masks, kinds, kind_names)


def _file_of(root: Path, edits: StoredEdits, index: int, option: str) -> Path:
    """The mask of one image. Raises InputError if there is none."""
    source = edits.sources[index]
    paths = PurePosixPath(source), PureWindowsPath(source)
    if not source or any(path.anchor or ".." in path.parts for path in paths):
        raise InputError(
            f"--edits: edits.json calls an image {source[:60]!a}; wanted a file below a folder, "
            "as cgd edit writes it"
        )
    own = find_mask(root, edits.files[index]) if edits.files else None
    return own or mask_of(root, source, option)


def _read_kinds(file: Path) -> dict[str, str]:
    """The kind of each file that a kinds.csv names. Raises ValueError, or OSError, for another."""
    with open_plain(file, MOST_BYTES) as opened:
        text = opened.read().decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = [(reader.line_num, row) for row in reader if "".join(row).strip()]
    if not rows or rows[0][1] != ["file", "kind"]:
        raise ValueError("wanted the line file,kind at its head, separated by a comma")
    found: dict[str, str] = {}
    for number, row in rows[1:]:
        if len(row) != 2 or not row[1] or row[0] in found:
            raise ValueError(
                f"line {number}: wanted FILE,KIND, separated by a comma, each file once"
            )
        found[row[0]] = schema.text(row[1], 100)
    if len(set(found.values())) > MOST_KINDS:
        raise ValueError(f"{len(set(found.values()))} kinds; wanted at most {MOST_KINDS}")
    return found
