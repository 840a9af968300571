"""Files of a folder that a stranger may have filled: no link is followed, no pipe waited on."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags for `os.open`, as far as the system has them."""


def open_plain(file: Path, limit: int | None = None) -> BinaryIO:
    """The regular file `file`, opened to be read.

    Raises OSError if it is a link, a pipe or anything but a regular file, or has more than `limit`
    bytes.
    """
    handle = os.open(file, os.O_RDONLY | NO_LINK)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{file.name} is not a regular file")
        if limit is not None and state.st_size > limit:
            raise OSError(f"{file.name} has {state.st_size} bytes; at most {limit} are read")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
