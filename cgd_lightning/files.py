"""Files that are whole or not there: written beside their final name, flushed to the disk, and renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """The name of a new file, which becomes `path` when the block ends well.

    A kill, an error or a full disk before that leaves what stood at `path`. A link at either name is
    replaced and never followed.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.unlink(missing_ok=True)
    try:
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, path)
        with suppress(OSError):  # some systems do not open folders
            _flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
