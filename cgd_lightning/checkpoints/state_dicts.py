"""The weights in a file of tensors alone, as other projects publish them for their networks.

    published = Weights("57934424...")      # the SHA-256 that the file must have, or how it begins
    state = published.read(path)

The file may be in either format of `torch.save`. Nothing in it is unpickled.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cgd_lightning.checkpoints.archive import Archive
from cgd_lightning.checkpoints.legacy import is_legacy, read_legacy
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain

MOST_BYTES = 2**33
"""In a file of weights."""


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    sha256: the digits that its SHA-256 begins with. what: the file is called so in errors.
    """

    sha256: str
    what: str

    def read(self, path: Path) -> dict[str, Tensor]:
        """Its tensors by name. Raises InputError if `path` is another file, or cannot be read."""
        found = sha256(path)
        if not found.startswith(self.sha256):
            raise InputError(
                f"{path}: not {self.what}: its SHA-256 begins with {found[: len(self.sha256)]}, "
                f"and {self.sha256} was wanted"
            )
        return read_state_dict(path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises InputError if it cannot be read."""
    try:
        with open_plain(path, MOST_BYTES) as file:
            digest = hashlib.sha256()
            while part := file.read(2**20):
                digest.update(part)
            return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a file of weights: {error}") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors by name in a file of either format of `torch.save`.

    Raises InputError, naming the file, if it is damaged or holds anything else.
    """
    try:
        if is_legacy(path):
            with open_plain(path, MOST_BYTES) as file:
                return read_legacy(file)
    except DAMAGE as error:
        raise InputError(
            f"{path}: not a readable file of weights, damaged or more than tensors: "
            f"{one_line(error)}; nothing of it was run"
        ) from error
    with Archive(path) as archive:
        if not isinstance(archive.contents, dict):
            raise InputError(f"{path}: holds no state_dict")
        for name, stored in archive.contents.items():
            if type(name) is not str or not isinstance(stored, Stored):
                raise InputError(f"{path}: {ascii(name)[:80]} in it is no tensor")
        if sum(s.bytes for s in archive.contents.values()) > 2 * path.stat().st_size:
            raise InputError(f"{path}: its tensors are larger than the file")
        return {name: archive.tensor(stored) for name, stored in archive.contents.items()}


DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, OverflowError, RuntimeError),
    struct.error,
)
"""What pickletools, the interpreter and torch raise for a file that is not whole."""
